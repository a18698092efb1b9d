"""Writes two data sets of another kind than stones, from what installed packages hold, to check defaults on.

    python benchmarks/other_images.py FOLDER
    dvc exp run train -S data.source="$PWD/FOLDER/digits" && cat metrics/train.json

`digits`: 1,797 handwritten digits, scanned at 8 × 8 pixels (scikit-learn's copy of UCI's "Optical Recognition of
Handwritten Digits"). `letters`: 26 letters in the fonts that come with Matplotlib, tilted, of any size and color, so
that color says nothing.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = (
    *(f"DejaVu{family}" for family in ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "SansMono-Bold", "Serif")),
    *("DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
    *("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"),
)
LETTER_SIDE = 48  # pixels
DIGIT_MAXIMUM = 16  # of the scans' gray values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    for name, images in (("digits", digits()), ("letters", letters())):
        count = write(folder / name, images)
        print(f"{folder / name}: {count} images")


def digits() -> Iterator[tuple[str, Image.Image]]:
    """Gives each digit with its class."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    for scan, digit in zip(scans.images, scans.target, strict=True):
        yield str(digit), Image.fromarray((scan * 255 / DIGIT_MAXIMUM).astype(np.uint8))


def letters() -> Iterator[tuple[str, Image.Image]]:
    """Gives each letter, small and capital, in each font, twice, with its class."""
    rng = np.random.default_rng(0)
    for letter in ascii_lowercase:
        for name in 2 * FONTS:
            for text in (letter, letter.upper()):
                yield letter, draw_letter(text, name, rng)


def draw_letter(text: str, font_name: str, rng: np.random.Generator) -> Image.Image:
    """Draws a letter, tilted by up to 15 degrees, in one color on another."""
    from matplotlib import get_data_path

    path = Path(get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf"
    font = ImageFont.truetype(str(path), size=int(rng.integers(LETTER_SIDE // 2, LETTER_SIDE)))
    mask = Image.new("L", (LETTER_SIDE, LETTER_SIDE))
    ImageDraw.Draw(mask).text((LETTER_SIDE / 2, LETTER_SIDE / 2), text, fill=255, font=font, anchor="mm")
    mask = mask.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
    ink, paper = (Image.new("RGB", mask.size, tuple(color)) for color in rng.integers(0, 256, (2, 3)).tolist())
    return Image.composite(ink, paper, mask)


def write(folder: Path, images: Iterator[tuple[str, Image.Image]]) -> int:
    """Writes images as <class>/<number>.png into a folder that may exist; returns how many."""
    count = 0
    for label, image in images:
        (folder / label).mkdir(parents=True, exist_ok=True)
        image.save(folder / label / f"{count:05d}.png")
        count += 1
    return count


if __name__ == "__main__":
    main()
