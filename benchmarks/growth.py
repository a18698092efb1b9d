"""How the time and the memory of each stage grow with the number of images, measured on generated ones.

    python benchmarks/growth.py [10000 100000 1000000] [--output FILE]

For each number of images, a temporary project of pictures of 28 pixels is generated and the stages' own scripts run in
it, each in a process of its own. The backbone sees 32 pixels instead of 224, which still gives 2,848 features; training
takes 10 epochs; all else is as in params.yaml. The caches are off.

The table has the seconds that a stage reports, which leave out its imports, and the peak memory of its process in 10⁶
bytes. An exponent is the slope of the least-squares line through the logarithms of what is above the same stage on 72
images: that much does not grow, such as the memory of what is imported. What a million images would take follows from
the memory at the two largest numbers of images, on a straight line. Some stages bend: `ann`, `novelty`, `baselines` and
`evaluate` measure with bounded numbers of queries, and `scan` compares all with all up to 100,000 images only.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from comparison import ROOT, as_markdown, make_parser, publish, run_command, track

FEW = 72  # images, whose cost is taken for that of none
MAX_RUNS = 3
ENOUGH_SECONDS = 5.0
MILLION = 1_000_000
CLASSES, EPOCHS = 6, 10
PICTURE_SIZE, BACKBONE_SIZE = 28, 32  # pixels
SOURCE = "source"
WITHOUT_CACHE = {**os.environ, "IMAGE_SIMILARITY_CACHE_GB": "0"}
STAGES = (
    "fetch", "scan", "split", "backbone", "featurize", "train", "embed", "neighbors", "ann", "novelty", "baselines",
    "evaluate", "audit",
)  # fmt: skip


class Cost(NamedTuple):
    """What a stage took: seconds on the wall clock, and the peak memory of its process in 10⁶ bytes."""

    seconds: float
    megabytes: float


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000], help="numbers of images")
    arguments = parser.parse_args()
    counts = sorted(arguments.counts)
    start, *costs = (measure_stages(count) for count in (FEW, *counts))
    columns = ["stage"]
    columns += [f"{count:,}: {unit}" for unit in ("s", "MB") for count in counts]
    columns += ["exponent of time", "exponent of memory", "a million: MB"]
    rows = [row(stage, counts, [each[i] for each in costs], start[i]) for i, stage in enumerate(STAGES)]
    publish(as_markdown(columns, rows), "Growth with the number of images", arguments.output)


def measure_stages(count: int) -> list[Cost]:
    """Generate a project of `count` images and measure every stage in it."""
    with TemporaryDirectory() as folder:
        make_project(Path(folder), count)
        return [measure(stage, folder) for stage in track(STAGES, f"{count} images", len(STAGES), unit=" stages")]


def make_project(folder: Path, count: int) -> None:
    """Write images of noise, of one color or another, and the parameters."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / SOURCE / f"class_{label}").mkdir(parents=True)
    for number in range(count):
        noise = rng.normal(rng.uniform(60, 200, 3), 40, (PICTURE_SIZE, PICTURE_SIZE, 3))
        picture = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
        picture.save(folder / SOURCE / f"class_{number % CLASSES}" / f"{number:07d}.jpg")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["source"], params["backbone"]["image_size"], params["train"]["epochs"] = (
        SOURCE,
        BACKBONE_SIZE,
        EPOCHS,
    )
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def measure(stage: str, folder: str) -> Cost:
    """Return the cost of the fastest of a few runs, or of a single one that takes long: other load only ever adds."""
    costs: list[Cost] = []
    while len(costs) < MAX_RUNS and sum(cost.seconds for cost in costs) < ENOUGH_SECONDS:
        command = [sys.executable, str(ROOT / "src" / f"{stage}.py")]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, env=WITHOUT_CACHE, encoding="utf-8")
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = re.findall(rf"^{stage}: ([\d.]+) s$", printed, re.MULTILINE)
        if status or not seconds:
            sys.exit(f"error: {stage} failed")
        costs.append(Cost(float(seconds[-1]), usage.ru_maxrss * 1024 / 1e6))
    return min(costs)


def row(stage: str, counts: Sequence[int], costs: Sequence[Cost], start: Cost) -> list[str]:
    """Format what a stage takes for each number of images, above what it takes for a few."""
    seconds, megabytes = np.array(costs).T
    return [
        f"`{stage}`",
        *(f"{value:.2f}" for value in seconds),
        *(f"{value:.0f}" for value in megabytes),
        exponent(counts, seconds - start.seconds),
        exponent(counts, megabytes - start.megabytes),
        f"{of_a_million(counts, megabytes):.0f}" if len(counts) > 1 else "",
    ]


def exponent(counts: Sequence[int], values: np.ndarray) -> str:
    """Format the slope of the least-squares line through the logarithms, nothing where noise hides it."""
    known = values > 0
    if known.sum() < 2:
        return ""
    return f"{np.polyfit(np.log(np.array(counts)[known]), np.log(values[known]), 1)[0]:.2f}"


def of_a_million(counts: Sequence[int], megabytes: np.ndarray) -> float:
    """Continue the line through the memory for the two largest numbers of images."""
    slope = max(0.0, megabytes[-1] - megabytes[-2]) / (counts[-1] - counts[-2])
    return megabytes[-1] + slope * max(0, MILLION - counts[-1])


if __name__ == "__main__":
    run_command(main)
