"""What a file is by its first bytes, and opening those kinds that are images, within limits."""

import io
import re
from importlib.util import find_spec

from PIL import Image
from PIL.ImageFile import ImageFile

from similarity.errors import one_line

HEIC_PACKAGE = "pillow-heif>=1,<2"
"""The package that reads HEIC, as pip takes it; the extra `heic`."""
IMAGE_SUFFIXES = {
    ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf",
    ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
START = 512
"""Bytes that say what a file is."""

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
    "a document of Photoshop": rb"8BPS",
    "a PDF": rb"%PDF",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "DICOM": rb".{128}DICM",
    "an archive": rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!",
}  # what people's folders have under the names of images
_MAX_PIXELS = 200_000_000  # that are decoded, as telephones have them; of a JPEG, at the scale that is needed
_MAX_PROGRESSIVE = 1_000_000_000  # pixels, whose coefficients are all kept
_BITS_PER_SAMPLE = 258  # tag of TIFF
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages


class UnreadableImageError(ValueError):
    """The file's content cannot be decoded as an image; the message says why, without the path."""


class MissingReaderError(UnreadableImageError):
    """The image may be whole, but the package that reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


def image_format(start: bytes) -> str | None:
    """Name the format of an image by its first bytes, `START` or more, as Pillow does (HEIC: ``HEIF``), or None."""
    return _match(_READ, start)


def can_read_heic() -> bool:
    """Return whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


def open_image(content: bytes, max_pixels: int | None = None) -> ImageFile:
    """Open an image without decoding it; see `decode_image` for the errors."""
    name = image_format(content)
    if name is None:
        raise UnreadableImageError(_describe(content))
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
        name = "HEIC" if name == "HEIF" else name
        message = f"damaged {name}, or a kind of {name} that is not read: {one_line(error)}"
        raise UnreadableImageError(message) from error
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    if 16 in bits and any(tile.args[0] == "R" for tile in image.tile if isinstance(tile.args, tuple)):
        raise UnreadableImageError("a kind of TIFF that is not read, with planes of 16 bits: save it as PNG")
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise _too_many_pixels(image.size, max_pixels)
    return image


def choose_scale(image: ImageFile, side: int | None) -> None:
    """Make an opened JPEG decode at the scale that suffices for a square of `side`; refuse what is still too large."""
    width, height = image.size
    if side is not None:
        image.draft(None, (_OVERSAMPLING * side,) * 2)
    is_large = image.info.get("progressive") and width * height > _MAX_PROGRESSIVE
    if is_large or image.width * image.height > _MAX_PIXELS:
        raise _too_many_pixels((width, height), _MAX_PIXELS)


def _too_many_pixels(size: tuple[int, int], allowed: int) -> TooManyPixelsError:
    return TooManyPixelsError(f"{size[0]} × {size[1]} pixels are too many: {allowed / 1e6:g} million are allowed")


def _describe(content: bytes) -> str:
    """Say what a file is that is not read."""
    if found := _match(_NAMED, content):
        return f"not an image, but {found}"
    known = ", ".join("HEIC" if name == "HEIF" else name for name in _READ)
    return f"not an image in a known format ({known})"


def _match(patterns: dict[str, bytes], content: bytes) -> str | None:
    start = content[:START]
    return next((name for name, pattern in patterns.items() if re.match(pattern, start, re.DOTALL)), None)
