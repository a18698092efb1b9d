"""From an image file to upright RGB pixels: one decoder for indexing, baselines and queries alike."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Semaphore
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from similarity.data.images.wide import Ranges, WideImage, has_wide_colors, take_low_bytes, wide_to_8_bits
from similarity.errors import UserError, one_line

HEIC_PACKAGE = "pillow-heif>=1,<2"  # as pip takes it; the extra `heic`
IMAGE_SUFFIXES = {
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
START = 512  # bytes that say what a file is

_READ = {
    "JPEG": rb"\xff\xd8",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM",
    "PPM": rb"P[1-6f]\s",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "HEIF": rb"....ftyp(?!avi[fs])(?=(....)*(hei[cxms]|hev[cxms]))",
    "AVIF": rb"....ftyp(?=(....)*avi[fs])",
}  # by their names in Pillow; no others: EPS, say, would run Ghostscript
_NAMED = {
    "nothing: the file has no bytes": rb"\Z",
    "zeros, as an interrupted copy leaves them": rb"\0{64}",
    "a web page, as a server may send": rb"(\xef\xbb\xbf)?\s*(?i:<(!doctype|html|\?xml|svg|error)|\{\s*\")",
    "a pointer of Git LFS: run `git lfs pull` where it comes from": rb"version https://git-lfs",
    "what macOS keeps about another file": rb"\0\x05\x16[\0\x07]",
    "a video": rb"....ftyp(isom|iso[2-6]|mp4|avc1|qt  |M4V|3gp|MSNV)|RIFF....AVI |\x1aE\xdf\xa3",
    "a raw photograph": rb"....ftypcrx |FUJIFILMCCD-RAW|IIRO|IIU\0",
}  # what people's folders have under the names of images
_MAX_PIXELS = 200_000_000  # that are decoded, as telephones have them; of a JPEG, at the scale that is needed
_MAX_PROGRESSIVE = 1_000_000_000  # pixels, whose coefficients are all kept
_LARGE = 20_000_000  # pixels, each of which takes up to 11 bytes while it is decoded
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages
_BITS_PER_SAMPLE = 258  # tag of TIFF
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


class UnreadableImageError(ValueError):
    """The file's content cannot be decoded as an image; the message says why, without the path."""


class MissingReaderError(UnreadableImageError):
    """The image may be whole, but the package that reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


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
    with _one_error(), _open(content) as image:
        size, low = image.size, take_low_bytes(_open(content)) if has_wide_colors(image) else None
        _check_pixels(size, size[0] * size[1], max_pixels)
        if side is not None:
            image.draft(None, (_OVERSAMPLING * side,) * 2)
        decoded_pixels = image.width * image.height
        _check_pixels(size, decoded_pixels, _MAX_PIXELS)
        if image.info.get("progressive"):
            _check_pixels(size, size[0] * size[1], _MAX_PROGRESSIVE)
        with _large_images if decoded_pixels > _LARGE else nullcontext():
            image.load()
            size = image.size if image.format == "HEIF" else size  # the header of a HEIC file may say another one
            width, height = size[::-1] if 5 <= _orientation(image) <= 8 else size
            pixels, wide = _upright_rgb(image, ranges or {}, low)
            return DecodedImage(np.asarray(pixels), width, height, wide)


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
    with _one_error():
        return np.asarray(_upright_rgb(image, ranges or {})[0])


def image_format(content: bytes) -> str | None:
    """Name the format of an image by its first bytes, `START` or more, as Pillow does (HEIC: ``HEIF``), or None."""
    return _match(_READ, content)


def can_read_heic() -> bool:
    """Return whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


@contextmanager
def _one_error() -> Iterator[None]:
    """Convert what decoders raise: OSError, SyntaxError, struct.error, ValueError and more."""
    try:
        yield
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError("it takes too much memory to decode") from error
    except Exception as error:
        raise UnreadableImageError(one_line(error).rstrip(".") or type(error).__name__) from error


def _match(patterns: dict[str, bytes], content: bytes) -> str | None:
    return next((name for name, pattern in patterns.items() if re.match(pattern, content[:START], re.DOTALL)), None)


def _open(content: bytes) -> ImageFile:
    """Open an image without decoding it."""
    name = image_format(content)
    if name is None:
        known = ", ".join(_READ).replace("HEIF", "HEIC")
        kind = _match(_NAMED, content)
        raise UnreadableImageError(f"not an image, but {kind}" if kind else f"not an image in a known format ({known})")
    if name == "HEIF" and not can_read_heic():
        raise MissingReaderError(f"HEIC, which is read after `pip install '{HEIC_PACKAGE}'`")
    if name == "HEIF" and name not in Image.OPEN:
        import pillow_heif

        # Images are decoded in as many threads as there are cores. It turns them upright itself.
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)
    Image.init()
    if name not in Image.OPEN:  # AVIF and JPEG 2000 are not in every build of Pillow
        raise UnreadableImageError(f"{name}, which this build of Pillow does not read")
    try:
        # Not `Image.open`, whose limit of pixels is one for the whole program, and does not know at what scale.
        image = Image.OPEN[name][0](io.BytesIO(content), "")
    except (SyntaxError, ValueError) as error:
        name = name.replace("HEIF", "HEIC")
        raise UnreadableImageError(
            f"damaged {name}, or a kind of {name} that is not read: {one_line(error)}"
        ) from error
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if 16 in bits and any(tile.args[0] == "R" for tile in image.tile if isinstance(tile.args, tuple)):
        raise UnreadableImageError("a kind of TIFF that is not read, with planes of 16 bits: save it as PNG")
    return image


def _check_pixels(size: tuple[int, int], pixels: int, allowed: int | None) -> None:
    if allowed is not None and pixels > allowed:
        raise TooManyPixelsError(f"{size[0]} × {size[1]} pixels are too many: {allowed / 1e6:g} million are allowed")


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
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image if image.mode == "RGB" else image.convert("RGB")
    return image if method is None else image.transpose(method), wide


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none can be read: damaged metadata does not make an image unusable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, TypeError, ValueError and more
        return 1
