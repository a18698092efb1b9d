"""The directions in which vectors vary most (principal component analysis)."""

import numpy as np
from scipy.linalg import eigh


def principal_axes(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest variances, descending, and their directions.

    Args:
        covariance: float64 (d, d), symmetric.
        count: how many directions to give, at most d.

    Returns:
        float64 (count,) and (d, count); the largest coordinate of each direction is positive, since a decomposition
        leaves the sign open.
    """
    size = len(covariance)
    if count == 0:
        return np.empty(0), np.empty((size, 0))
    variances, axes = eigh(covariance, subset_by_index=(size - count, size - 1))
    variances, axes = variances[::-1], axes[:, ::-1]
    largest = np.abs(axes).argmax(axis=0)
    return variances, axes * np.sign(axes[largest, np.arange(axes.shape[1])])
