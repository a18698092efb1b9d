"""Compares the pipeline with what one would use instead: runs each script that does, and joins their tables.

    dvc exp run -S data.source=… && make bench                      # ten minutes on two cores
    python benchmarks/all_claims.py --fastdup PYTHON                # with fastdup; see photographs.py
    python benchmarks/all_claims.py --million                       # with what takes a million vectors, an hour more

The data set that is in place is used.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from comparison import HEADER, make_parser, publish, track

CLAIMS: tuple[tuple[str, ...], ...] = (
    ("query_start.py",),
    ("neighbors_peers.py", "--rounds", "3"),
    ("features_peers.py", "--rounds", "3"),
    ("training_loop.py",),
    ("ann_peers.py", "real", "--rounds", "3"),
    ("lancedb_peers.py", "100000"),
)
OF_A_MILLION = (
    ("neighbors_peers.py", "--memory", "1000000"),
    ("ann_peers.py", "1000000", "--rounds", "3"),
    ("lancedb_peers.py", "1000000"),
)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--fastdup", metavar="PYTHON", help="an interpreter with fastdup")
    parser.add_argument("--million", action="store_true", help="measure with a million vectors, too")
    arguments = parser.parse_args()
    fastdup = ("--fastdup", arguments.fastdup) if arguments.fastdup else ()
    claims = (("photographs.py", "--rounds", "2", *fastdup), *CLAIMS, *(OF_A_MILLION if arguments.million else ()))
    rows = [rows_of(script, options) for script, *options in track(claims, "benchmarks", unit="")]
    publish("\n".join([HEADER, *filter(None, rows)]), "Compared with what one would use instead", arguments.output)
    if failed := [script for (script, *_), found in zip(claims, rows, strict=True) if not found]:
        sys.exit(f"error: these failed: {', '.join(failed)}")


def rows_of(script: str, arguments: Sequence[str]) -> str:
    """Run a script and return the rows of its last table, or nothing if it failed."""
    command = [sys.executable, str(Path("benchmarks", script)), *arguments]
    done = subprocess.run(command, encoding="utf-8", stdout=subprocess.PIPE, check=False)
    _, header, rows = done.stdout.rpartition(HEADER)
    return rows.strip() if header and not done.returncode else ""


if __name__ == "__main__":
    main()
