"""From an image file to pixels: one decoder for indexing, baselines and queries alike."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from similarity.errors import UserError
from similarity.images.protocols import ImageFile
from similarity.parallel import Room

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_PACKAGE = "pillow-heif>=1,<2"
"""What reads HEIC, as pip takes it; the extra `heic`."""
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: EPS, say, would run Ghostscript
_WHITE = (255, 255, 255)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_JPEG_MAGIC, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
_EXIF_ORIENTATION = 0x0112
_UPRIGHT_BY_ORIENTATION = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TRANSPOSED = frozenset({5, 6, 7, 8})

# Remarks on odd but readable metadata. Set once: changing filters within threads is not safe.
warnings.filterwarnings("ignore", module=r"PIL\.")


_MAX_SCANS_TIMES_PIXELS = 1_000_000_000  # of a progressive JPEG; each scan goes over all pixels; usual are ten
ROOM = Room(1_500_000_000)  # bytes that all threads together may decode into
_BYTES_PER_SAMPLE = {"I": 4, "F": 4, "I;16": 2, "I;16B": 2, "I;16L": 2}
_COPIES_BYTES = 4 + 3  # of RGB pixels: Pillow's and NumPy's
_WIDE_ROWS = 256  # that are converted at a time
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages


class DecodedImage(NamedTuple):
    """What was decoded.

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
    """The image may be whole, but what reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


class NotAdmittedError(Exception):
    """Whoever admits images to be decoded does not want this one; see `decode_image`."""


def take_room(image: Image.Image) -> AbstractContextManager[None]:
    """Admits an image when there is room for it beside those that other threads decode."""
    return ROOM.taken(needed_bytes(image))


def decode_image(
    source: ImageFile | bytes,
    side: int | None = None,
    max_pixels: int | None = None,
    admit: Callable[[Image.Image], AbstractContextManager[None]] = take_room,
) -> DecodedImage:
    """Decodes an image, upright and in color.

    The first frame of an animation is taken, EXIF orientation is applied, transparency is laid over white, 16-bit
    gray is scaled by 1/257, and gray without a declared white (32-bit and float) is stretched to its own range.

    A JPEG is decoded at the smallest of libjpeg's scales 1, 1/2, 1/4 and 1/8 that still gives twice as many pixels as
    are needed in each direction: a photograph of 12 megapixels in a sixth of the time.

    Args:
        source: a file, or its bytes.
        side: of the square that the pixels are to be resized to, in pixels; None for the image at its own size.
        max_pixels: refuse more than that before they are decoded; without it, Pillow's own limit holds.
        admit: is asked for each image that was opened; within what it gives, the image is decoded.

    Raises:
        FileNotFoundError: there is no such file.
        TooManyPixelsError: it has more than `max_pixels`.
        NotAdmittedError: from `admit`.
        UnreadableImageError: not an image, truncated, corrupt, or too large to be decoded safely: of more than 179
            million pixels, or of so many scans that it takes minutes.
        MissingReaderError: HEIC, without the package that reads it.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    formats = _heic_formats() if _is_heic(content) else _known_formats()
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise TooManyPixelsError(
                    f"{image.width} × {image.height} pixels are too many: {max_pixels / 1e6:g} million are allowed"
                )
            size = image.size
            _check_scans(content, size)
            if side is not None:
                image.draft(None, (_OVERSAMPLING * side,) * 2)
            with admit(image):
                image.load()
                size = image.size if image.format == "HEIF" else size  # as decoded: the header may tell another one
                orientation = _orientation(image)
                width, height = size if orientation not in _TRANSPOSED else size[::-1]
                return DecodedImage(np.asarray(_upright(_to_rgb(image), orientation)), width, height)
    except (UnreadableImageError, NotAdmittedError):
        raise
    except UnidentifiedImageError as error:
        known = f"not an image in a known format ({', '.join(formats)})"
        raise UnreadableImageError("damaged HEIC" if _is_heic(content) else known) from error
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError and more
        raise UnreadableImageError(_one_line(error)) from error


