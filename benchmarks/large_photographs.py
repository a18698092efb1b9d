"""Makes a folder of class folders with large JPEGs out of one with smaller ones, for `photographs.py`.

    python benchmarks/large_photographs.py FOLDER OUT [--per-class 15] [--width 4000] [--height 3000]

Photographs are enlarged, turned if they are upright, and get noise as of a sensor, so that their JPEGs are as large and
as slow to decode as those of a camera.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

NOISE = 9  # of 255, at most
QUALITY = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-class", type=int, default=15)
    parser.add_argument("--width", type=int, default=4000, help="of an image that is not upright, in pixels")
    parser.add_argument("--height", type=int, default=3000)
    arguments = parser.parse_args()
    folders = sorted(path for path in arguments.folder.iterdir() if path.is_dir())
    chosen = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[: arguments.per_class]]
    rng = np.random.default_rng(0)
    for path in tqdm(chosen, "enlarge", leave=False):
        image = Image.open(path).convert("RGB")
        size = (arguments.width, arguments.height)
        enlarged = np.asarray(image.resize(size if image.width >= image.height else size[::-1]), np.int16)
        noisy = enlarged + rng.integers(-NOISE, NOISE + 1, enlarged.shape, np.int16)
        out = arguments.out / path.parent.name / path.name
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(out, quality=QUALITY)


if __name__ == "__main__":
    main()
