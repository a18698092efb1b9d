"""From pixels to smaller ones, to edited ones, and to descriptors without any learning."""

import io
from collections.abc import Callable
from functools import lru_cache
from math import cos, radians, sin
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_PLAIN = 1  # of 255; less is rounding, not contrast
_JPEG_QUALITY, _JPEG_MAX_SIDE = 40, 65_500  # pixels, by libjpeg
_CROP = 0.8  # of each side
_BRIGHTNESS = np.float32(1.3)
_ANGLE = 8  # degrees, counterclockwise
_BLUR = 1  # pixel, standard deviation


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize RGB pixels, uint8 (height, width, 3), to a square, float32 (size, size, 3) in 0…255, whatever their shape.

    Bilinear, with a support that grows when shrinking (no aliasing), as Pillow has it, and in floating point
    throughout: rounding the result to whole numbers moves the features of small images noticeably. Pillow takes longer
    for three planes of floats than these two products with sparse matrices.
    """
    if pixels.shape[:2] == (size, size):
        return pixels.astype(np.float32)
    height, width, channels = pixels.shape
    rows = _resampling(height, size) @ pixels.reshape(height, -1).astype(np.float32)
    columns = rows.reshape(size, width, channels).transpose(1, 0, 2).reshape(width, -1)
    resized = (_resampling(width, size) @ columns).reshape(size, size, channels)
    return np.ascontiguousarray(resized.transpose(1, 0, 2))


@lru_cache(maxsize=64)
def _resampling(source: int, target: int) -> "csr_array":
    """Return the weights of `source` values in `target` ones, float32 (target, source); each row sums to 1."""
    from scipy.sparse import csr_array  # takes longer to import than all else here, and not every stage resizes

    scale = source / target
    support, centers = max(scale, 1), (np.arange(target) + 0.5) * scale
    columns = np.floor(centers - support).astype(int)[:, None] + np.arange(int(2 * support) + 2)
    distances = np.abs(columns + 0.5 - centers[:, None])
    weights = np.where((columns >= 0) & (columns < source), np.maximum(0, 1 - distances / support), 0)
    rows, places = np.nonzero(weights)
    values = (weights / weights.sum(axis=1, keepdims=True))[rows, places].astype(np.float32)
    return csr_array((values, (rows, columns[rows, places])), (target, source))


def count_values(pixels: np.ndarray) -> np.ndarray:
    """Count the RGB pixels, uint8 (height, width, 3), that have each value of each channel: int64 (3, 256)."""
    return np.reshape(Image.fromarray(pixels).histogram(), (3, 256))


def color_histogram(counts: np.ndarray, bins: int) -> np.ndarray:
    """Return the square root of the share of pixels in each of up to 256 bins of each channel, float32 (3 · bins,).

    The cosine of two such rows is their Bhattacharyya coefficient, averaged over the channels. `counts` are those of
    `count_values`.
    """
    starts = np.searchsorted(np.arange(256) * bins // 256, np.arange(bins))
    shares = np.add.reduceat(counts, starts, axis=1) / counts[0].sum()
    return np.sqrt(shares.ravel()).astype(np.float32)


def color_spread(counts: np.ndarray) -> float:
    """Return the largest standard deviation of a channel, in 0…127.5, from the counts of `count_values`."""
    values = np.arange(256)
    means = counts @ values / counts.sum(axis=1)
    variances = (counts * (values - means[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return float(np.sqrt(variances.max()))


def thumbnail(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize RGB pixels, uint8 (height, width, 3), to a small square, uint8 (size, size, 3)."""
    return np.clip(np.rint(resize(pixels, size)), 0, 255).astype(np.uint8)


def centered_pixels(thumbnails: np.ndarray) -> np.ndarray:
    """Subtract from thumbnails, uint8 (n, size, size, 3), each one's mean: float32 (n, size · size · 3)."""
    rows = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    return rows - rows.mean(axis=1, keepdims=True)


def contrast_pattern(thumbnails: np.ndarray) -> np.ndarray:
    """Remove the overall color and contrast from thumbnails; dot products of the rest are correlations, in −1…1.

    Each channel is centered on its own mean, so that two plain images of one color, or two with the same cast, are not
    alike for that; a plain image gives zeros and correlates with nothing.
    For thumbnails, uint8 (n, size, size, 3), they are float32 (n, size · size · 3), each row of length 1 or zeros.
    """
    pixels = thumbnails.reshape(len(thumbnails), -1, 3).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels[np.abs(pixels).max(axis=(1, 2), initial=0) <= _PLAIN] = 0
    patterns = pixels.reshape(len(thumbnails), -1)
    lengths = np.linalg.norm(patterns, axis=1, keepdims=True)
    return patterns / np.where(lengths > 0, lengths, 1)


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.thumbnail((_JPEG_MAX_SIDE, _JPEG_MAX_SIDE))
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return Image.open(buffer)


def _crop(image: Image.Image, share: float = _CROP) -> Image.Image:
    """Crop to the center of an image, a share of each side."""
    width, height = (max(1, round(side * share)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _rotate(image: Image.Image) -> Image.Image:
    """Rotate an image, and crop it to the largest centered part of its shape without empty corners."""
    (width, height), cosine, sine = image.size, cos(radians(_ANGLE)), sin(radians(_ANGLE))
    filled = min(width / (width * cosine + height * sine), height / (width * sine + height * cosine))
    return _crop(image.rotate(_ANGLE, Image.Resampling.BICUBIC), filled)


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": _jpeg,
    "cropped": _crop,
    "brighter": lambda image: image.point(lambda value: min(round(float(value * _BRIGHTNESS)), 255)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated": _rotate,
    "half_size": lambda image: image.resize([max(1, side // 2) for side in image.size], Image.Resampling.BILINEAR),
    "gray": lambda image: image.convert("L"),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(_BLUR)),
}
"""Each maps an RGB image to an image, perhaps of another size."""


def edit(pixels: np.ndarray, name: str) -> np.ndarray:
    """Apply one of `EDITS` to RGB pixels, uint8 (height, width, 3); the result may have another size."""
    return np.asarray(EDITS[name](Image.fromarray(pixels)).convert("RGB"))
