"""Rows of numbers compared by cosine: the arithmetic that embeddings, descriptors and indexes share."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from similarity.data.files import release_pages

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

COSINE_DECIMALS = 6
_SCALE = 10**COSINE_DECIMALS
_ROWS_PER_BLOCK = 8192
_VARIANCE_EPSILON = 1e-3
_LEAST_SAFE, _MOST_SAFE = 1e-15, 1e15  # squares of these, and sums of millions of them, are float32 numbers
_MAX_EXPONENT = 126  # of a power of two whose reciprocal is a float32 number as well


def row_blocks(array: np.ndarray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Give an array, (n, …), or some of its rows, int64 (m,), in blocks.

    A block of an array that is mapped from a file is released before the next one, and must not be kept.
    """
    count = len(array) if rows is None else len(rows)
    for start in range(0, count, _ROWS_PER_BLOCK):
        block = slice(start, start + _ROWS_PER_BLOCK)
        yield array[block] if rows is None else array[rows[block]]
        if start + _ROWS_PER_BLOCK < count:  # the last block may be all there is, and wanted again at once
            release_pages(array)


def count_blocks(array: np.ndarray) -> int:
    """Count the blocks that `row_blocks` gives of an array, (n, …)."""
    return -(-len(array) // _ROWS_PER_BLOCK)


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
    with _libraries().limit(limits=1, user_api="blas"):  # nor must it depend on how threads divide a sum
        for row, product in zip(rows, products, strict=True):
            np.dot(transposed, row, out=product)
    return products


@cache
def _libraries() -> "ThreadpoolController":
    """Find the libraries whose threads can be limited; cached, since this takes longer than an image's product."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def count_zero_rows(embeddings: np.ndarray) -> int:
    """Count the embeddings, of (n, d), that are all zeros, and so similar to nothing."""
    return int((~embeddings.any(axis=1)).sum())


def rank(similarities: np.ndarray, count: int) -> np.ndarray:
    """Find the columns of the `count` highest cosines in each row, float32 (n, m), best first: int64 (n, count).

    Values that round to the same 6 decimals are a tie, and ties go by column, so that noise does not decide the order.
    """
    columns = similarities.shape[1]
    # One integer holds similarity and column, so that one sort settles both.
    sort_keys = np.rint(similarities * -np.float32(_SCALE)).astype(np.int64) * columns
    sort_keys += np.arange(columns)
    if count < columns:
        sort_keys = np.partition(sort_keys, count - 1, axis=1)[:, :count]
    return np.sort(sort_keys, axis=1) % columns
