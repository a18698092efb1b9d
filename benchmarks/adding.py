"""How long it takes to add images to the index, and to remove them again, with the model as it is.

    dvc exp run -S data.source=… && python benchmarks/adding.py [--images 50] [--rounds 3] [--output FILE]

The new images are mirrored ones of the set that is in place, whose features are computed: the cache is off. Start-up is
what importing takes. `add.py` has the changed index in place after the second row; the third is what `dvc add` and
`dvc commit` take to record it, with their own start. Processor time is that of all threads and of what they start. What
is added is removed, so that everything is as it was.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image, ImageOps

from comparison import add_output, publish

sys.path.insert(0, "src")

from pipeline.paths import IMAGES, INDEX_MANIFEST, MANIFEST
from pipeline.recording import record
from pipeline.stage import run_command

import add

from similarity.dataset.manifest import read_manifest

NEW = "mirrored-{}"


class Cost(NamedTuple):
    """Seconds on the wall clock, and of the processors."""

    wall: float
    processors: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50, help="how many to add")
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are given")
    add_output(parser)
    arguments = parser.parse_args()
    os.environ["IMAGE_SIMILARITY_CACHE_GB"] = "0"
    count, indexed = arguments.images, len(read_manifest(INDEX_MANIFEST).records)
    with TemporaryDirectory() as folder:
        keys = write_mirrored(Path(folder), count)
        rounds = [measure_round(Path(folder), keys) for _ in range(arguments.rounds)]
    lines = [f"{count} images, {indexed:,} before\n\n| step | seconds | processor seconds |\n|---|--:|--:|"]
    for step in rounds[0]:
        wall, processors = (statistics.median(values) for values in zip(*(each[step] for each in rounds), strict=True))
        lines.append(f"| {step} | {wall:.1f} | {processors:.1f} |")
    publish("\n".join(lines), "Adding images to an index", arguments.output)


def write_mirrored(folder: Path, count: int) -> list[str]:
    """Writes mirrored images, evenly chosen, below their class folders; gives their keys."""
    known = read_manifest(MANIFEST).keys
    keys = []
    for number, key in enumerate(known[:: max(1, len(known) // count)][:count]):
        label = key.split("/")[0]
        keys.append(f"{label}/{NEW.format(number)}.png")
        (folder / label).mkdir(exist_ok=True)
        with Image.open(IMAGES / key) as image:
            ImageOps.mirror(image).save(folder / keys[-1])
    return keys


def measure_round(folder: Path, keys: list[str]) -> dict[str, Cost]:
    """What each step costs."""
    return {
        "start-up": cost(partial(subprocess.run, [sys.executable, "-c", "import add"], check=True, env=WITH_SOURCES)),
        "add, to the changed index": cost(lambda: add.change_index(*add.plan([folder], []))),
        "have DVC record it": cost(partial(record, add.STAGES)),
        "remove, to the changed index": cost(lambda: add.change_index(*add.plan([], keys))),
        "have DVC record that": cost(partial(record, add.STAGES)),
    }


WITH_SOURCES = {**os.environ, "PYTHONPATH": "src"}


def cost(step: Callable[[], object]) -> Cost:
    start, before = time.perf_counter(), processor_seconds()
    step()
    return Cost(time.perf_counter() - start, processor_seconds() - before)


def processor_seconds() -> float:
    """Those of this process, and of all that it started and that ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    run_command(main)
