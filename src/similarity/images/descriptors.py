"""Descriptors of pixels without any learning, for the baselines that a model has to beat and for near duplicates."""

import numpy as np
from PIL import Image

from similarity.images.resizing import resize

_PLAIN = 1  # of 255; less is rounding, not contrast


def count_values(pixels: np.ndarray) -> np.ndarray:
    """Count the RGB pixels, uint8 (height, width, 3), that have each value of each channel: int64 (3, 256)."""
    return np.reshape(Image.fromarray(pixels).histogram(), (3, 256))


def color_histogram(counts: np.ndarray, bins: int) -> np.ndarray:
    """Return the square root of the share of pixels in each bin of each channel.

    The cosine of two such rows is their Bhattacharyya coefficient, averaged over the channels.

    Args:
        counts: from `count_values`.
        bins: per channel, up to 256.

    Returns:
        float32 (3 · bins,).
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

    Args:
        thumbnails: uint8 (n, size, size, 3).

    Returns:
        float32 (n, size · size · 3), each row of length 1 or zeros.
    """
    pixels = thumbnails.reshape(len(thumbnails), -1, 3).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    pixels[np.abs(pixels).max(axis=(1, 2), initial=0) <= _PLAIN] = 0
    patterns = pixels.reshape(len(thumbnails), -1)
    lengths = np.linalg.norm(patterns, axis=1, keepdims=True)
    return patterns / np.where(lengths > 0, lengths, 1)
