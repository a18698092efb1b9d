"""Times every stage of the pipeline on the data set that is in place, each in a process of its own as DVC runs it.

    dvc exp run -S data.source=… && python benchmarks/stage_times.py

The stages run again on unchanged inputs, so they leave what is there. Seconds on the wall clock; memory is the peak of
the process, in 10⁶ bytes. `featurize` runs without its cache: the backbone goes over every image.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

WITHOUT_CACHE = {**os.environ, "IMAGE_SIMILARITY_CACHE_GB": "0"}


def main() -> None:
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    print("| stage | seconds | memory, MB |\n|---|--:|--:|")
    total = 0.0
    for name, stage in stages.items():
        start = time.perf_counter()
        process = subprocess.Popen(stage["cmd"].split(), stdout=subprocess.DEVNULL, env=WITHOUT_CACHE)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"error: stage {name} failed: run `dvc repro` first")
        seconds = time.perf_counter() - start
        total += seconds
        print(f"| `{name}` | {seconds:.1f} | {usage.ru_maxrss * 1024 / 1e6:.0f} |", flush=True)
    print(f"| all | {total:.1f} | |")


if __name__ == "__main__":
    main()
