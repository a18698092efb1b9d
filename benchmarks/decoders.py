"""From the content of JPEGs to pixels of a small size: the pipeline's decoder beside others that decode at a scale.

    python benchmarks/decoders.py [--images 200] [--side 224] [--rounds 3]

Each gets the bytes of the same images of data/images, in one thread, and gives pixels of at least twice the side, or
all; they take turns in one process. The difference is that of the pixels once they are resized, to those of an image
decoded in full: mean over all images, of 255.
"""

import argparse
import io
import sys
from collections.abc import Callable

import numpy as np
from PIL import Image

from comparison import add_output, median_seconds, publish

sys.path.insert(0, "src")

from pipeline.paths import IMAGES, MANIFEST
from pipeline.stage import run_command

from similarity.dataset.manifest import read_manifest
from similarity.errors import UserError
from similarity.images.decoding import read_image
from similarity.images.resizing import resize

Decode = Callable[[bytes], np.ndarray]
JPEG_SUFFIXES = (".jpg", ".jpeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="evenly chosen (default: 200)")
    parser.add_argument("--side", type=int, default=224, help="of the square that pixels are resized to")
    parser.add_argument("--rounds", type=int, default=3, help="that count; one more does not")
    add_output(parser)
    arguments = parser.parse_args()
    contents = choose(arguments.images)
    decoders = make_decoders(arguments.side)
    contenders = {name: lambda decode=decode: [decode(each) for each in contents] for name, decode in decoders.items()}
    seconds = median_seconds(contenders, arguments.rounds)
    width, height = np.median([Image.open(io.BytesIO(each)).size for each in contents], axis=0)
    lines = [
        f"{len(contents)} JPEGs, median {width:.0f} × {height:.0f} pixels, for {arguments.side} × {arguments.side}\n",
        "| decoder | ms an image | difference after resizing |\n|---|--:|--:|",
    ]
    for name, decode in decoders.items():
        difference = np.mean([differ(each, decode, arguments.side) for each in contents[:50]])
        lines.append(f"| {name} | {1000 * seconds[name] / len(contents):.2f} | {difference:.3f} |")
    publish("\n".join(lines), "Decoding JPEGs", arguments.output)


def choose(count: int) -> list[bytes]:
    keys = [key for key in read_manifest(MANIFEST).keys if key.lower().endswith(JPEG_SUFFIXES)]
    if not keys:
        raise UserError(f"there are no JPEGs in {IMAGES}: run the pipeline on photographs first")
    rows = np.unique(np.linspace(0, len(keys) - 1, count).astype(int))
    return [(IMAGES / keys[row]).read_bytes() for row in rows]


def make_decoders(side: int) -> dict[str, Decode]:
    """The decoders by their names; each maps the content of a JPEG to RGB pixels, uint8 (height, width, 3)."""
    import cv2
    import pyvips
    import simplejpeg

    reduced = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}

    def by_opencv(content: bytes) -> np.ndarray:
        size = Image.open(io.BytesIO(content)).size
        scale = max(factor for factor in reduced if factor == 1 or min(size) // factor >= 2 * side)
        return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), reduced[scale]))[..., ::-1]

    def by_simplejpeg(content: bytes) -> np.ndarray:
        return simplejpeg.decode_jpeg(content, min_height=2 * side, min_width=2 * side, min_factor=1)

    def by_vips(content: bytes) -> np.ndarray:
        size = Image.open(io.BytesIO(content)).size
        scale = max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(size) // factor >= 2 * side)
        return pyvips.Image.jpegload_buffer(content, shrink=scale).numpy()

    return {
        "the pipeline's: Pillow, scaled": lambda content: read_image(content, side),
        "Pillow, in full": read_image,
        "OpenCV, `IMREAD_REDUCED_COLOR`": by_opencv,
        "simplejpeg, scaled": by_simplejpeg,
        "pyvips, `shrink`": by_vips,
    }


def differ(content: bytes, decode: Decode, side: int) -> float:
    """The mean difference of resized pixels to those of the image in full."""
    return float(np.abs(resize(np.ascontiguousarray(decode(content)), side) - resize(read_image(content), side)).mean())


if __name__ == "__main__":
    run_command(main)
