"""Finding images that are there twice: the same bytes, or nearly the same pixels."""

from collections.abc import Sequence

import numpy as np

from similarity.dataset.manifest import ImageRecord
from similarity.duplication.pairs import Pairs
from similarity.images.descriptors import contrast_pattern
from similarity.index.exact import nearest_neighbors
from similarity.principal_axes import principal_axes

_COMPONENTS = 32  # of the PCA in which candidates are searched
_CANDIDATES = 10  # per image
_ROWS_PER_BLOCK = 512


def identical_images(records: Sequence[ImageRecord]) -> Pairs:
    """Pairs each image that has the bytes of an earlier one with the first of these."""
    first: dict[str, int] = {}
    rows = enumerate(record.sha256 for record in records)
    found = [(first[digest], row) for row, digest in rows if first.setdefault(digest, row) != row]
    ends = np.array(found, np.int64).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1], np.ones(len(ends)))


def near_duplicates(thumbnails: np.ndarray, min_correlation: float) -> Pairs:
    """Finds pairs of images whose thumbnails correlate, identical ones included.

    Candidates are each image's ten nearest in the principal components, so of a group of more than eleven images not
    all pairs are given; rotated and mirrored images are not found.

    Args:
        thumbnails: uint8 (n, size, size, 3), of at least two images.
        min_correlation: 0…1.
    """
    patterns = contrast_pattern(thumbnails)
    nearest, _ = nearest_neighbors(_principal_components(patterns), _CANDIDATES)
    blocks = [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, len(patterns), _ROWS_PER_BLOCK)]
    correlations = np.concatenate([np.einsum("nd,nmd->nm", patterns[rows], patterns[nearest[rows]]) for rows in blocks])
    rows, columns = np.nonzero(correlations >= min_correlation)
    ends = np.sort(np.stack([rows, nearest[rows, columns]], axis=1), axis=1)
    pairs, position = np.unique(ends, axis=0, return_index=True)
    return Pairs(pairs[:, 0], pairs[:, 1], correlations[rows, columns][position])


def _principal_components(vectors: np.ndarray) -> np.ndarray:
    """The leading principal components of (n, d), float32 (n, up to 32)."""
    centered = vectors - vectors.mean(axis=0)
    _, axes = principal_axes((centered.T @ centered).astype(np.float64), min(_COMPONENTS, *vectors.shape))
    return centered @ axes.astype(np.float32)
