"""Rows of numbers compared by cosine: arithmetic that embeddings and indexes share, and the nearest neighbors."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from similarity.data.files import release_pages
from similarity.data.parallel import ordered_map

Progress = Callable[[range], Iterable[int]]
"""Wraps the iteration over blocks, to show how far it is."""

COSINE_DECIMALS = 6
SPARE = 6  # candidates beyond those wanted, among which cosines that are nearly equal are put in order
_COSINE_ERROR = 3 * 10**-COSINE_DECIMALS  # the most that cosines of faiss differ from the true ones, rounded
_ROWS_PER_BLOCK = 8192  # faiss takes more than twice as long with fewer than 4096
_ROWS_PER_TASK = 256
_VARIANCE_EPSILON = 1e-3
_LEAST_SAFE, _MOST_SAFE = 1e-15, 1e15  # squares of these, and sums of millions of them, are float32 numbers
_MAX_EXPONENT = 126  # of a power of two whose reciprocal is a float32 number as well


def row_blocks(array: np.ndarray, rows: np.ndarray | None = None, progress: Progress = iter) -> Iterator[np.ndarray]:
    """Give an array, (n, …), or some of its rows, int64 (m,), in blocks.

    A block of an array that is mapped from a file is released before the next one, and must not be kept.
    """
    count = len(array) if rows is None else len(rows)
    for start in progress(range(0, count, _ROWS_PER_BLOCK)):
        block = slice(start, start + _ROWS_PER_BLOCK)
        yield array[block] if rows is None else array[rows[block]]
        if start + _ROWS_PER_BLOCK < count:  # the last block may be all there is, and wanted again at once
            release_pages(array)


def standardization(features: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Compute the means and scales, float32 (D,), that bring the columns of features to mean 0 and deviation 1.

    A scale is sqrt(variance + ε), as in batch normalization (Ioffe & Szegedy, ICML 2015): a feature that hardly varies
    here must not explode where it does. Features are float32 (n, D), of which only some rows, int64 (m,), may count.
    """
    count = len(features) if rows is None else len(rows)
    mean, variance = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for block in row_blocks(features, rows):
        mean += block.sum(axis=0, dtype=np.float64) / count
    for block in row_blocks(features, rows):
        variance += np.square(block - mean).sum(axis=0) / count
    return mean.astype(np.float32), np.sqrt(variance + _VARIANCE_EPSILON).astype(np.float32)


def normalize(rows: np.ndarray) -> np.ndarray:
    """Scale each row, float32 (n, d), to length 1, however short or long it is.

    A row of zeros stays, so that its cosine to anything is 0; a row with a number that is not finite gets NaN.
    """
    rows = scale_extremes(rows)
    with np.errstate(over="ignore", invalid="ignore"):  # of rows that are not finite
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(norms == 0, 1, norms)


def scale_extremes(rows: np.ndarray) -> np.ndarray:
    """Scale rows, float32 (n, d), by powers of two, so that float32 holds their squares.

    Powers of two keep every digit, so no cosine changes. Usual rows stay as they are.
    """
    largest = np.maximum(rows.max(axis=1, initial=0), -rows.min(axis=1, initial=0))[:, None]
    if ((largest >= _LEAST_SAFE) & (largest <= _MOST_SAFE) | (largest == 0)).all():
        return rows
    exponents = np.clip(np.frexp(largest)[1], -_MAX_EXPONENT, _MAX_EXPONENT)
    return rows * np.ldexp(np.float32(1), -exponents)


