"""Cosines are right for rows of any length that float32 can hold, and ordinary rows keep their bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import relu_clusters
from similarity.data.vectors import count_zero_rows, multiply_rows, nearest_neighbors, normalize, scale_extremes

EMBEDDINGS = relu_clusters(200)
SIZES = st.lists(st.integers(-30, 30).map(lambda power: np.float32(10.0**power)), min_size=200, max_size=200)


def plainly_normalized(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(SIZES)
def test_rows_of_any_size_have_length_one_and_keep_their_direction(sizes: list[np.float32]) -> None:
    units = normalize(EMBEDDINGS * np.array(sizes)[:, None])
    assert units.dtype == np.float32
    np.testing.assert_allclose(units, plainly_normalized(EMBEDDINGS.astype(np.float64)), atol=3e-7)


@given(st.integers(-100, 100), st.integers(0, 2**32 - 1))
def test_rows_are_divided_by_their_norm_and_keep_every_digit_of_their_direction(power: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((50, 7)).astype(np.float32)
    np.testing.assert_array_equal(normalize(np.ldexp(rows, power)), plainly_normalized(rows))
    assert scale_extremes(rows) is rows


@pytest.mark.parametrize("size", [1e-40, 1e-25, 1e25, 1e37])
def test_tiny_and_huge_embeddings_have_the_neighbors_of_ordinary_ones(size: float) -> None:
    embeddings = EMBEDDINGS.copy()
    embeddings[::2] *= np.float32(size)
    tolerance = 1e-4 if size < 1e-38 else 2e-6  # numbers so small have fewer digits
    np.testing.assert_allclose(
        nearest_neighbors(embeddings, 10)[1], nearest_neighbors(EMBEDDINGS, 10)[1], atol=tolerance
    )
    assert count_zero_rows(embeddings) == 0


def test_rows_of_zeros_stay_and_rows_that_are_not_finite_are_nan_without_a_warning() -> None:
    rows = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [1e30, -np.inf], [3, 4]], np.float32)
    np.testing.assert_array_equal(normalize(rows)[[0, 4]], np.array([[0, 0], [0.6, 0.8]], np.float32))
    assert np.isnan(normalize(rows)[1:4]).any(axis=1).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_is_normalized_to_nothing(shape: tuple[int, int]) -> None:
    assert normalize(np.empty(shape, np.float32)).shape == shape


def test_a_row_is_mapped_to_the_same_bits_among_any_others() -> None:
    rng = np.random.default_rng(0)
    rows, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in ((700, 2848), (2848, 288)))
    products, order = multiply_rows(rows, kernel), rng.permutation(700)
    np.testing.assert_allclose(products, rows @ kernel, atol=2e-3)
    np.testing.assert_array_equal(multiply_rows(rows[order], kernel), products[order])
    for part in (slice(3, 4), slice(5, 60), slice(0, 0)):
        np.testing.assert_array_equal(multiply_rows(rows[part], kernel), products[part])
