"""Measures how much disk a folder of photographs takes beside itself, by `data.mode` and DVC's `cache.type`.

    python benchmarks/disk_use.py FOLDER --work FOLDER_ON_A_FILE_SYSTEM --output benchmarks/results/disk_use_ext4.md

What is free on the file system is compared before and after `fetch`, so nothing else should write there meanwhile.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from dvc.utils.serialize import modify_yaml
from tqdm import tqdm

from comparison import add_output, publish
from data_sets import ROOT, run

CASES = (
    ("copy", ""),
    ("link", ""),
    ("copy", "reflink,hardlink,copy"),
    ("link", "reflink,hardlink,copy"),
    ("copy", "hardlink"),
    ("link", "hardlink"),
)
SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="a folder of class folders")
    parser.add_argument("--images", type=int, default=100, help="how many of its images to take (default: 100)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="a folder on the file system")
    add_output(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        photos = Path(temporary, "photos")
        size = copy_evenly(arguments.folder, photos, arguments.images)
        rows = [
            f"| `{mode}` | {f'`{types}`' if types else 'none set'} | {measure(photos, mode, types) / 1e6:.1f} |"
            for mode, types in tqdm(CASES, "cases", leave=False)
        ]
    table = "\n".join(["| `data.mode` | `cache.type` | more on the disk, MB |", "|---|---|--:|", *rows])
    publish(
        table,
        f"Disk that {arguments.images} photographs of {size / 1e6:.1f} MB take beside themselves",
        arguments.output,
    )


def copy_evenly(folder: Path, target: Path, count: int) -> int:
    """Copies evenly chosen images; gives their size in bytes."""
    images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = [images[i * len(images) // count] for i in range(count)]
    for path in chosen:
        (target / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.relative_to(folder))
    return sum(path.stat().st_size for path in chosen)


def measure(photos: Path, mode: str, types: str) -> int:
    """Bytes that `fetch` of a folder takes with DVC's cache and its other files, in a clone that is removed again."""
    clone = photos.with_name("clone")
    run("git", "clone", "--quiet", str(ROOT), str(clone))
    if types:
        run("dvc", "config", "--quiet", "--local", "cache.type", types, folder=clone)
    with modify_yaml(str(clone / "params.yaml")) as params:
        params["data"].update(source=str(photos), mode=mode)
    before = used(clone)
    run("dvc", "repro", "--quiet", "fetch", folder=clone)
    taken = used(clone) - before
    shutil.rmtree(clone)
    return taken


def used(folder: Path) -> int:
    os.sync()
    system = os.statvfs(folder)
    return (system.f_blocks - system.f_bfree) * system.f_frsize


if __name__ == "__main__":
    main()
