"""What an experiment costs beside its stages alone: the work of DVC.

    dvc exp run -S data.source=… && python benchmarks/experiment_loop.py [--rounds 3]

Experiments run in a temporary clone with the results that are in place, all of them committed; it shares DVC's cache.
Each round has values that no earlier one had. An experiment's stages are run once more after it, each in a process of
its own, with their imports. Figures are medians.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Row, add_output, as_table, publish

OF_TRAIN = ("train", "embed", "neighbors", "ann", "map", "evaluate")
IN_GIT = ("params.yaml", "dvc.lock", "metrics")
ROLES = ("AUTHOR", "COMMITTER")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    add_output(parser)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with TemporaryDirectory() as name:
        folder = Path(name, "clone")
        clone(folder)
        run(folder, "dvc", "status")  # DVC notes the files' digests once
        train, stages, ann = [], [], []
        for number in range(rounds):
            train.append(run(folder, "dvc", "exp", "run", "-S", f"train.lr={0.02 + number / 1000:g}"))
            stages.append(sum(run(folder, "python", f"src/{stage}.py") for stage in OF_TRAIN))
            restore(folder)
            ann.append(run(folder, "dvc", "exp", "run", "-S", f"ann.trees={50 + number}"))
            restore(folder)
    whole, parts, trees = (statistics.median(seconds) for seconds in (train, stages, ann))
    images = sum(1 for _ in Path("data/images").glob("*/*"))
    what = f"`dvc exp run`, {images:,} images"
    rows = [
        Row(f"{what}, `train.lr=0.02`, its stages", f"{whole:.1f} s", f"{parts:.1f} s", whole / parts),
        Row(f"{what}, `ann.trees=50`", f"{trees:.1f} s", "", None),
    ]
    publish(as_table(rows), "Experiments beside their stages", arguments.output)


def clone(folder: Path) -> None:
    """Clones the repository, with the parameters and results that are in place, committed."""
    cache = Path(".dvc/cache").resolve()
    run(Path(), "git", "clone", "--quiet", str(Path().resolve()), str(folder))
    for name in IN_GIT:
        source, target = Path(name), folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("queries"))
        else:
            shutil.copyfile(source, target)
    run(folder, "dvc", "config", "--local", "cache.dir", str(cache))
    run(folder, "dvc", "checkout", "--quiet")
    run(folder, "git", "commit", "--quiet", "--all", "--allow-empty", "--message", "the results that are in place")


def restore(folder: Path) -> None:
    """Goes back to what was committed."""
    run(folder, "git", "checkout", "--quiet", ".")
    run(folder, "dvc", "checkout", "--quiet")


def run(folder: Path, *command: str) -> float:
    """Runs a command and gives the seconds that it took."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, **{f"GIT_{who}_{what}": "benchmark" for who in ROLES for what in ("NAME", "EMAIL")}},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed:\n{done.stdout}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
