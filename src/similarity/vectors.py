"""Rows of numbers compared by cosine: the arithmetic that embeddings, descriptors and indexes share."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from similarity.files import release_pages

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

COSINE_DECIMALS = 6
_SCALE = 10**COSINE_DECIMALS
_ROWS_PER_BLOCK = 8192
_VARIANCE_EPSILON = 1e-3
_SAFE_NORMS = 1e-15, 1e15  # whose squares, and those of all numbers that count beside them, are float32 numbers


def row_blocks(array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Gives an array, (n, …), or some of its rows, int64 (m,), in blocks, and forgets each before the next one.

    A block of an array that is mapped from a file is not to be kept.
    """
    count = len(array) if rows is None else len(rows)
    for start in range(0, count, _ROWS_PER_BLOCK):
        block = slice(start, start + _ROWS_PER_BLOCK)
        yield array[block] if rows is None else array[rows[block]]
        if start + _ROWS_PER_BLOCK < count:  # the last block may be all there is, and wanted again at once
            release_pages(array)


def count_blocks(array: np.ndarray) -> int:
    """How many blocks `row_blocks` gives of an array, (n, …)."""
    return -(-len(array) // _ROWS_PER_BLOCK)


def standardization(features: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The means and scales of the columns of features, float32 (n, D), that bring them to mean 0 and deviation 1.

    A scale is sqrt(variance + ε), as in batch normalization (Ioffe & Szegedy, ICML 2015): a feature that hardly varies
    here must not explode where it does.

    Args:
        features: may be mapped from a file.
        rows: the only ones that count, int64 (m,).

    Returns:
        float32 (D,) each.
    """
    count = len(features) if rows is None else len(rows)
    mean, variance = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for block in row_blocks(features, rows):
        mean += block.sum(axis=0, dtype=np.float64) / count
    for block in row_blocks(features, rows):
        variance += np.square(block - mean).sum(axis=0) / count
    return mean.astype(np.float32), np.sqrt(variance + _VARIANCE_EPSILON).astype(np.float32)


def normalize(embeddings: np.ndarray) -> np.ndarray:
    """Scales each row, float32 (n, d), to length 1, however short or long it is.

    A row of zeros stays, so that its cosine to anything is 0; one with a number that is not finite becomes NaN.
    """
    rows, norms = _with_safe_norms(embeddings)
    return rows / np.where(norms == 0, 1, norms)


def scale_extremes(embeddings: np.ndarray) -> np.ndarray:
    """Scales each row, float32 (n, d), that is too short or too long for its square, by a power of two.

    The others stay as they are, to the bit, and the digits of these do, so that no cosine changes.
    """
    return _with_safe_norms(embeddings)[0]


def _with_safe_norms(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `scale_extremes` gives, and the norms of its rows, float32 (n, 1)."""
    norms = _norms(embeddings)
    extreme = ~((norms >= _SAFE_NORMS[0]) & (norms <= _SAFE_NORMS[1]))[:, 0]
    extreme &= (embeddings != 0).any(axis=1) if extreme.any() else False
    if extreme.any():
        rows = embeddings[extreme]
        scaled = np.ldexp(rows, -np.frexp(np.abs(rows).max(axis=1, keepdims=True))[1])
        scaled[~np.isfinite(rows).all(axis=1)] = np.nan
        embeddings, norms = embeddings.copy(), norms.copy()
        embeddings[extreme], norms[extreme] = scaled, _norms(scaled)
    return embeddings, norms


def _norms(rows: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # these rows are scaled, or are not finite
        return np.linalg.norm(rows, axis=1, keepdims=True)


def rows_not_finite(array: np.ndarray) -> np.ndarray:
    """The rows of an array, (n, d), that hold NaN or infinity: int64 (m,), ascending. It may be mapped from a file."""
    finite = [np.isfinite(block).all(axis=1) for block in row_blocks(array)]
    return np.flatnonzero(~np.concatenate(finite)) if finite else np.empty(0, np.int64)


def multiply_rows(rows: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Multiplies each row, float32 (n, d), by a matrix, float32 (d, e), on its own: float32 (n, e).

    A product of many rows at a time is faster, but its bits depend on how many rows there are and on the place of each
    among them. What an image is mapped to must not change when others are added.
    """
    transposed, products = np.ascontiguousarray(kernel.T), np.empty((len(rows), kernel.shape[1]), np.float32)
    with _libraries().limit(limits=1, user_api="blas"):  # nor must it depend on how threads divide a sum
        for row, product in zip(rows, products, strict=True):
            np.dot(transposed, row, out=product)
    return products


@cache
def _libraries() -> "ThreadpoolController":
    """What sets the number of threads; kept, because looking for libraries takes longer than an image's product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


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
