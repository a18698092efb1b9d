"""What an image says without any learning: the baselines that a model has to beat."""

import numpy as np

from similarity.images import resize


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
