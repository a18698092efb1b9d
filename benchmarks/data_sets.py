"""Runs the whole pipeline on several data sets, each in a clone of its own, and writes their figures in one table.

    python benchmarks/data_sets.py --output benchmarks/results/data_sets.md PATHS TO ARCHIVES OR FOLDERS

A column per data set: the ten metrics, then all figures of metrics/details. What is committed is run; data, models and
metrics stay in the clones, below --work.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from comparison import ROOT, as_markdown, make_parser, publish


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("sources", nargs="+", type=Path, help="archives or folders of class folders")
    parser.add_argument("--work", type=Path, help="where the clones are, and stay (default: a temporary folder)")
    parser.add_argument("--set-param", action="append", default=[], metavar="NAME=VALUE", help="as `dvc exp run -S`")
    arguments = parser.parse_args()
    with work_folder(arguments.work) as work:
        columns = {
            source.stem: figures(source.resolve(), work / source.stem, arguments.set_param)
            for source in arguments.sources
        }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [[name, *(shown(column.get(name)) for column in columns.values())] for name in names]
    settings = f" with {', '.join(arguments.set_param)}" if arguments.set_param else ""
    publish(as_markdown(["", *columns], rows), f"Figures of several data sets{settings}", arguments.output)


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """Use a folder that stays, if one is given, or else a temporary one."""
    if given:
        yield given.resolve()
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def figures(source: Path, clone: Path, changes: Sequence[str]) -> dict[str, float]:
    """Run the pipeline on a data set, and collect all of its figures by their names with dots."""
    reproduce(source, clone, changes)
    metrics = clone / "metrics"
    found: dict[str, float] = {}
    for folder in (metrics, metrics / "details"):
        for path in sorted(folder.glob("*.json")):
            found |= dict(flatten(json.loads(path.read_bytes()), path.relative_to(metrics).with_suffix("").as_posix()))
    return found


def reproduce(source: Path, clone: Path, changes: Sequence[str] = (), targets: Sequence[str] = ()) -> None:
    """Run the pipeline, or what some of its stages need, on a data set in a clone, which is made if need be."""
    make_clone(clone)
    overrides = [f"--set-param={change}" for change in (f"data.source={source}", *changes)]
    run("dvc", "exp", "run", "--quiet", *overrides, *targets, folder=clone)


def make_clone(clone: Path) -> None:
    """Clone what is committed, or bring an existing clone to it."""
    if not clone.exists():
        run("git", "clone", "--quiet", str(ROOT), str(clone))
    run("git", "reset", "--quiet", "--hard", folder=clone)  # undoes what the last run has changed
    run("git", "pull", "--quiet", "--ff-only", folder=clone)


def run(*command: str, folder: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}")


def flatten(metrics: dict[str, object], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}.{name}")
        elif isinstance(value, int | float):
            yield f"{prefix}.{name}", value


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


if __name__ == "__main__":
    main()
