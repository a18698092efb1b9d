"""Contact sheets: a query next to the images that were found for it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from similarity.data.dataset.manifest import UNLABELED

TILE_SIZE = 112  # pixels, side of the square that an image is fitted into
_NEIGHBORS_PER_LINE = 10
_MARGIN, _LINE, _FONT_SIZE = 8, 15, 11
_BACKGROUND, _INK, _SAME, _OTHER = "#ffffff", "#1f2328", "#1a7f37", "#cf222e"


class Tile(NamedTuple):
    """One image of a sheet.

    Attributes:
        pixels: RGB, uint8 (height, width, 3).
        lines: the text below it, the file's name last.
        is_match: whether its class is the query's; None for the query, and where one of them has none.
    """

    pixels: np.ndarray
    lines: Sequence[str]
    is_match: bool | None


def tile_of(pixels: np.ndarray, key: str, caption: str, query_label: str | None) -> Tile:
    """Make a tile of an indexed image; `query_label` is the class it should have, if any."""
    label, name = key.split("/")
    is_match = None if query_label is None or UNLABELED in {label, query_label} else label == query_label
    return Tile(pixels, (f"{caption}  {label}", name), is_match)


def draw_sheet(rows: Sequence[Sequence[Tile]], query_apart: bool = True) -> Image.Image:
    """Draw rows of images: a query, then its neighbors, framed in green if they have its class and in red if not.

    After ten neighbors, a row continues on the next line, below them. The query may be set apart from the others.
    """
    lines: list[list[Tile | None]] = []
    for query, *found in rows:
        starts = range(0, max(1, len(found)), _NEIGHBORS_PER_LINE)
        lines += [[None if start else query, *found[start : start + _NEIGHBORS_PER_LINE]] for start in starts]
    columns = max(len(line) for line in lines)
    text_lines = max(len(tile.lines) for row in rows for tile in row)
    width, height = TILE_SIZE + _MARGIN, TILE_SIZE + _MARGIN + text_lines * _LINE
    gap = 2 * _MARGIN if query_apart else 0
    sheet = Image.new("RGB", (columns * width + gap + _MARGIN, len(lines) * height + _MARGIN), _BACKGROUND)
    for r, line in enumerate(lines):
        for c, tile in enumerate(line):
            if tile is not None:
                _draw_tile(sheet, tile, _MARGIN + c * width + (gap if c else 0), _MARGIN + r * height)
    return sheet


def _draw_tile(sheet: Image.Image, tile: Tile, left: int, top: int) -> None:
    """Draw an image, shrunk or enlarged to fit, with its frame and its lines."""
    draw, font = ImageDraw.Draw(sheet), _font()
    picture = Image.fromarray(np.ascontiguousarray(tile.pixels))
    scale = TILE_SIZE / max(picture.size)
    picture = picture.resize([max(1, round(scale * side)) for side in picture.size], Image.Resampling.BICUBIC)
    sheet.paste(picture, (left + (TILE_SIZE - picture.width) // 2, top + (TILE_SIZE - picture.height) // 2))
    if tile.is_match is not None:
        frame = (left - 3, top - 3, left + TILE_SIZE + 2, top + TILE_SIZE + 2)
        draw.rectangle(frame, outline=_SAME if tile.is_match else _OTHER, width=2)
    for i, line in enumerate(tile.lines):
        is_name = i == len(tile.lines) - 1  # files' names differ at their end, all else at its beginning
        draw.text((left, top + TILE_SIZE + 2 + i * _LINE), _shortened(line, font, is_name), fill=_INK, font=font)


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic and more, but no Chinese."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT_SIZE)


def _shortened(text: str, font: ImageFont.FreeTypeFont, keeps_end: bool) -> str:
    """Cut a text to the width of a tile, at its end or at its beginning."""
    shown = text
    while font.getlength(shown) > TILE_SIZE and len(text) > 1:
        text = text[1:] if keeps_end else text[:-1]
        shown = f"…{text}" if keeps_end else f"{text}…"
    return shown
