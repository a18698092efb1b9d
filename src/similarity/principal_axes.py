"""The directions in which vectors vary most (principal component analysis)."""

import numpy as np

_NEGLIGIBLE = 1e-6  # of the largest variance; less is rounding of float32


def axes_of_rows(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The principal axes of some vectors, by the smaller of the two matrices that have them.

    Args:
        rows: with mean 0, float32 (n, d).
        count: how many directions to give, at most n and d.

    Returns:
        Sums of squares, float64 (count,), descending, and directions, (d, count), as `principal_axes` gives them; of no
        variance at all, the direction is zeros.
    """
    if len(rows) >= rows.shape[1]:
        return principal_axes((rows.T @ rows).astype(np.float64), count)
    variances, mixtures = principal_axes((rows @ rows.T).astype(np.float64), count)
    axes = rows.T.astype(np.float64) @ mixtures
    lengths = np.linalg.norm(axes, axis=0)
    negligible = lengths**2 <= _NEGLIGIBLE * variances[:1].max(initial=0)
    return variances, _with_definite_signs(np.where(negligible, 0, axes / np.where(negligible, 1, lengths)))


def principal_axes(covariance: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest variances, descending, and their directions.

    Args:
        covariance: float64 (d, d), symmetric.
        count: how many directions to give, at most d.

    Returns:
        float64 (count,) and (d, count); the largest coordinate of each direction is positive, since a decomposition
        leaves the sign open.
    """
    from scipy.linalg import eigh

    size = len(covariance)
    if count == 0:
        return np.empty(0), np.empty((size, 0))
    variances, axes = eigh(covariance, subset_by_index=(size - count, size - 1))
    return variances[::-1], _with_definite_signs(axes[:, ::-1])


def _with_definite_signs(axes: np.ndarray) -> np.ndarray:
    largest = np.abs(axes).argmax(axis=0)
    return axes * np.sign(axes[largest, np.arange(axes.shape[1])])
