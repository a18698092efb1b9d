"""Exact nearest neighbors by cosine."""

from collections.abc import Iterator

import numpy as np

COSINE_DECIMALS = 6
_SCALE = 10**COSINE_DECIMALS
_SIMILARITIES_PER_BLOCK = 1 << 23
_BELOW_EVERY_COSINE = -2


def normalize(embeddings: np.ndarray) -> np.ndarray:
    """Scales each row, float32 (n, d), to length 1; a row of zeros stays, so that its cosine to anything is 0."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(norms > 0, norms, 1)


def count_zero_rows(embeddings: np.ndarray) -> int:
    """The number of embeddings, of (n, d), that are all zeros, and so similar to nothing."""
    return int((~embeddings.any(axis=1)).sum())


def rank(similarities: np.ndarray, count: int) -> np.ndarray:
    """Finds the columns of the highest values in each row, best first.

    Values that round to the same 6 decimals are a tie, and ties go by column, so that noise hardly decides the order.

    Args:
        similarities: cosines, float32 (n, m).
        count: how many columns to give, at most m.

    Returns:
        int64 (n, count).
    """
    columns = similarities.shape[1]
    # One integer holds similarity and column, so that one sort settles both.
    sort_keys = np.rint(similarities * -np.float32(_SCALE)).astype(np.int64) * columns
    sort_keys += np.arange(columns)
    if count < columns:
        sort_keys = np.partition(sort_keys, count - 1, axis=1)[:, :count]
    return np.sort(sort_keys, axis=1) % columns


def nearest_neighbors(embeddings: np.ndarray, top_k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Finds the most similar other rows of every row, by comparing it with all of them.

    Args:
        embeddings: float32 (n, d); rows need not have length 1.
        top_k: neighbors per row; fewer are given where there are no more.

    Yields:
        For a block of consecutive rows, the neighbors' rows, int64 (b, k), best first, and their cosines, rounded to
        6 decimals, float64 (b, k), with k = min(top_k, n − 1). Ties go by row.
    """
    units = normalize(embeddings)
    rows, count = len(units), min(top_k, len(units) - 1)
    block = max(1, _SIMILARITIES_PER_BLOCK // rows)
    sample = _threshold_sample(units, count)
    for start in range(0, rows, block):
        queries = units[start : start + block]
        similarities = queries @ units.T
        own = np.arange(len(queries))
        similarities[own, start + own] = _BELOW_EVERY_COSINE  # never its own neighbor
        threshold = _kth_highest(similarities[:, sample], count)
        yield _select(similarities, threshold, count)


def nearest_to(
    units: np.ndarray,
    query: np.ndarray,
    count: int,
    allowed: np.ndarray | None = None,
    excluded: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the rows most similar to one vector, by comparing it with all of them.

    Args:
        units: what `normalize` gives, float32 (n, d).
        query: of length 1 or all zeros, float32 (d,).
        count: how many rows to give, at least 1; as many must be allowed.
        allowed: the only rows to give, bool (n,); None is all.
        excluded: a row not to give.

    Returns:
        The rows, int64 (count,), best first, and their cosines, rounded to 6 decimals, float64 (count,). Ties go by
        row.
    """
    similarities = units @ query
    if allowed is not None:
        similarities[~allowed] = _BELOW_EVERY_COSINE
    if excluded is not None:
        similarities[excluded] = _BELOW_EVERY_COSINE
    rows, cosines = _select(similarities[None], _bound_of_kth_highest(similarities, count), count)
    return rows[0], cosines[0]


def _threshold_sample(units: np.ndarray, count: int) -> slice:
    """Columns, evenly spread, whose k-th best similarity is a cheap lower bound of the true one."""
    size = max(8 * count, int(np.sqrt(count * len(units))))
    return slice(0, None, max(1, len(units) // size))


def _kth_highest(values: np.ndarray, k: int) -> np.ndarray:
    return np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k]


def _bound_of_kth_highest(values: np.ndarray, k: int) -> np.ndarray:
    """A lower bound of the k-th highest of values, (n,): the k-th highest of the maxima of runs of them, (1,)."""
    width = max(1, len(values) // (8 * k))
    maxima = values[: len(values) // width * width].reshape(-1, width).max(axis=1)
    return _kth_highest(maxima[None], k)


def _select(similarities: np.ndarray, threshold: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorts the few similarities that reach their row's threshold, (b,), and takes the first `count` of each row."""
    # The margin keeps whatever ties with the threshold after rounding.
    rows, columns = np.nonzero(similarities >= (threshold - 2 / _SCALE)[:, None])
    rounded = np.rint(similarities[rows, columns].astype(np.float64) * _SCALE)
    order = np.lexsort((columns, -rounded, rows))
    first = np.searchsorted(rows, np.arange(len(similarities)))
    chosen = order[first[:, None] + np.arange(count)]
    return columns[chosen], rounded[chosen] / _SCALE
