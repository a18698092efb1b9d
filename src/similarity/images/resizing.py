"""One resize for indexing, baselines and queries alike."""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize an image to a square, without keeping its aspect ratio.

    Bilinear, with a support that grows when shrinking (no aliasing), as Pillow has it, and in floating point
    throughout: rounding the result to whole numbers moves the features of small images noticeably. Two products with
    sparse matrices take two thirds of the time that Pillow takes for three planes of floats, or less.

    Args:
        pixels: uint8 of shape (height, width, 3).
        size: side of the result, in pixels.

    Returns:
        float32 of shape (size, size, 3), in the range 0…255.
    """
    if pixels.shape[:2] == (size, size):
        return pixels.astype(np.float32)
    height, width, channels = pixels.shape
    rows = _resampling(height, size) @ pixels.reshape(height, -1).astype(np.float32)
    columns = rows.reshape(size, width, channels).transpose(1, 0, 2).reshape(width, -1)
    resized = (_resampling(width, size) @ columns).reshape(size, size, channels)
    return np.ascontiguousarray(resized.transpose(1, 0, 2))


@lru_cache(maxsize=64)
def _resampling(source: int, target: int) -> csr_array:
    """Return the weights of `source` values in `target` ones, float32 (target, source); each row sums to 1."""
    scale = source / target
    support, centers = max(scale, 1), (np.arange(target) + 0.5) * scale
    columns = np.floor(centers - support).astype(int)[:, None] + np.arange(int(2 * support) + 2)
    distances = np.abs(columns + 0.5 - centers[:, None])
    weights = np.where((columns >= 0) & (columns < source), np.maximum(0, 1 - distances / support), 0)
    rows, places = np.nonzero(weights)
    values = (weights / weights.sum(axis=1, keepdims=True))[rows, places].astype(np.float32)
    return csr_array((values, (rows, columns[rows, places])), (target, source))
