"""Approximate nearest neighbors with Annoy, and how often they are the true ones."""

from collections.abc import Iterator, Sequence

import numpy as np
from annoy import AnnoyIndex

from similarity.neighbors import COSINE_DECIMALS, cosines, normalize

_TIE = 1.5 * 10**-COSINE_DECIMALS


def build_index(embeddings: np.ndarray, trees: int, seed: int) -> AnnoyIndex:
    """Builds a forest of random projection trees over embeddings, float32 (n, d), for the cosine.

    The seed is set before the first item and one thread builds: otherwise the same seed gives another index.
    """
    index = AnnoyIndex(embeddings.shape[1], "angular")
    index.set_seed(seed)
    for row, embedding in enumerate(embeddings):
        index.add_item(row, embedding)
    index.build(trees, n_jobs=1)
    return index


def approximate_neighbors(
    index: AnnoyIndex, embeddings: np.ndarray, rows: Sequence[int] | np.ndarray, top_k: int, search_k: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Searches an index for the most similar other rows of some rows.

    Args:
        index: built over all `embeddings`.
        embeddings: float32 (n, d).
        rows: which rows to search for.
        top_k: neighbors per row, min(top_k, n − 1) are given.
        search_k: nodes that Annoy inspects per query; None is its default, trees · (top_k + 1).

    Yields:
        For each row, its neighbors' rows, int64 (k,), best first, and their true cosines, rounded to 6 decimals,
        float64 (k,). Ties go by row.
    """
    count, units = min(top_k, len(embeddings) - 1), normalize(embeddings)
    for row in rows:
        found = _search(index, int(row), count, search_k or index.get_n_trees() * (top_k + 1))
        similarities = cosines(units, np.array([row]), found[None])[0]
        order = np.lexsort((found, -similarities))
        yield found[order], similarities[order]


def _search(index: AnnoyIndex, row: int, count: int, search_k: int) -> np.ndarray:
    """Finds `count` other rows, looking further if that many are not in reach of `search_k`."""
    while True:
        found = [other for other in index.get_nns_by_item(row, count + 1, search_k) if other != row][:count]
        if len(found) == count:
            return np.array(found, np.int64)
        search_k *= 2


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact neighbors that were found, ties counted as found.

    As in Aumüller, Bernhardsson & Faithfull, "ANN-Benchmarks" (2017), a neighbor counts if it is as similar as the
    k-th true one.

    Args:
        found: cosines of the neighbors that were found, float64 (n, k).
        exact: cosines of the true ones, float64 (n, k), best first.
    """
    return float((found >= exact[:, -1:] - _TIE).mean())
