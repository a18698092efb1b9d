"""What DVC takes for many images in files, and for the same images in shards.

python benchmarks/shards.py                          # 100,000 images of a kilobyte, in 100 shards
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from comparison import Row, add_output, as_table, publish

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from similarity.images.shards import write_shards

FOLDERS = 100  # that the files are in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--bytes", type=int, default=1000, help="of each image")
    add_output(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = list(measure(Path(name), arguments.images, arguments.shards, arguments.bytes))
    publish(as_table(rows), "DVC with images in files, and in shards", arguments.output)


def measure(folder: Path, images: int, shards: int, size: int) -> Iterator[Row]:
    files, packed = folder / "files/data", folder / "shards/data"
    keys = list(tqdm(write_files(files, images, size), "write", images, leave=False))
    packed.mkdir(parents=True)
    packing = seconds(lambda: list(write_shards(files, keys, packed, shards)))
    yield Row(f"packing {images:,} images of {size:,} bytes into {shards} shards", f"{packing:.1f} s", "", None)
    for place in (files.parent, packed.parent):
        prepare(place, folder / f"remote of {place.name}")
    for step in (("add", "data"), ("push",), ("pull",)):
        if step == ("pull",):
            forget(files.parent)
            forget(packed.parent)
        ours, theirs = (seconds(partial(dvc, *step, place=place)) for place in (packed.parent, files.parent))
        yield Row(f"dvc {step[0]}; in files", f"{ours:.1f} s", f"{theirs:.1f} s", ours / theirs)


def write_files(folder: Path, images: int, size: int) -> Iterator[str]:
    """Writes images, which nothing decodes here, and gives their keys."""
    for number in range(FOLDERS):
        (folder / f"class_{number:03d}").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(images):
        key = f"class_{number % FOLDERS:03d}/{number:08d}.jpg"
        (folder / key).write_bytes(rng.bytes(size))
        yield key


def prepare(place: Path, remote: Path) -> None:
    run(place, "git", "init", "--quiet")
    dvc("init", place=place)
    dvc("remote", "add", "--default", "remote", str(remote), place=place)


def dvc(*arguments: str, place: Path) -> None:
    run(place, sys.executable, "-m", "dvc", *arguments, "--quiet")


def forget(place: Path) -> None:
    for path in (".dvc/cache", ".dvc/tmp", "data"):
        shutil.rmtree(place / path)


def run(place: Path, *command: str) -> None:
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
