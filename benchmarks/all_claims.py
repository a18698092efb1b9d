"""What the pipeline is compared with, each measured by its own script, as one table.

    dvc exp run -S data.source=… && make bench                      # a quarter of an hour on two cores
    python benchmarks/all_claims.py --million                       # with what takes a million vectors, an hour more

They are measured on the data set that is in place; the claims are about the geological one.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from comparison import HEADER, processor

CLAIMS = (
    ("neighbors_peers.py", "--rounds", "3"),
    ("features_peers.py", "--rounds", "3"),
    ("training_loop.py",),
    ("experiment_loop.py",),
    ("ann_peers.py", "real", "--rounds", "3"),
)
OF_A_MILLION = (
    ("neighbors_peers.py", "--memory", "1000000"),
    ("ann_peers.py", "1000000", "--rounds", "3"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="measure with a million vectors, too")
    claims = CLAIMS + (OF_A_MILLION if parser.parse_args().million else ())
    print(f"{processor()}\n\n{HEADER}", flush=True)
    failed = [script for script, *arguments in claims if not print_rows(script, arguments)]
    if failed:
        sys.exit(f"error: these failed: {', '.join(failed)}")


def print_rows(script: str, arguments: list[str]) -> bool:
    """Runs a script and prints the rows of its last table; tells whether it succeeded."""
    command = [sys.executable, str(Path("benchmarks", script)), *arguments]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)
    *_, table = done.stdout.split(HEADER)
    print(table.strip(), flush=True)
    return done.returncode == 0 and HEADER in done.stdout


if __name__ == "__main__":
    main()
