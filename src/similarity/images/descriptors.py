"""What an image says without any learning: the baselines that a model has to beat."""

import numpy as np

from similarity.images.resizing import resize

_PLAIN = 0.01  # of 255


def color_histogram(pixels: np.ndarray, bins: int) -> np.ndarray:
    """The square root of the share of pixels in each bin of each channel.

    The cosine of two such rows is their Bhattacharyya coefficient, averaged over the channels.

    Args:
        pixels: RGB, uint8 (height, width, 3).
        bins: per channel.

    Returns:
        float32 (3 · bins,).
    """
    binned = pixels.reshape(-1, 3).astype(np.int64) * bins // 256 + np.arange(3) * bins
    counts = np.bincount(binned.ravel(), minlength=3 * bins)
    return np.sqrt(counts / len(binned)).astype(np.float32)


def thumbnail(pixels: np.ndarray, size: int) -> np.ndarray:
    """The image itself, shrunk or grown to a square and centered on its mean: float32 (size · size · 3,).

    Args:
        pixels: RGB, uint8 (height, width, 3).
        size: side of the square, in pixels.
    """
    small = resize(pixels, size)
    return (small - small.mean()).ravel()


def contrast(thumbnails: np.ndarray) -> np.ndarray:
    """What is left of thumbnails without their overall color and contrast; dot products are correlations, in −1…1.

    Each channel is centered on its own mean, so that two plain images of one color, or two with the same cast, are not
    alike for that; a plain image gives zeros and correlates with nothing.

    Args:
        thumbnails: what `thumbnail` gives, float32 (…, size · size · 3).

    Returns:
        float32 of the same shape, each of length 1 or zeros.
    """
    pixels = thumbnails.reshape(*thumbnails.shape[:-1], -1, 3).astype(np.float64)
    pixels -= pixels.mean(axis=-2, keepdims=True)
    pixels[np.abs(pixels).max(axis=(-2, -1)) < _PLAIN] = 0  # rounding, not contrast
    centered = pixels.reshape(thumbnails.shape)
    lengths = np.linalg.norm(centered, axis=-1, keepdims=True)
    return (centered / np.where(lengths > 0, lengths, 1)).astype(np.float32)
