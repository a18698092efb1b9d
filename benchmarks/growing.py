"""How long the pipeline takes for a few new images among many, and what the new ones change.

    python benchmarks/growing.py PATH TO AN ARCHIVE OR FOLDER [--new 50] [--images 300] [--work FOLDER] [--output FILE]

The source becomes a folder with all images but some, drawn at random; `dvc repro` runs on it in a clone of what is
committed, with an empty cache of its own. Then the others are copied in, and `dvc repro` runs again. DVC's part is
what the stages themselves do not report: reading and checking files, moving them to its cache, and starting Python for
each stage. `--images` takes only so many images of the set.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from comparison import as_markdown, make_parser, publish, run_command
from data_sets import make_clone, work_folder
from similarity.errors import UserError
from similarity.layout import SPLITS

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SEED = 0
GOAL_SECONDS, GOAL_SPLITS = 120, 10
LOOKED_UP = ("scan", "split", "featurize")  # their own words are in the report


class Run(NamedTuple):
    """A run of the pipeline: its seconds, those that each stage reports, what it printed, and the images' splits."""

    seconds: float
    stages: dict[str, float]
    printed: str
    splits: dict[str, str]

    @property
    def rest(self) -> float:
        """Seconds that no stage reports."""
        return self.seconds - sum(self.stages.values())


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("source", type=Path, help="an archive or folder of class folders")
    parser.add_argument("--new", type=int, default=50, help="images that are added (default: 50)")
    parser.add_argument("--images", type=int, help="of the set that are used, new ones included (default: all)")
    parser.add_argument("--work", type=Path, help="where everything is done, and stays (default: a temporary folder)")
    arguments = parser.parse_args()
    with work_folder(arguments.work) as work:
        found = list_images(arguments.source.resolve(), work / "unpacked")
        order = np.random.default_rng(SEED).permutation(len(found))[: arguments.images]
        if len(order) <= arguments.new:
            raise UserError(f"{arguments.source} has only {len(found)} images")
        chosen, folder, clone = [found[row] for row in order], work / "source", work / "clone"
        copy(chosen[arguments.new :], folder)
        make_clone(clone)
        set_source(clone / "params.yaml", folder)
        first = reproduce(clone, work / "cache")
        copy(chosen[: arguments.new], folder)
        second = reproduce(clone, work / "cache")
    title = f"{arguments.new} new images among {len(chosen):,}"
    publish(f"{title}\n\n{report(first, second)}", "Adding images", arguments.output)


def list_images(source: Path, unpacked: Path) -> list[Path]:
    """List the images of a folder, or of an archive that is unpacked, sorted."""
    if source.is_file():
        shutil.unpack_archive(source, unpacked)
        source = unpacked
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)


def copy(paths: Sequence[Path], folder: Path) -> None:
    """Copy images to folders of their classes."""
    for path in paths:
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def set_source(path: Path, source: Path) -> None:
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["data"]["source"] = str(source)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def reproduce(clone: Path, cache: Path) -> Run:
    """Run the pipeline in a clone, with a cache of images' features of its own."""
    start = time.perf_counter()
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        ("dvc", "repro"), cwd=clone, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{done.stdout}\nerror: dvc repro failed in {clone}")
    stages = {name: float(value) for name, value in re.findall(r"^(\w+): ([\d.]+) s$", done.stdout, re.MULTILINE)}
    with (clone / SPLITS).open(encoding="utf-8", newline="") as file:
        splits = {row["path"]: row["split"] for row in csv.DictReader(file)}
    return Run(seconds, stages, done.stdout, splits)


def report(first: Run, second: Run) -> str:
    """Format both runs as a table, and say what the new images changed."""
    rows = [
        [f"`{name}`", *(f"{run.stages[name]:.1f}" if name in run.stages else "–" for run in (first, second))]
        for name in first.stages
    ]
    rows.append(["DVC, and starting the stages", f"{first.rest:.1f}", f"{second.rest:.1f}"])
    rows.append(["in all", f"{first.seconds:.1f}", f"{second.seconds:.1f}"])
    moved = sum(second.splits.get(key) != split for key, split in first.splits.items())
    said = [line for line in second.printed.splitlines() if line.startswith(tuple(f"{name}: " for name in LOOKED_UP))]
    return "\n\n".join(
        [
            as_markdown(["seconds", "without the new images", "with them"], rows),
            f"Goal for the second run: {GOAL_SECONDS} s on two cores.",
            f"Old images in another split: {moved} of {len(first.splits):,} (goal: at most {GOAL_SPLITS}).",
            "What `scan`, `split` and `featurize` printed in the second run:",
            "\n".join(f"    {line}" for line in said),
        ]
    )


if __name__ == "__main__":
    run_command(main)
