"""Small pictures: previews of all images in one file, and contact sheets of queries and what was found for them."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from similarity.data.dataset.manifest import UNLABELED
from similarity.data.files import write_array
from similarity.data.images.decoding import UnreadableImageError, read_image
from similarity.errors import UserError

PREVIEW_SIZE = 112  # pixels, side of the square that a preview fits into
_QUALITY = 90
_CONTENT, _ENDS = "previews.bin", "ends.npy"
TILE_SIZE = 112  # pixels, side of the square that an image is fitted into
_MARGIN, _LINE, _FONT_SIZE = 8, 15, 11
_BACKGROUND, _INK, _SAME, _OTHER = "#ffffff", "#1f2328", "#1a7f37", "#cf222e"


def encode_preview(pixels: np.ndarray) -> bytes:
    """Encode RGB pixels, uint8 (height, width, 3), as a JPEG, shrunk to the size of a preview if they are larger."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


@contextmanager
def open_previews(folder: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that adds a preview to the JPEGs in a folder, and to their table of ends, int64 (n + 1,)."""
    ends = [0]
    with (folder / _CONTENT).open("wb") as file:
        yield lambda preview: ends.append(ends[-1] + file.write(preview))
    write_array(folder / _ENDS, np.array(ends, np.int64))


class Previews:
    """The previews of all images, read one at a time by row."""

    def __init__(self, folder: Path) -> None:
        """Open the folder that `open_previews` filled."""
        self._path, self._ends = folder, np.load(folder / _ENDS)
        self._content = np.memmap(folder / _CONTENT, np.uint8, "r")

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the preview of a row's image: RGB, uint8 (height, width, 3).

        Raises:
            UserError: the file is damaged.
        """
        start, end = self._ends[row : row + 2].tolist()
        try:
            return read_image(self._content[start:end].tobytes())
        except UnreadableImageError as error:
            raise UserError(f"{self._path} is damaged: run `dvc checkout`, or `dvc repro`") from error


class Tile(NamedTuple):
    """One image of a sheet."""

    pixels: np.ndarray  # RGB, uint8 (height, width, 3)
    lines: Sequence[str]  # the text below it
    is_match: bool | None  # whether its class is the query's; None for the query, and where one of them has none


def tile_of(pixels: np.ndarray, key: str, caption: str, query_label: str | None) -> Tile:
    """Make a tile of an indexed image; `query_label` is the class it should have, if any."""
    label, name = key.split("/")
    is_match = None if query_label is None or UNLABELED in {label, query_label} else label == query_label
    return Tile(pixels, (f"{caption}  {label}", name), is_match)


def draw_sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Draw rows of images: a query, then its neighbors, framed in green if they have its class and in red if not."""
    columns, text_lines = max(map(len, rows)), max(len(tile.lines) for row in rows for tile in row)
    width, height = TILE_SIZE + _MARGIN, TILE_SIZE + _MARGIN + text_lines * _LINE
    sheet = Image.new("RGB", (columns * width + 3 * _MARGIN, len(rows) * height + _MARGIN), _BACKGROUND)
    for r, row in enumerate(rows):
        for c, tile in enumerate(row):
            _draw_tile(sheet, tile, _MARGIN + c * width + (2 * _MARGIN if c else 0), _MARGIN + r * height)
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
        while font.getlength(line) > TILE_SIZE:  # captions differ at their beginning, files' names at their end
            middle = len(line) // 2
            line = f"{line[: middle - 1]}…{line[middle + 1 :]}"
        draw.text((left, top + TILE_SIZE + 2 + i * _LINE), line, fill=_INK, font=font)


@lru_cache
def _font() -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic and more, but no Chinese."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _FONT_SIZE)