def multiply_rows(rows: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Multiply each row, float32 (n, d), by a matrix, float32 (d, e), on its own: float32 (n, e).

    The product of many rows at a time is faster, but its bits depend on the number of rows and on the place of each
    among them. What an image is mapped to must not change when others are added.
    """
    transposed, products = np.ascontiguousarray(kernel.T), np.empty((len(rows), kernel.shape[1]), np.float32)

    def multiply(start: int) -> None:
        block = slice(start, start + _ROWS_PER_TASK)
        for row, product in zip(rows[block], products[block], strict=True):
            np.dot(transposed, row, out=product)

    with _libraries().limit(limits=1, user_api="blas"):  # nor must it depend on how threads divide a sum
        starts = range(0, len(rows), _ROWS_PER_TASK)
        for _ in ordered_map(multiply, starts) if len(starts) > 1 else map(multiply, starts):  # a query needs no thread
            pass
    return products


@cache  # since to find the libraries takes longer than an image's product
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def rank(similarities: np.ndarray, count: int) -> np.ndarray:
    """Find the columns of the `count` highest cosines in each row, float32 (n, m), best first: int64 (n, count).

    Values that round to the same 6 decimals are a tie, and ties go by column, so that noise does not decide the order.
    """
    columns = similarities.shape[1]
    # One integer holds similarity and column, so that one sort settles both.
    sort_keys = np.rint(similarities * -np.float32(10**COSINE_DECIMALS)).astype(np.int64) * columns
    sort_keys += np.arange(columns)
    if count < columns:
        sort_keys = np.partition(sort_keys, count - 1, axis=1)[:, :count]
    return np.sort(sort_keys, axis=1) % columns


def nearest_neighbors(embeddings: np.ndarray, top_k: int, progress: Progress = iter) -> tuple[np.ndarray, np.ndarray]:
    """Find the most similar other rows of every row, all finite, by comparing all pairs.

    Candidates come from faiss (Johnson, Douze & Jégou, "Billion-scale similarity search with GPUs", 2017). Their
    cosines are recomputed in double precision, so that neither the order of ties nor a digit depends on the number of
    threads. Equal rows are searched once. Memory: O(n · (d + top_k)).

    Returns:
        The neighbors' rows, int64 (n, k), best first, and their cosines, rounded to 6 decimals, float64 (n, k), with
        k = min(top_k, n − 1). Ties go by row. A row of zeros has the cosine 0 to all others.
    """
    units, count = normalize(embeddings), min(top_k, len(embeddings) - 1)
    contents = np.ascontiguousarray(units + 0.0)  # −0 becomes 0
    keys = contents.view(np.dtype((np.void, contents.shape[1] * contents.itemsize))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    rows, cosines = np.empty((len(first), count + 1), np.int64), np.empty((len(first), count + 1))
    for start in progress(range(0, len(first), _ROWS_PER_BLOCK)):
        block = slice(start, start + _ROWS_PER_BLOCK)
        rows[block], cosines[block] = _most_similar(units[first[block]], units, count + 1)
    rows, cosines = rows[group], cosines[group]
    is_itself = rows == np.arange(len(rows))[:, None]
    is_itself[~is_itself.any(axis=1), -1] = True  # ties pushed the row out of its own list
    return rows[~is_itself].reshape(len(rows), count), cosines[~is_itself].reshape(len(rows), count)


def _most_similar(queries: np.ndarray, units: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows most similar to each query, float32 (m, d), and their cosines, by comparing it with all of them."""
    import faiss

    # The number asked for is doubled where more may be tied with the last.
    rows, cosines = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
    waiting, asked = np.arange(len(queries)), count + SPARE
    while len(waiting):
        asked = min(asked, len(units))
        found, candidates = faiss.knn(queries[waiting], units, asked, faiss.METRIC_INNER_PRODUCT)
        pairs = zip(queries[waiting].astype(np.float64), candidates, strict=True)
        true = np.stack([units[each] @ query for query, each in pairs]).round(COSINE_DECIMALS) + 0.0
        order = np.lexsort((candidates, -true))[:, :count]  # ties go by row
        rows[waiting] = np.take_along_axis(candidates, order, axis=1)
        cosines[waiting] = np.take_along_axis(true, order, axis=1)
        unsure = cosines[waiting, -1] - found[:, -1] < _COSINE_ERROR
        waiting, asked = waiting[unsure & (asked < len(units))], 2 * asked
    return rows, cosines


def nearest_to(
    units: np.ndarray, query: np.ndarray, count: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the rows most similar to one vector by comparing it with all of them, or with those allowed, bool (n,).

    Rows, float32 (n, d), and vector have length 1 or are all zeros. At least `count` rows, and one, must be allowed.

    Returns:
        The rows, int64 (count,), best first, and their cosines, rounded to 6 decimals, float64 (count,). Ties go by
        row.
    """
    similarities = units @ query
    if allowed is not None:
        similarities[~allowed] = -2
    rows = rank(similarities[None], count)[0]
    cosines = similarities[rows].astype(np.float64).round(COSINE_DECIMALS)
    order = np.lexsort((rows, -cosines))  # `rank` rounds in float32, which may differ in the last digit
    return rows[order], cosines[order]
