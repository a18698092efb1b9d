"""From an image file to upright RGB pixels: one decoder for indexing, baselines and queries alike."""

import logging
import warnings
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from threading import Semaphore
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity.data.images.formats import UnreadableImageError, choose_scale, open_image
from similarity.data.images.wide import Ranges, WideImage, has_wide_colors, take_low_bytes, wide_to_8_bits
from similarity.errors import UserError, one_line

_LARGE = 20_000_000  # pixels, each of which takes up to 11 bytes while it is decoded
_WHITE = (255, 255, 255)
_ORIENTATION = 0x0112  # in EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_large_images = Semaphore(2)  # that threads decode at a time

# Remarks on odd but readable metadata. Set once: changing filters within threads is not safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


class DecodedImage(NamedTuple):
    """RGB pixels, uint8 (height, width, 3), perhaps of a smaller version of an image, and its own size when upright."""

    pixels: np.ndarray
    width: int
    height: int
    wide: WideImage | None = None  # if its samples have more than 8 bits


def decode_image(
    source: Path | bytes, side: int | None = None, max_pixels: int | None = None, ranges: Ranges | None = None
) -> DecodedImage:
    """Decode an image, upright and in color.

    The first frame of an animation is taken, EXIF orientation is applied, and transparency is laid over white.

    Args:
        source: a file, or its bytes.
        side: of the square that the pixels are to be resized to: a JPEG is decoded at the smallest of libjpeg's scales
            that still gives twice as many in each direction. None for the image at its own size.
        max_pixels: refuse more than that before they are decoded. More than 200 million are never decoded.
        ranges: of the data set, by which samples of more than 8 bits are mapped; the image's own if one is missing.

    Raises:
        FileNotFoundError: there is no such file.
        TooManyPixelsError: it has too many.
        UnreadableImageError: not a file or an image, truncated or corrupt.
        MissingReaderError: HEIC, without the package that reads it.
    """
    content = source if isinstance(source, bytes) else read_file(source)
    try:
        with open_image(content, max_pixels) as image:
            size, low = image.size, None
            if has_wide_colors(image):
                low = open_image(content)
                take_low_bytes(low)
            choose_scale(image, side)
            with _large_images if image.width * image.height > _LARGE else nullcontext():
                image.load()
                size = image.size if image.format == "HEIF" else size  # the header of a HEIC file may say another one
                width, height = size[::-1] if 5 <= _orientation(image) <= 8 else size
                pixels, wide = _upright_rgb(image, ranges or {}, low)
                return DecodedImage(np.asarray(pixels), width, height, wide)
    except Exception as error:
        raise _unreadable(error) from error


def read_image(source: Path | bytes, side: int | None = None, ranges: Ranges | None = None) -> np.ndarray:
    """Decode the pixels alone, uint8 (height, width, 3); see `decode_image`."""
    return decode_image(source, side, ranges=ranges).pixels


def read_image_file(
    file: Path, digest: str | None = None, side: int | None = None, ranges: Ranges | None = None
) -> np.ndarray:
    """Decode an image file as `read_image` does; raise a `UserError` that names it if it cannot be decoded.

    Its bytes must have a SHA-256, in hexadecimal, unless it is None.
    """
    content = file.read_bytes()
    if digest is not None and sha256(content).hexdigest() != digest:
        raise UserError(f"{file} has changed since it was scanned: run `dvc repro`")
    try:
        return read_image(content, side, ranges)
    except UnreadableImageError as error:
        raise UserError(f"{file}: {error}") from error


def read_file(path: Path) -> bytes:
    """Read a file, and refuse a FIFO or a device with an `UnreadableImageError`: it could be read forever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UnreadableImageError("no file, but a FIFO, a socket or a device")
    return path.read_bytes()


def upright_pixels(image: Image.Image, ranges: Ranges | None = None) -> np.ndarray:
    """Return the pixels of an image that Pillow has opened or made, as `read_image` gives those of a file."""
    try:
        return np.asarray(_upright_rgb(image, ranges or {})[0])
    except Exception as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> UnreadableImageError:
    """Convert what decoders raise: OSError, SyntaxError, struct.error, ValueError and more."""
    if isinstance(error, UnreadableImageError):
        return error
    if isinstance(error, MemoryError):
        return UnreadableImageError("it takes too much memory to decode")
    return UnreadableImageError(one_line(error).rstrip(".") or type(error).__name__)


def _upright_rgb(
    image: Image.Image, ranges: Ranges, low: Image.Image | None = None
) -> tuple[Image.Image, WideImage | None]:
    """Convert the samples to RGB, lay transparency over white, and apply the EXIF orientation."""
    method, wide = _UPRIGHT.get(_orientation(image)), None
    if mapped := wide_to_8_bits(image, low, ranges):
        image, wide = mapped
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[-1] == (0, 0):  # all is transparent: programs that know no transparency leave it so
            image.putalpha(255)
        image = Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image)
    image = image if image.mode == "RGB" else image.convert("RGB")
    return image if method is None else image.transpose(method), wide


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none can be read: damaged metadata does not make an image unusable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, TypeError, ValueError and more
        return 1
