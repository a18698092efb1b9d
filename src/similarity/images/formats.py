"""The kinds of image files that are read, by their names and by their content."""

from functools import cache
from importlib.util import find_spec

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_PACKAGE = "pillow-heif>=1,<2"
"""The package that reads HEIC, as pip takes it; the extra `heic`."""
IMAGE_SUFFIXES = HEIC_SUFFIXES | {
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: EPS, say, would run Ghostscript
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})


def can_read_heic() -> bool:
    """Return whether the package is installed that reads HEIC."""
    return find_spec("pillow_heif") is not None


def is_heic(content: bytes) -> bool:
    """Recognize a HEIC file by the brands in its first box; AVIF has the same container."""
    if content[4:8] != b"ftyp":
        return False
    box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
    brands = {box[start : start + 4] for start in range(0, len(box), 4)}
    return bool(brands & _HEIC_BRANDS) and box[:4] not in _AVIF_BRANDS


@cache
def register_formats(heic: bool) -> tuple[str, ...]:
    """Make Pillow read HEIC, whose reader must be installed, or the other formats; return their names in Pillow."""
    from PIL import Image

    if heic:
        import pillow_heif

        # Images are decoded in as many threads as there are cores. It turns them upright itself.
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, decode_threads=1)
        return ("HEIF",)
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)  # AVIF is not in every build of Pillow
