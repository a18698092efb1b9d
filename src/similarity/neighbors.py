"""Exact nearest neighbors by cosine."""

from collections.abc import Iterator

import numpy as np

COSINE_DECIMALS = 6
_SCALE = 10**COSINE_DECIMALS
_SIMILARITIES_PER_BLOCK = 1 << 21  # as many as the processor's caches hold
_MIN_ROWS_PER_BLOCK = 64  # fewer make the matrix product slow
_RUN_LENGTH = 64
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
    candidates = np.zeros((units.shape[1], _whole_runs(rows)), np.float32)
    candidates[:, :rows] = units.T
    block = max(_MIN_ROWS_PER_BLOCK, _SIMILARITIES_PER_BLOCK // rows)
    for start in range(0, rows, block):
        similarities = units[start : start + block] @ candidates
        own = np.arange(len(similarities))
        similarities[own, start + own] = _BELOW_EVERY_COSINE  # never its own neighbor
        similarities[:, rows:] = _BELOW_EVERY_COSINE
        yield _select(similarities, count)


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
    similarities = np.full((1, _whole_runs(len(units))), _BELOW_EVERY_COSINE, np.float32)
    np.matmul(units, query, out=similarities[0, : len(units)])
    if allowed is not None:
        similarities[0, : len(units)][~allowed] = _BELOW_EVERY_COSINE
    if excluded is not None:
        similarities[0, excluded] = _BELOW_EVERY_COSINE
    rows, cosines = _select(similarities, count)
    return rows[0], cosines[0]


def _whole_runs(columns: int) -> int:
    """The number of columns, filled up to what `_select` takes."""
    return -(-columns // _RUN_LENGTH) * _RUN_LENGTH


def _select(similarities: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the columns of the highest `count` similarities of each row, and these, rounded.

    Nearly all are dropped without being sorted: the columns are looked at in runs, and of the runs' maxima the k-th
    highest is a lower bound of the k-th highest similarity.

    Args:
        similarities: float32 (b, m), m a multiple of the length of a run.
        count: at most m.
    """
    runs = similarities.reshape(len(similarities), _RUN_LENGTH, -1)  # a run is every so many columns: quick to compare
    maxima = runs.max(axis=1)
    kth = maxima.shape[1] - count
    bound = np.partition(maxima, kth, axis=1)[:, kth] if kth >= 0 else np.full(len(runs), -np.inf, np.float32)
    bound -= 2 / _SCALE  # keeps whatever ties with it after rounding
    rows, numbers = np.nonzero(maxima >= bound[:, None])
    values = runs[rows, :, numbers]
    found, within = np.nonzero(values >= bound[rows, None])
    rows, columns = rows[found], within * maxima.shape[1] + numbers[found]
    rounded = np.rint(values[found, within].astype(np.float64) * _SCALE)
    order = np.lexsort((columns, -rounded, rows))
    first = np.searchsorted(rows, np.arange(len(similarities)))
    chosen = order[first[:, None] + np.arange(count)]
    return columns[chosen], rounded[chosen] / _SCALE