def read_image(source: ImageFile | bytes, side: int | None = None) -> np.ndarray:
    """The pixels alone of `decode_image`, uint8 (height, width, 3)."""
    return decode_image(source, side).pixels


def read_image_file(file: ImageFile, digest: str | None = None, side: int | None = None) -> np.ndarray:
    """Decodes an image file that is needed, as `read_image` does.

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
    """The pixels of an image that Pillow has opened or made, as `read_image` gives those of a file.

    Raises:
        UnreadableImageError: it cannot be decoded.
    """
    try:
        return np.asarray(_upright(_to_rgb(image), _orientation(image)))
    except Exception as error:  # as above
        raise UnreadableImageError(_one_line(error)) from error


def _check_scans(content: bytes, size: tuple[int, int]) -> None:
    """Refuses a JPEG of so many scans that decoding it takes minutes, however small the file is."""
    scans = content.count(_START_OF_SCAN) if content.startswith(_JPEG_MAGIC) else 0  # in a scan, 0 follows 0xff
    if scans * size[0] * size[1] > _MAX_SCANS_TIMES_PIXELS:
        raise UnreadableImageError(f"{scans} scans of {size[0]} × {size[1]} pixels take too long to decode")


def needed_bytes(image: Image.Image) -> int:
    """The memory that decoding an image takes, roughly."""
    samples = _BYTES_PER_SAMPLE.get(image.mode, len(image.getbands()))
    return image.width * image.height * (samples + _COPIES_BYTES)


@cache
def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF is not in every build of Pillow


def can_read_heic() -> bool:
    """Whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


def _is_heic(content: bytes) -> bool:
    """Tells a HEIC file by the brands in its first box; AVIF has the same container."""
    if content[4:8] != b"ftyp":
        return False
    box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    return bool(brands & _HEIC_BRANDS) and box[:4] not in _AVIF_BRANDS


def _heic_formats() -> tuple[str, ...]:
    if not can_read_heic():
        raise MissingReaderError(f"HEIC, which is read after `pip install '{HEIC_PACKAGE}'`")
    _register_heic_reader()
    return ("HEIF",)


@cache
def _register_heic_reader() -> None:
    import pillow_heif

    # Images are decoded in as many threads as there are cores. It turns them upright itself.
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 if there is none that can be read: damaged metadata does not make an image unusable."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, TypeError, ValueError and more
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT_BY_ORIENTATION.get(orientation)
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _converted(image, lambda values: values / 257 + 0.5)
    elif image.mode in {"I", "F"}:
        image = _converted(image, _stretch_of(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _converted(image: Image.Image, convert: Callable[[np.ndarray], np.ndarray]) -> Image.Image:
    """Converts wide samples to gray, 0…255, some rows at a time: floats of all of them take gigabytes."""
    gray = np.empty((image.height, image.width), np.uint8)
    for top, values in _strips(image):
        gray[top : top + len(values)] = convert(values).astype(np.uint8)
    return Image.fromarray(gray)


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    for top in range(0, image.height, _WIDE_ROWS):
        strip = image.crop((0, top, image.width, min(top + _WIDE_ROWS, image.height)))
        yield top, np.asarray(strip, np.float64)


def _stretch_of(image: Image.Image) -> Callable[[np.ndarray], np.ndarray]:
    """What stretches samples to 0…255 by the lowest and the highest finite one of an image; NaN becomes 0."""
    finite = (values[np.isfinite(values)] for _, values in _strips(image))
    ends = [(values.min(), values.max()) for values in finite if len(values)]
    low, high = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0, 0)

    def stretch(values: np.ndarray) -> np.ndarray:
        bounded = np.nan_to_num(np.clip(values, low, high), nan=low)
        return ((bounded - low) * (255 / (high - low)) if high > low else np.zeros_like(values)).round()

    return stretch


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes too much memory to decode"
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
