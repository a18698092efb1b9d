"""From an image file to upright RGB pixels: one decoder for indexing, baselines and queries alike."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, Semaphore
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from similarity.errors import UserError

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_PACKAGE = "pillow-heif>=1,<2"
"""The package that reads HEIC, as pip takes it; the extra `heic`."""
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: EPS, say, would run Ghostscript
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_JPEG_MAGIC, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
_MAX_SCANS_TIMES_PIXELS = 1_000_000_000  # of a progressive JPEG; each scan goes over all pixels; usual are ten
_SHARE, _SHARES = 50_000_000, 30  # bytes that threads decode into: an image takes no share, some, or at most all
_BYTES_PER_PIXEL = 4 + 4 + 3  # at most: as it is in the file, and as RGB in Pillow's memory and in NumPy's
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages
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
_WIDE_ROWS = 256  # that are converted at a time

_queue, _free_shares = Lock(), Semaphore(_SHARES)

# Remarks on odd but readable metadata. Set once: changing filters within threads is not safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


class DecodedImage(NamedTuple):
    """RGB pixels, uint8 (height, width, 3), perhaps of a smaller version of an image, and its own size when upright."""

    pixels: np.ndarray
    width: int
    height: int


class UnreadableImageError(ValueError):
    """The file's content cannot be decoded as an image; the message says why, without the path."""


class MissingReaderError(UnreadableImageError):
    """The image may be whole, but the package that reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


def can_read_heic() -> bool:
    """Return whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


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
    heic = _is_heic(content)
    if heic and not can_read_heic():
        raise MissingReaderError(f"HEIC, which is read after `pip install '{HEIC_PACKAGE}'`")
    formats = _register_formats(heic)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            _check(image, content, max_pixels)
            size = image.size
            if side is not None:
                image.draft(None, (_OVERSAMPLING * side,) * 2)
            with _memory_shared(image.width * image.height * _BYTES_PER_PIXEL):
                image.load()
                size = image.size if image.format == "HEIF" else size  # the header of a HEIC file may say another one
                width, height = size[::-1] if 5 <= _orientation(image) <= 8 else size
                return DecodedImage(np.asarray(_upright_rgb(image)), width, height)
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
    """Decode an image file as `read_image` does; its bytes must have a SHA-256, in hexadecimal, unless it is None.

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
        return np.asarray(_upright_rgb(image))
    except Exception as error:  # as above
        raise UnreadableImageError(_one_line(error)) from error


def _is_heic(content: bytes) -> bool:
    """Recognize a HEIC file by the brands in its first box; AVIF has the same container."""
    if content[4:8] != b"ftyp":
        return False
    box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    return bool(brands & _HEIC_BRANDS) and box[:4] not in _AVIF_BRANDS


@cache
def _register_formats(heic: bool) -> tuple[str, ...]:
    """Make Pillow read HEIC, whose reader must be installed, or the other formats; return their names in Pillow."""
    if heic:
        import pillow_heif

        # Images are decoded in as many threads as there are cores. It turns them upright itself.
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)
        return ("HEIF",)
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF is not in every build of Pillow


def _check(image: Image.Image, content: bytes, max_pixels: int | None) -> None:
    """Refuse too many pixels, and a JPEG of so many scans that decoding it takes minutes, however small the file is."""
    pixels, size = image.width * image.height, f"{image.width} × {image.height} pixels"
    if max_pixels is not None and pixels > max_pixels:
        raise TooManyPixelsError(f"{size} are too many: {max_pixels / 1e6:g} million are allowed")
    scans = content.count(_START_OF_SCAN) if content.startswith(_JPEG_MAGIC) else 0  # in a scan, 0 follows 0xff
    if scans * pixels > _MAX_SCANS_TIMES_PIXELS:
        raise UnreadableImageError(f"{scans} scans of {size} take too long to decode")


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


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes too much memory to decode"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, lay transparency over white, and convert the samples to RGB."""
    method = _UPRIGHT.get(_orientation(image))
    pixels = _to_rgb(image)
    return pixels if method is None else pixels.transpose(method)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none can be read: damaged metadata does not make an image unusable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, TypeError, ValueError and more
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _stretched(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Stretch wide samples to gray, 0…255, some rows at a time: floats of all of them take gigabytes.

    Black and white are 0 and 65,535 in 16 bits, else an image's lowest and highest finite sample. NaN becomes black.
    """
    finite = (values[np.isfinite(values)] for _, values in _strips(image) if image.mode in {"I", "F"})
    ends = [(values.min(), values.max()) for values in finite if len(values)] or [(0, 65_535)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    scale = 255 / (high - low) if high > low else 0
    gray = np.empty((image.height, image.width), np.uint8)
    for top, values in _strips(image):
        bounded = np.nan_to_num(np.clip(values, low, high), nan=low)
        gray[top : top + len(values)] = ((bounded - low) * scale).round()
    return Image.fromarray(gray)


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    for top in range(0, image.height, _WIDE_ROWS):
        strip = image.crop((0, top, image.width, min(top + _WIDE_ROWS, image.height)))
        yield top, np.asarray(strip, np.float64)
