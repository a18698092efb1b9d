"""Nearest neighbors by cosine: exact ones, and those of all rows within clusters where rows are too many."""

from collections.abc import Callable, Iterable

import numpy as np

from similarity.data.vectors import COSINE_DECIMALS, normalize, rank

_ROWS_PER_BLOCK = 8192  # faiss takes more than twice as long with fewer than 4096
SPARE = 6  # candidates beyond those wanted, among which cosines that are nearly equal are put in order
COSINE_ERROR = 3 * 10**-COSINE_DECIMALS  # the most that cosines of faiss or LanceDB differ from the true ones, rounded
_BELOW_EVERY_COSINE = -2
_CLUSTERS_PER_ROOT = 4  # of the number of rows
_SEARCHED_CLUSTERS = 16
_TRAINING_ROWS_PER_CLUSTER = 64


def nearest_neighbors(
    embeddings: np.ndarray, top_k: int, progress: Callable[[range], Iterable[int]] = iter
) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar other rows of every row by comparing all pairs.

    Candidates come from faiss (Johnson, Douze & Jégou, "Billion-scale similarity search with GPUs", 2017). Their
    cosines are recomputed in double precision, so that neither the order of ties nor a digit depends on the number of
    threads. Equal rows are searched once. Memory: O(n · (d + top_k)).

    Args:
        embeddings: float32 (n, d), of any length; a row of zeros has the cosine 0 to all others.
        top_k: neighbors per row.
        progress: wraps the iteration over blocks of rows.

    Returns:
        The neighbors' rows, int64 (n, k), best first, and their cosines, rounded to 6 decimals, float64 (n, k), with
        k = min(top_k, n − 1). Ties go by row.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if len(damaged := np.flatnonzero(~np.isfinite(embeddings).all(axis=1))):
        raise ValueError(f"row {damaged[0]} of the embeddings holds a number that is not finite")
    units, count = normalize(embeddings), min(top_k, len(embeddings) - 1)
    first, group = _equal_rows(units)
    rows, cosines = np.empty((len(first), count + 1), np.int64), np.empty((len(first), count + 1))
    for start in progress(range(0, len(first), _ROWS_PER_BLOCK)):
        block = slice(start, start + _ROWS_PER_BLOCK)
        rows[block], cosines[block] = _most_similar(units[first[block]], units, count + 1)
    return _without(np.arange(len(units)), rows[group], cosines[group])


def _equal_rows(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each set of equal rows, int64 (m,), and each row's set number, int64 (n,)."""
    contents = np.ascontiguousarray(units + 0.0)  # −0 becomes 0
    keys = contents.view(np.dtype((np.void, contents.shape[1] * contents.itemsize))).ravel()
    return np.unique(keys, return_index=True, return_inverse=True)[1:]


def _most_similar(queries: np.ndarray, units: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows most similar to each query, float32 (m, d), by comparing it with all of them; see `nearest_to`."""
    import faiss

    # The number asked for is doubled where more may be tied with the last.
    rows, cosines = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
    waiting, asked = np.arange(len(queries)), count + SPARE
    while len(waiting):
        asked = min(asked, len(units))
        found, candidates = faiss.knn(queries[waiting], units, asked, faiss.METRIC_INNER_PRODUCT)
        places, values = _in_order(queries[waiting], units, candidates)
        rows[waiting], cosines[waiting] = places[:, :count], values[:, :count]
        unsure = values[:, count - 1] - found[:, -1] < COSINE_ERROR
        waiting, asked = waiting[unsure & (asked < len(units))], 2 * asked
    return rows, cosines


def _in_order(queries: np.ndarray, units: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort candidates, int64 (m, c), by their true cosines to the queries, rounded; ties go by row."""
    cosines = np.empty(candidates.shape)
    for i, (query, rows) in enumerate(zip(queries.astype(np.float64), candidates, strict=True)):
        cosines[i] = units[rows] @ query
    cosines = cosines.round(COSINE_DECIMALS) + 0.0
    order = np.lexsort((candidates, -cosines))
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(cosines, order, axis=1)


def _without(own: np.ndarray, rows: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove each row, (m,), from its own list, (m, k + 1), or the last entry if ties pushed the row out of it."""
    is_itself = rows == own[:, None]
    is_itself[~is_itself.any(axis=1), -1] = True
    kept = (len(rows), rows.shape[1] - 1)
    return rows[~is_itself].reshape(kept), cosines[~is_itself].reshape(kept)


def nearest_to(
    units: np.ndarray, query: np.ndarray, count: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows most similar to one vector by comparing it with all of them.

    Args:
        units: rows of length 1 or all zeros, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: number of rows to return, at least 1; as many must be allowed.
        allowed: the only rows to return, bool (n,); None allows all.

    Returns:
        The rows, int64 (count,), best first, and their cosines, rounded to 6 decimals, float64 (count,). Ties go by
        row.
    """
    similarities = units @ query
    if allowed is not None:
        similarities[~allowed] = _BELOW_EVERY_COSINE
    rows = rank(similarities[None], count)[0]
    cosines = similarities[rows].astype(np.float64).round(COSINE_DECIMALS)
    order = np.lexsort((rows, -cosines))  # `rank` rounds in float32, which may differ in the last digit
    return rows[order], cosines[order]


def clustered_neighbors(vectors: np.ndarray, count: int) -> np.ndarray:
    """Find rows that are similar to each row, float32 (n, d), by cosine, among those in the clusters nearest to it.

    The rows are divided by k-means (the inverted file of Jégou, Douze & Schmid, "Product quantization for nearest
    neighbor search", TPAMI 2011, without compression), so that the time grows with n · √n. What is very similar is
    nearly always in the same cluster or in the next.

    Returns:
        Rows, int64 (n, count), best first. A row without so many neighbors, and one of zeros, has itself instead.
    """
    import faiss

    units = normalize(vectors)
    rows = np.flatnonzero(units.any(axis=1))
    neighbors = np.repeat(np.arange(len(units))[:, None], count, axis=1)
    if len(rows) < 2:
        return neighbors
    clusters = max(1, min(int(_CLUSTERS_PER_ROOT * len(rows) ** 0.5), len(rows) // _TRAINING_ROWS_PER_CLUSTER))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(units.shape[1]), units.shape[1], clusters, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _TRAINING_ROWS_PER_CLUSTER
    index.train(units[rows])
    index.add(units[rows])
    index.nprobe = _SEARCHED_CLUSTERS
    found = index.search(units[rows], count + 1)[1]
    own = np.arange(len(rows))[:, None]
    # Itself is moved to the end, and takes the place of what was not found.
    order = np.argsort((found == own) | (found < 0), axis=1, kind="stable")
    sorted_found = np.take_along_axis(np.where(found < 0, own, found), order, axis=1)[:, :count]
    neighbors[rows] = rows[sorted_found]
    return neighbors
