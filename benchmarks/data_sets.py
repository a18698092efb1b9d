"""Runs the whole pipeline on several data sets, each in a clone of its own, and writes their figures in one table.

    python benchmarks/data_sets.py --output benchmarks/results/data_sets.md PATHS TO ARCHIVES OR FOLDERS

A column per data set. What is committed is run; data, models and metrics stay in the clones, below --work.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison import add_output, publish

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sources", nargs="+", type=Path, help="archives or folders of class folders")
    add_output(parser)
    parser.add_argument("--work", type=Path, help="where the clones are, and stay (default: a temporary folder)")
    parser.add_argument("--set-param", action="append", default=[], metavar="NAME=VALUE", help="as `dvc exp run -S`")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        columns = {
            source.stem: figures(source.resolve(), work / source.stem, arguments.set_param)
            for source in arguments.sources
        }
    settings = f" with {', '.join(arguments.set_param)}" if arguments.set_param else ""
    publish("\n".join(rows(columns)), f"Figures of several data sets{settings}", arguments.output)


def figures(source: Path, clone: Path, changes: list[str]) -> dict[str, float]:
    """Runs the pipeline on a data set, and collects its metrics by their names with dots."""
    reproduce(source, clone, changes)
    found: dict[str, float] = {}
    for path in sorted((clone / "metrics").glob("*.json")):
        found |= dict(flatten(json.loads(path.read_bytes()), path.stem))
    return found


def reproduce(source: Path, clone: Path, changes: Sequence[str] = (), targets: Sequence[str] = ()) -> None:
    """Runs the pipeline, or what some of its stages need, on a data set in a clone, which is made if need be."""
    if not clone.exists():
        run("git", "clone", "--quiet", str(ROOT), str(clone))
    run("git", "reset", "--quiet", "--hard", folder=clone)  # what the last run has left
    run("git", "pull", "--quiet", "--ff-only", folder=clone)
    overrides = [f"--set-param={change}" for change in (f"data.source={source}", *changes)]
    run("dvc", "exp", "run", "--quiet", *overrides, *targets, folder=clone)


def run(*command: str, folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}")


def flatten(metrics: dict[str, object], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}.{name}")
        else:
            assert isinstance(value, int | float)
            yield f"{prefix}.{name}", value


def rows(columns: dict[str, dict[str, float]]) -> Iterator[str]:
    yield "| | " + " | ".join(columns) + " |"
    yield "|---|" + "--:|" * len(columns)
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        yield f"| {name} | " + " | ".join(shown(column.get(name)) for column in columns.values()) + " |"


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


if __name__ == "__main__":
    main()
