"""From any kind of samples that Pillow decodes to upright RGB pixels."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255)
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
_WIDE_ROWS = 256  # that are converted at a time


def is_transposed(image: Image.Image) -> bool:
    """Return whether an image's width is its height once it is upright."""
    return _orientation(image) in _TRANSPOSED


def upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, lay transparency over white, and convert the samples to RGB."""
    method = _UPRIGHT_BY_ORIENTATION.get(_orientation(image))
    pixels = _to_rgb(image)
    return pixels if method is None else pixels.transpose(method)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none can be read: damaged metadata does not make an image unusable."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # Pillow's EXIF reader raises SyntaxError, struct.error, TypeError, ValueError and more
        return 1


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
    """Convert wide samples to gray, 0…255, some rows at a time: floats of all of them take gigabytes."""
    gray = np.empty((image.height, image.width), np.uint8)
    for top, values in _strips(image):
        gray[top : top + len(values)] = convert(values).astype(np.uint8)
    return Image.fromarray(gray)


def _strips(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    for top in range(0, image.height, _WIDE_ROWS):
        strip = image.crop((0, top, image.width, min(top + _WIDE_ROWS, image.height)))
        yield top, np.asarray(strip, np.float64)


def _stretch_of(image: Image.Image) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that stretches samples to 0…255 by an image's lowest and highest finite one; NaN becomes 0."""
    finite = (values[np.isfinite(values)] for _, values in _strips(image))
    ends = [(values.min(), values.max()) for values in finite if len(values)]
    low, high = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else (0, 0)

    def stretch(values: np.ndarray) -> np.ndarray:
        bounded = np.nan_to_num(np.clip(values, low, high), nan=low)
        return ((bounded - low) * (255 / (high - low)) if high > low else np.zeros_like(values)).round()

    return stretch
