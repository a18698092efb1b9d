"""A part of an image that is searched with instead of the whole."""

from math import ceil, isfinite
from pathlib import Path
from typing import NamedTuple

from similarity.errors import UserError
from similarity.images.decoding import DecodedImage, decode_image
from similarity.images.isolated_decoding import decode_upload

_MIN_SHARE = 0.001  # of a side: smaller ones are slips, and would need the image at a thousand times its size
_TOLERANCE = 1e-6  # of sums of rounded fractions


class Region(NamedTuple):
    """A rectangle, in fractions of an image that stands upright; x and y are of its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def parse_region(text: str) -> Region:
    """Read ``x,y,width,height``.

    Raises:
        UserError: the text is not four numbers, or not a rectangle within the image.
    """
    try:
        region = Region(*(float(number) for number in text.split(",")))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{text[:100]!r} is no region: x,y,width,height are needed, in fractions of the image, such as 0.25,0,0.5,1"
        ) from error
    x, y, width, height = region
    fits = x >= 0 and y >= 0 and x + width <= 1 + _TOLERANCE and y + height <= 1 + _TOLERANCE
    if not (all(map(isfinite, region)) and fits and min(width, height) >= _MIN_SHARE):
        raise UserError(
            f"{text[:100]!r} is no region of the image: all of it must lie between 0 and 1, and its sides be at least "
            f"{_MIN_SHARE}"
        )
    return region


def decode_bytes(content: bytes, side: int | None, max_pixels: int | None) -> DecodedImage:
    """Decode an image; an upload, whose pixels are limited, within limits of time and memory as well."""
    return decode_image(content, side) if max_pixels is None else decode_upload(content, side, max_pixels)


def decode_region(
    source: Path | bytes, region: Region, side: int | None = None, max_pixels: int | None = None
) -> DecodedImage:
    """Decode a part of an image; width and height are those of the whole. See `decode_bytes`."""
    least = None if side is None else ceil(side / min(region.width, region.height))
    content = source if isinstance(source, bytes) else source.read_bytes()
    pixels, width, height = decode_bytes(content, least, max_pixels)
    rows, columns = pixels.shape[:2]
    top, bottom = _bounds(region.y, region.height, rows)
    left, right = _bounds(region.x, region.width, columns)
    return DecodedImage(pixels[top:bottom, left:right], width, height)


def _bounds(start: float, length: float, pixels: int) -> tuple[int, int]:
    """Return the first pixel of a range and the one behind its last; there is at least one between them."""
    first = min(round(start * pixels), pixels - 1)
    return first, max(first + 1, min(pixels, round((start + length) * pixels)))
