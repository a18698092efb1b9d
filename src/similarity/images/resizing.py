"""One resize for indexing, baselines and queries alike."""

from functools import lru_cache

import numpy as np
from PIL import Image

_LONGEST_FOR_PRODUCTS = 256  # pixels; beyond, few of the weights are not 0


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resizes an image to a square, without keeping its aspect ratio.

    Bilinear, with a support that grows when shrinking (no aliasing), as Pillow has it, and in floating point
    throughout: rounding the result to whole numbers moves the features of small images noticeably. Small images, where
    Pillow's three calls cost more than what they do, are resized by two products of matrices.

    Args:
        pixels: uint8 of shape (height, width, 3).
        size: side of the result, in pixels.

    Returns:
        float32 of shape (size, size, 3), in the range 0…255.
    """
    if pixels.shape[:2] == (size, size):
        return pixels.astype(np.float32)
    height, width, channels = pixels.shape
    if max(height, width) > _LONGEST_FOR_PRODUCTS:
        planes = (Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(pixels, -1, 0))
        smaller = (plane.resize((size, size), Image.Resampling.BILINEAR) for plane in planes)
        return np.stack([np.asarray(plane) for plane in smaller], axis=-1)
    rows = _resampling(height, size) @ pixels.reshape(height, -1).astype(np.float32)
    resized = np.tensordot(rows.reshape(size, width, channels), _resampling(width, size), axes=(1, 1))
    return np.ascontiguousarray(resized.transpose(0, 2, 1))


@lru_cache(maxsize=32)
def _resampling(source: int, target: int) -> np.ndarray:
    """The weights of `source` values in each of `target` ones, float32 (target, source): triangles that sum up to 1."""
    scale = source / target
    centers = (np.arange(target) + 0.5) * scale
    distances = np.abs(np.arange(source) + 0.5 - centers[:, None])
    weights = np.maximum(0, 1 - distances / max(scale, 1))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
