"""Finding duplicate images: with the same bytes, or nearly the same pixels."""

from collections.abc import Sequence

import numpy as np

from similarity.dataset.manifest import ImageRecord
from similarity.duplication.pairs import Pairs
from similarity.images.descriptors import contrast_pattern
from similarity.index.exact import clustered_neighbors, nearest_neighbors
from similarity.vectors import row_blocks

MAX_EXACT = 100_000  # images; among more, candidates are found by an index
_COMPONENTS = 32  # of the PCA in which candidates are searched
_SAMPLE = 1000  # images that the principal components are computed from: 20,000 find as many pairs in twice the time
_CANDIDATES = 10  # per image
_ROWS_PER_BLOCK = 4096
_ROUNDING = 1e-3  # of distances of components


def identical_images(records: Sequence[ImageRecord]) -> Pairs:
    """Pair each image that has the bytes of an earlier one with the first of these."""
    first: dict[str, int] = {}
    rows = enumerate(record.sha256 for record in records)
    found = [(first[digest], row) for row, digest in rows if first.setdefault(digest, row) != row]
    ends = np.array(found, np.int64).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1], np.ones(len(ends)))


def near_duplicates(thumbnails: np.ndarray, min_correlation: float, max_exact: int = MAX_EXACT) -> Pairs:
    """Find pairs of images whose thumbnails correlate, identical ones included.

    Candidates are each image's ten nearest in the principal components, so of a group of more than eleven images not
    all pairs are given; rotated and mirrored images are not found.

    Args:
        thumbnails: uint8 (n, size, size, 3), of at least two images; may be mapped from a file.
        min_correlation: 0…1.
        max_exact: images up to which candidates are found by comparing all with all. Above it, an index finds them,
            whose time does not grow with the square, but it misses a few.
    """
    components = _principal_components(thumbnails)
    if len(components) > max_exact:
        nearest = clustered_neighbors(components, _CANDIDATES)
    else:
        nearest, _ = nearest_neighbors(components, _CANDIDATES)
    ends = _close_pairs(components, nearest, min_correlation)
    correlations = _correlations(thumbnails, ends)
    kept = correlations >= min_correlation
    return Pairs(ends[kept, 0], ends[kept, 1], correlations[kept])


def _principal_components(thumbnails: np.ndarray) -> np.ndarray:
    """Return the leading principal components of the contrast patterns, float32 (n, up to 32).

    Of many images, the directions are those of evenly chosen ones.
    """
    from sklearn.utils.extmath import randomized_svd

    sample = np.unique(np.linspace(0, len(thumbnails) - 1, min(len(thumbnails), _SAMPLE)).astype(int))
    patterns = contrast_pattern(thumbnails[sample])
    mean = patterns.mean(axis=0)
    axes = randomized_svd(patterns - mean, min(_COMPONENTS, *patterns.shape), random_state=0)[2].T
    return np.concatenate([contrast_pattern(block) @ axes - mean @ axes for block in row_blocks(thumbnails)])


def _close_pairs(components: np.ndarray, nearest: np.ndarray, min_correlation: float) -> np.ndarray:
    """Return the pairs of images and their candidates, int64 (n, m), that may correlate: int64 (p, 2), lower row first.

    Patterns have length 1 or 0, so their squared distance is 2 − 2 · correlation, and components are never further
    apart than patterns.
    """
    furthest = np.sqrt(2 - 2 * min_correlation) + _ROUNDING
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(components), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        distances = np.linalg.norm(components[rows, None] - components[nearest[rows]], axis=2)
        close, places = np.nonzero(distances <= furthest)
        others = nearest[rows][close, places]
        found.append(np.sort(np.stack([start + close, others], axis=1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the correlation of the thumbnails of each pair of rows, int64 (p, 2): float32 (p,)."""
    blocks = [pairs[start : start + _ROWS_PER_BLOCK] for start in range(0, len(pairs), _ROWS_PER_BLOCK)]
    patterns = ((contrast_pattern(thumbnails[block[:, end]]) for end in (0, 1)) for block in blocks)
    found = [np.einsum("pd,pd->p", first, second) for first, second in patterns]
    return np.concatenate([np.empty(0, np.float32), *found])
