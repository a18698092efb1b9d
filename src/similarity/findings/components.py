"""The leading principal components of the features, in which images are compared."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from similarity.principal_axes import axes_of_rows, principal_axes
from similarity.vectors import count_blocks, row_blocks, standardization


def principal_components(
    features: np.ndarray, count: int, progress: Callable[[range], Iterable[int]] = iter
) -> np.ndarray:
    """Projects standardized features, float32 (n, D), on their main directions: float32 (n, up to `count`).

    Features are read in blocks, so they need not fit into memory; `progress` wraps the iteration over them.
    """
    mean, scale = standardization(features)

    def blocks() -> Iterator[np.ndarray]:
        return ((block - mean) / scale for block in row_blocks(features))

    count = min(count, *features.shape)
    if len(features) < features.shape[1]:
        axes = axes_of_rows(np.concatenate(list(blocks())), count)[1].astype(np.float32)
    else:
        numbered = zip(progress(range(count_blocks(features))), blocks(), strict=True)
        covariance = sum((block.T @ block).astype(np.float64) for _, block in numbered)
        axes = principal_axes(covariance, count)[1].astype(np.float32)
    return np.concatenate([block @ axes for block in blocks()])
