"""What a file is by its first bytes, and opening those kinds that are images, within limits."""

import io
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

from PIL import Image
from PIL.ImageFile import ImageFile

from similarity.data.images.wide import correct_tiles

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_PACKAGE = "pillow-heif>=1,<2"
"""The package that reads HEIC, as pip takes it; the extra `heic`."""
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    ".apng", ".avif", ".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm",
    ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
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
    "a list of thumbnails of Windows, or an old Office document": rb"\xd0\xcf\x11\xe0",
    "a video": rb"....ftyp(isom|iso[2-6]|mp4|avc1|qt  |M4V|3gp|MSNV)|RIFF....AVI |\x1aE\xdf\xa3",
    "a raw photograph": rb"....ftypcrx |FUJIFILMCCD-RAW|IIRO|IIU\0",
    "a document of Photoshop": rb"8BPS",
    "a PDF": rb"%PDF",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "an icon": rb"\0\0\x01\0",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "DICOM": rb".{128}DICM",
    "FITS": rb"SIMPLE  =",
    "OpenEXR": rb"v/1\x01",
    "an archive": rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!",
}  # what people's folders have under the names of images
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)  # of JPEG; in a scan, 0 follows 0xff
_START_OF_SCAN, _END = b"\xda", b"\xd9"
_MAX_SEGMENTS = 10_000  # Pillow's time grows with the square; 100 MB of metadata are 1,600
_USUAL_SCANS = 20  # at most; twice as many as usual
_MAX_SCANS_TIMES_PIXELS = 1_000_000_000  # of a JPEG of more scans; each goes over all pixels
_MAX_PIXELS = 200_000_000  # that are decoded, as telephones have them; of a JPEG, at the scale that is needed
_MAX_PROGRESSIVE = 1_000_000_000  # pixels, whose coefficients are all kept
_MAX_SLOW = 10_000_000  # samples that Pillow reads one by one: in plain text, or with a white below 255
_OVERSAMPLING = 2  # of a scaled JPEG in each direction: the resize after it still averages


class UnreadableImageError(ValueError):
    """The file's content cannot be decoded as an image; the message says why, without the path."""


class MissingReaderError(UnreadableImageError):
    """The image may be whole, but the package that reads its format is not installed."""


class TooManyPixelsError(UnreadableImageError):
    """The image is larger than is allowed."""


def image_format(start: bytes) -> str | None:
    """Name the format of an image by its first bytes, `START` of them or more, as Pillow does; None if it is not read.

    HEIC is ``HEIF``, whether or not the package that reads it is installed.
    """
    return _match(_READ, start)


def can_read_heic() -> bool:
    """Return whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


def describe_format(start: bytes) -> str:
    """Say what a file is that is not read, by its first bytes."""
    if found := _match(_NAMED, start):
        return f"not an image, but {found}"
    known = ["HEIC" if name == "HEIF" else name for name in _READ]
    return f"not an image in a known format ({', '.join(known)})"


def open_image(content: bytes, max_pixels: int | None = None) -> ImageFile:
    """Open an image without decoding it, unless it has too many pixels or would take minutes.

    Raises:
        UnreadableImageError: see `decode_image`.
    """
    name = image_format(content[:START])
    if name is None:
        raise UnreadableImageError(describe_format(content[:START]))
    if name == "HEIF" and not can_read_heic():
        raise MissingReaderError(f"HEIC, which is read after `pip install '{HEIC_PACKAGE}'`")
    scans = _count_scans(content) if name == "JPEG" else 0
    try:
        # Not `Image.open`, whose limit of pixels is one for the whole program, and does not know at what scale.
        image = _opener(name)(io.BytesIO(content), "")
    except (SyntaxError, ValueError) as error:
        name = "HEIC" if name == "HEIF" else name
        raise UnreadableImageError(f"damaged {name}, or a kind of {name} that is not read: {error}") from error
    size, pixels = f"{image.width} × {image.height} pixels", image.width * image.height
    if max_pixels is not None and pixels > max_pixels:
        raise TooManyPixelsError(f"{size} are too many: {max_pixels / 1e6:g} million are allowed")
    if scans > _USUAL_SCANS and scans * pixels > _MAX_SCANS_TIMES_PIXELS:
        raise UnreadableImageError(f"{scans} scans of {size} take too long to decode")
    correct_tiles(image)
    if any(tile.codec_name.startswith("ppm") for tile in image.tile) and pixels * len(image.getbands()) > _MAX_SLOW:
        raise UnreadableImageError(f"{size} of this kind of PPM take too long to decode: save it as PNG")
    return image


def choose_scale(image: ImageFile, side: int | None) -> None:
    """Make an opened JPEG decode at the scale that suffices for a square of `side`, and refuse what is still too large.

    Raises:
        TooManyPixelsError: it has more than 200 million pixels at that scale.
    """
    width, height = image.size
    if side is not None:
        image.draft(None, (_OVERSAMPLING * side,) * 2)
    is_large = image.info.get("progressive") and width * height > _MAX_PROGRESSIVE
    if is_large or image.width * image.height > _MAX_PIXELS:
        raise TooManyPixelsError(f"{width} × {height} pixels are too many: {_MAX_PIXELS / 1e6:g} million are allowed")


def _match(patterns: dict[str, bytes], start: bytes) -> str | None:
    return next((name for name, pattern in patterns.items() if re.match(pattern, start, re.DOTALL)), None)


@cache
def _opener(name: str) -> Callable[[io.BytesIO, str], ImageFile]:
    """Return what opens a format in Pillow."""
    if name == "HEIF":
        import pillow_heif

        # Images are decoded in as many threads as there are cores. It turns them upright itself.
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)
    Image.init()
    if name not in Image.OPEN:  # AVIF and JPEG 2000 are not in every build of Pillow
        raise UnreadableImageError(f"{name}, which this build of Pillow does not read")
    return Image.OPEN[name][0]


def _count_scans(content: bytes) -> int:
    """Count the scans of a JPEG up to its end mark; behind it may be the video of a telephone, or other images."""
    place, segments, scans = 2, 0, 0
    while (marker := _MARKER.search(content, place)) and marker[1] != _END:
        segments, scans = segments + 1, scans + (marker[1] == _START_OF_SCAN)
        if segments > _MAX_SEGMENTS:
            raise UnreadableImageError(f"a JPEG of more than {_MAX_SEGMENTS:,} parts")
        place = marker.end() + int.from_bytes(content[marker.end() : marker.end() + 2], "big")
    return scans
