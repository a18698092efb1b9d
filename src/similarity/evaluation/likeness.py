"""Whether an edited picture still finds its original among all indexed images."""

from collections.abc import Callable, Iterable

import numpy as np

from similarity.files import release_pages
from similarity.vectors import normalize

_ROWS_PER_BLOCK = 4096
_ROUNDING = 1e-6  # of cosines that were computed in other blocks

Prepare = Callable[[np.ndarray], np.ndarray]
"""Maps vectors, (n, …), to those that are compared by cosine, float32 (n, d)."""


def ranks_of_originals(
    queries: np.ndarray,
    originals: np.ndarray,
    gallery: np.ndarray,
    contents: np.ndarray,
    prepare: Prepare = np.asarray,
    progress: Callable[[range], Iterable[int]] = iter,
) -> np.ndarray:
    """Find the rank, by cosine, of each edited picture's original; 1 is the first.

    Identical copies of the original do not push it back. Other images that are as near do, all of them: vectors that
    are the same for many images, or zeros, find none of these.

    Args:
        queries: vectors of the edited pictures, (n, …).
        originals: rows of their originals in the gallery, int64 (n,).
        gallery: vectors of all indexed images, (m, …); may be mapped from a file.
        contents: a number that images with the same content share, int64 (m,).
        prepare: applied to both before they are compared.
        progress: wraps the iteration over blocks of the gallery.

    Returns:
        int64 (n,).
    """
    units = normalize(prepare(queries))
    own = (units * normalize(prepare(gallery[originals]))).sum(axis=1) - _ROUNDING
    ranks = np.ones(len(queries), np.int64)
    for start in progress(range(0, len(gallery), _ROWS_PER_BLOCK)):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        is_other = contents[rows, None] != contents[originals]
        ranks += ((normalize(prepare(gallery[rows])) @ units.T >= own) & is_other).sum(axis=0)
        release_pages(gallery)
    return ranks


def shares_found(ranks: np.ndarray) -> dict[str, float]:
    """Compute the shares of ranks, int (n,), that are 1 and at most 10, by the names used in the metrics files."""
    return {f"same_image_at_{count}": float((ranks <= count).mean()) for count in (1, 10)}
