"""From an image file to upright RGB pixels: one decoder for indexing, baselines and queries alike."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from threading import Lock, Semaphore
from typing import NamedTuple

import numpy as np
from PIL import Image

from similarity.data.images.formats import UnreadableImageError, choose_scale, open_image
from similarity.data.images.wide import (
    Ranges,
    find_levels,
    find_range,
    has_wide_colors,
    take_low_bytes,
    to_8_bits,
    wide_samples,
)
from similarity.errors import UserError, one_line

_MAX_BYTES = 2_000_000_000  # of a file
_SHARE, _SHARES = 50_000_000, 30  # bytes that threads decode into: an image takes no share, some, or at most all
_BYTES_PER_PIXEL = 4 + 4 + 3  # at most: as it is in the file, and as RGB in Pillow's memory and in NumPy's
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

_queue, _free_shares = Lock(), Semaphore(_SHARES)

# Remarks on odd but readable metadata. Set once: changing filters within threads is not safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


class WideImage(NamedTuple):
    """What is known of an image with samples of more than 8 bits."""

    kind: str  # as in `Ranges`
    levels: np.ndarray  # of its samples; see `find_levels`
    lost: float  # share of the samples that have no value, or are far out of the range


class DecodedImage(NamedTuple):
    """RGB pixels, uint8 (height, width, 3), perhaps of a smaller version of an image, and its own size when upright."""

    pixels: np.ndarray
    width: int
    height: int


def decode_image(
    source: Path | bytes, side: int | None = None, max_pixels: int | None = None, ranges: Ranges | None = None
) -> DecodedImage:
    """Decode an image, upright and in color.

    The first frame of an animation is taken, EXIF orientation is applied, and transparency is laid over white. Samples
    of more than 8 bits are mapped by the range of their kind, or by the image's own if there is none.

    A JPEG is decoded at the smallest of libjpeg's scales 1, 1/2, 1/4 and 1/8 that still gives twice as many pixels as
    are needed in each direction: a photograph of 12 megapixels in a sixth of the time.

    Args:
        source: a file, or its bytes.
        side: of the square that the pixels are to be resized to, in pixels; None for the image at its own size.
        max_pixels: refuse more than that before they are decoded. More than 200 million are never decoded.
        ranges: of the data set, as `scan` found them.

    Raises:
        FileNotFoundError: there is no such file.
        TooManyPixelsError: it has too many.
        UnreadableImageError: not a file or an image, truncated, corrupt, or such that decoding it takes minutes.
        MissingReaderError: HEIC, without the package that reads it.
    """
    return decode_with_levels(source, side, ranges or {}, max_pixels)[0]


def decode_with_levels(
    source: Path | bytes, side: int | None, ranges: Ranges, max_pixels: int | None = None
) -> tuple[DecodedImage, WideImage | None]:
    """Decode an image as `decode_image` does, and find the levels of samples of more than 8 bits."""
    content = source if isinstance(source, bytes) else read_file(source)
    try:
        with open_image(content, max_pixels) as image:
            size, has_low_bytes = image.size, has_wide_colors(image)
            choose_scale(image, side)
            with _memory_shared(image.width * image.height * _BYTES_PER_PIXEL):
                image.load()
                low = _low_bytes(content) if has_low_bytes else None
                size = image.size if image.format == "HEIF" else size  # the header of a HEIC file may say another one
                width, height = size[::-1] if 5 <= _orientation(image) <= 8 else size
                pixels, wide = _upright_rgb(image, ranges, low)
                return DecodedImage(np.asarray(pixels), width, height), wide
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError("it takes too much memory to decode") from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError and more
        raise UnreadableImageError(one_line(error).rstrip(".") or type(error).__name__) from error


def read_image(source: Path | bytes, side: int | None = None, ranges: Ranges | None = None) -> np.ndarray:
    """Decode the pixels alone, uint8 (height, width, 3); see `decode_image`."""
    return decode_image(source, side, ranges=ranges).pixels


def read_image_file(
    file: Path, digest: str | None = None, side: int | None = None, ranges: Ranges | None = None
) -> np.ndarray:
    """Decode an image file as `read_image` does; its bytes must have a SHA-256, in hexadecimal, unless it is None.

    Raises:
        UserError: it cannot be decoded, or has another digest; the message names the file.
    """
    try:
        content = file.read_bytes()
        if digest is not None and sha256(content).hexdigest() != digest:
            raise UserError(f"{file} has changed since it was scanned: run `dvc repro`")
        return read_image(content, side, ranges)
    except UnreadableImageError as error:
        raise UserError(f"{file}: {error}") from error


def read_file(path: Path) -> bytes:
    """Read a file that can be an image: a FIFO or a device could be read forever.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImageError: it is no file, or too large.
    """
    facts = path.stat()
    if not (S_ISREG(facts.st_mode) or S_ISDIR(facts.st_mode)):
        raise UnreadableImageError("no file, but a FIFO, a socket or a device")
    if facts.st_size > _MAX_BYTES:
        raise UnreadableImageError(f"a file of {facts.st_size / 1e9:.0f} GB is too large: 2 are allowed")
    return path.read_bytes()


def upright_pixels(image: Image.Image, ranges: Ranges | None = None) -> np.ndarray:
    """Return the pixels of an image that Pillow has opened or made, as `read_image` gives those of a file.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        return np.asarray(_upright_rgb(image, ranges or {})[0])
    except Exception as error:  # as above
        raise UnreadableImageError(one_line(error).rstrip(".") or type(error).__name__) from error


def _low_bytes(content: bytes) -> Image.Image:
    image = open_image(content)
    take_low_bytes(image)
    image.load()
    return image


@contextmanager
def _memory_shared(wanted: int) -> Iterator[None]:
    """Wait until other threads have left the memory that an image takes."""
    shares = min(wanted // _SHARE, _SHARES)
    with _queue:  # one after the other, so that no two wait for each other's
        for _ in range(shares):
            _free_shares.acquire()
    try:
        yield
    finally:
        for _ in range(shares):
            _free_shares.release()


def _upright_rgb(
    image: Image.Image, ranges: Ranges, low: Image.Image | None = None
) -> tuple[Image.Image, WideImage | None]:
    """Convert the samples to RGB, lay transparency over white, and apply the EXIF orientation."""
    method, wide = _UPRIGHT.get(_orientation(image)), None
    if samples := wide_samples(image, low):
        levels = find_levels(samples.samples)
        black, white = ranges.get(samples.kind) or find_range(samples.kind, levels)
        mapped, lost = to_8_bits(samples.samples, black, white)
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        image = Image.fromarray(255 - mapped if samples.is_inverted else mapped)
        wide = WideImage(samples.kind, levels, lost)
        if alpha is not None:
            image.putalpha(alpha)
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
