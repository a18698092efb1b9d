"""Approximate nearest neighbors by cosine."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from similarity.index.backends import Searchable
from similarity.index.exact import nearest_to
from similarity.vectors import COSINE_DECIMALS, normalize


def approximate_neighbors(
    index: Searchable,
    embeddings: np.ndarray,
    rows: Sequence[int] | np.ndarray,
    top_k: int,
    search_k: int | None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray]:
    """Searches an index for the most similar other rows of some rows.

    Args:
        index: built over all `embeddings`.
        embeddings: float32 (n, d).
        rows: which rows to search for, m of them.
        top_k: neighbors per row, k = min(top_k, n − 1) are given.
        search_k: candidates that are looked at per query; None is the index's own default.
        progress: wraps the iteration over `rows`.

    Returns:
        The neighbors' rows, int64 (m, k), best first, and their true cosines, rounded to 6 decimals, float64 (m, k).
        Ties go by row.
    """
    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    found, cosines = np.empty((len(rows), count), np.int64), np.empty((len(rows), count))
    for i, row in enumerate(progress(rows)):
        found[i], cosines[i] = search_index(index, units, units[row], count, search_k, excluded=[int(row)])
    return found, cosines


def search_index(
    index: Searchable,
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    search_k: int | None,
    allowed: np.ndarray | None = None,
    excluded: Sequence[int] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Searches an index for the rows most similar to a vector, and looks further until there are enough of them.

    Args:
        index: built over all rows of `units`.
        units: what `normalize` gives, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: how many rows to give; as many must be allowed.
        search_k: candidates that are looked at; None is the index's own default.
        allowed: the only rows to give, bool (n,); None is all.
        excluded: rows not to give.

    Returns:
        The rows, int64 (count,), best first, and their true cosines, rounded to 6 decimals, float64 (count,). Ties go
        by row.
    """
    rarity = 1 if allowed is None else len(units) / max(1, int(np.count_nonzero(allowed)))
    wanted = count + max(1, len(excluded))
    reach, candidates = wanted * rarity, (search_k or index.default_search_k(wanted)) * rarity
    while True:
        nearest = index.search(query, min(int(reach), len(units)), int(candidates))
        rows = np.array([row for row in nearest if row not in excluded and (allowed is None or allowed[row])], np.int64)
        if len(rows) >= count:
            break
        if reach >= len(units):  # a graph need not lead everywhere
            return nearest_to(units, query, count, allowed, excluded)
        reach, candidates = 2 * reach, 2 * candidates
    rows = rows[:count]
    similarities = (units[rows] @ query).astype(np.float64).round(COSINE_DECIMALS)
    order = np.lexsort((rows, -similarities))
    return rows[order], similarities[order]
