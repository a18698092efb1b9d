"""From an image file to pixels: one decoder for indexing, baselines and queries alike."""

import io
import warnings
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from similarity.errors import UserError
from similarity.images.colors import is_transposed, upright_rgb
from similarity.images.formats import HEIC_PACKAGE, can_read_heic, is_heic, register_formats
from similarity.parallel import Room

_JPEG_MAGIC, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
_MAX_SCANS_TIMES_PIXELS = 1_000_000_000  # of a progressive JPEG; each scan goes over all pixels; usual are ten
_ROOM = Room(1_500_000_000)  # bytes that all threads together may decode into
_BYTES_PER_SAMPLE = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
_COPIES_BYTES = 4 + 3  # of RGB pixels: Pillow's and NumPy's
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages

# Remarks on odd but readable metadata. Set once: changing filters within threads is not safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


class DecodedImage(NamedTuple):
    """A decoded image.

    Attributes:
        pixels: RGB, uint8 (height, width, 3), of the image or a smaller version of it.
        width: of the image itself, upright, in pixels.
        height: likewise.
    """

    pixels: np.ndarray
    width: int
    height: int


class UnreadableImageError(ValueError):
    """The file's content cannot be decoded as an image; the message says why, without the path."""


class MissingReaderError(UnreadableImageError):
    """The image may be whole, but the package that reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


def decode_image(source: Path | bytes, side: int | None = None, max_pixels: int | None = None) -> DecodedImage:
    """Decode an image, upright and in color.

    The first frame of an animation is taken, EXIF orientation is applied, transparency is laid over white, 16-bit
    gray is scaled by 1/257, and gray without a declared white (32-bit and float) is stretched to its own range.

    A JPEG is decoded at the smallest of libjpeg's scales 1, 1/2, 1/4 and 1/8 that still gives twice as many pixels as
    are needed in each direction: a photograph of 12 megapixels in a sixth of the time.

    Args:
        source: a file, or its bytes.
        side: of the square that the pixels are to be resized to, in pixels; None for the image at its own size.
        max_pixels: refuse more than that before they are decoded; without it, Pillow's own limit holds.

    Raises:
        FileNotFoundError: there is no such file.
        TooManyPixelsError: it has more than `max_pixels`.
        UnreadableImageError: not an image, truncated, corrupt, or too large to be decoded safely: of more than 179
            million pixels, or of so many scans that it takes minutes.
        MissingReaderError: HEIC, without the package that reads it.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    heic = is_heic(content)
    if heic and not can_read_heic():
        raise MissingReaderError(f"HEIC, which is read after `pip install '{HEIC_PACKAGE}'`")
    formats = register_formats(heic)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            _check_size(image, max_pixels)
            _check_scans(content, image.size)
            size = image.size
            if side is not None:
                image.draft(None, (_OVERSAMPLING * side,) * 2)
            with _ROOM.taken(_needed_bytes(image)):
                image.load()
                size = image.size if image.format == "HEIF" else size  # the header of a HEIC file may say another one
                width, height = size[::-1] if is_transposed(image) else size
                return DecodedImage(np.asarray(upright_rgb(image)), width, height)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        known = f"not an image in a known format ({', '.join(formats)})"
        raise UnreadableImageError("damaged HEIC" if heic else known) from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError and more
        raise UnreadableImageError(_one_line(error)) from error


def read_image(source: Path | bytes, side: int | None = None) -> np.ndarray:
    """Decode the pixels alone, uint8 (height, width, 3); see `decode_image`."""
    return decode_image(source, side).pixels


def read_image_file(file: Path, digest: str | None = None, side: int | None = None) -> np.ndarray:
    """Decode an image file that is needed, as `read_image` does.

    Args:
        file: of the image.
        digest: the SHA-256 that its bytes must have, in hexadecimal.
        side: of the square that the pixels are to be resized to.

    Raises:
        UserError: it cannot be decoded, or has another digest; the message names the file.
    """
    content = file.read_bytes()
    if digest is not None and sha256(content).hexdigest() != digest:
        raise UserError(f"{file} has changed since it was scanned: run `dvc repro`")
    try:
        return read_image(content, side)
    except UnreadableImageError as error:
        raise UserError(f"{file}: {error}") from error


def upright_pixels(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image that Pillow has opened or made, as `read_image` gives those of a file.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        return np.asarray(upright_rgb(image))
    except Exception as error:  # as above
        raise UnreadableImageError(_one_line(error)) from error


def _check_size(image: Image.Image, max_pixels: int | None) -> None:
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise TooManyPixelsError(
            f"{image.width} × {image.height} pixels are too many: {max_pixels / 1e6:g} million are allowed"
        )


def _check_scans(content: bytes, size: tuple[int, int]) -> None:
    """Refuse a JPEG of so many scans that decoding it takes minutes, however small the file is."""
    scans = content.count(_START_OF_SCAN) if content.startswith(_JPEG_MAGIC) else 0  # in a scan, 0 follows 0xff
    if scans * size[0] * size[1] > _MAX_SCANS_TIMES_PIXELS:
        raise UnreadableImageError(f"{scans} scans of {size[0]} × {size[1]} pixels take too long to decode")


def _needed_bytes(image: Image.Image) -> int:
    """Estimate the memory that decoding an image takes."""
    samples = _BYTES_PER_SAMPLE.get(image.mode, len(image.getbands()))
    return image.width * image.height * (samples + _COPIES_BYTES)


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes too much memory to decode"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
