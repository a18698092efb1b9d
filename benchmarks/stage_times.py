"""Times stages of the pipeline on the data set that is in place, each in a process of its own as DVC runs it.

    dvc exp run -S data.source=… && python benchmarks/stage_times.py [STAGE …] [--output FILE]

The stages run again on unchanged inputs, so they leave what is there. Seconds on the wall clock; memory is the peak of
the process, in 10⁶ bytes. The caches are off: every image is decoded and goes through the backbone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from comparison import as_markdown, make_parser, publish, track

WITHOUT_CACHE = {**os.environ, "IMAGE_SIMILARITY_CACHE_GB": "0"}


class Cost(NamedTuple):
    """Seconds on the wall clock, and the peak memory in 10⁶ bytes."""

    seconds: float
    megabytes: float


def main() -> None:
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    commands = {name: stage["cmd"].split() for name, stage in pipeline.items()}
    parser = make_parser(__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="default: all")
    arguments = parser.parse_args()
    if unknown := set(arguments.stages) - set(commands):
        parser.error(f"{', '.join(sorted(unknown))}: no stage; there are {', '.join(commands)}")
    images = sum(1 for _ in Path("data/images").glob("*/*"))
    costs = {name: measure(name, commands[name]) for name in track(arguments.stages or commands, "stages", unit="")}
    rows = [[f"`{name}`", f"{cost.seconds:.1f}", f"{cost.megabytes:.0f}"] for name, cost in costs.items()]
    rows.append(["all of these", f"{sum(cost.seconds for cost in costs.values()):.1f}", ""])
    table = as_markdown(["stage", "seconds", "memory, MB"], rows)
    publish(f"{images:,} images\n\n{table}", "Time and memory of the stages", arguments.output)


def measure(name: str, command: list[str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=WITHOUT_CACHE)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: stage {name} failed: run `dvc repro` first")
    return Cost(time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6)


if __name__ == "__main__":
    main()
