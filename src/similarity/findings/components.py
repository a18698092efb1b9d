"""The leading principal components of the features, in which images are compared."""

import numpy as np

from similarity.principal_axes import principal_axes
from similarity.vectors import standardization

_ROWS_PER_BLOCK = 4096


def principal_components(features: np.ndarray, count: int) -> np.ndarray:
    """Projects standardized features, float32 (n, D), on their main directions: float32 (n, up to `count`).

    Features are read in blocks, so they need not fit into memory.
    """
    mean, scale = standardization(features)
    starts = range(0, len(features), _ROWS_PER_BLOCK)

    def block(start: int) -> np.ndarray:
        return (features[start : start + _ROWS_PER_BLOCK] - mean) / scale

    covariance = sum((part.T @ part).astype(np.float64) for part in map(block, starts))
    axes = principal_axes(covariance, min(count, *features.shape))[1].astype(np.float32)
    return np.concatenate([block(start) @ axes for start in starts])
