"""Cosines are right for rows of any length that float32 can hold, and exact neighbors are the nearest, ties by row."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from samples import relu_clusters, true_cosines
from similarity.data import vectors
from similarity.data.vectors import multiply_rows, nearest_neighbors, nearest_to, normalize


def test_rows_of_zeros_stay_and_rows_that_are_not_finite_are_nan_without_a_warning() -> None:
    rows = np.array([[0, 0], [np.nan, 1], [np.inf, 1], [1e30, -np.inf], [3, 4]], np.float32)
    np.testing.assert_array_equal(normalize(rows)[[0, 4]], np.array([[0, 0], [0.6, 0.8]], np.float32))
    assert np.isnan(normalize(rows)[1:4]).any(axis=1).all()
    assert normalize(np.empty((0, 3), np.float32)).shape == (0, 3)


def test_a_row_is_mapped_to_the_same_bits_among_any_others() -> None:
    rng = np.random.default_rng(0)
    rows, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in ((700, 1000), (1000, 288)))
    products, order = multiply_rows(rows, kernel), rng.permutation(700)
    np.testing.assert_allclose(products, rows @ kernel, atol=2e-3)
    np.testing.assert_array_equal(multiply_rows(rows[order], kernel), products[order])
    for part in (slice(3, 4), slice(5, 60), slice(0, 0)):
        np.testing.assert_array_equal(multiply_rows(rows[part], kernel), products[part])


def slow_search(embeddings: np.ndarray, top_k: int) -> list[list[int]]:
    units = normalize(embeddings).astype(np.float64)
    similarities = (units @ units.T).round(6)
    order = np.argsort(-similarities, axis=1, kind="stable").tolist()
    return [[j for j in row if j != i][:top_k] for i, row in enumerate(order)]


# Small whole numbers give many exact ties, and cosines that differ by more than rounding or not at all.
small_embeddings = arrays(np.float32, st.tuples(st.integers(1, 25), st.just(3)), elements=st.integers(-1, 3))


@given(small_embeddings, st.integers(1, 30), st.sampled_from([2, 5, 1000]), st.sampled_from([0, 6]))
@settings(deadline=None)
def test_neighbors_are_those_of_the_slow_way_with_ties_by_row(
    embeddings: np.ndarray, top_k: int, rows_per_block: int, spare: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:  # small blocks and few candidates, so that a few rows take all ways
        patch.setattr(vectors, "_ROWS_PER_BLOCK", rows_per_block)
        patch.setattr(vectors, "SPARE", spare)
        rows, similarities = nearest_neighbors(embeddings, top_k)
    assert rows.tolist() == slow_search(embeddings, top_k)
    np.testing.assert_allclose(similarities, true_cosines(embeddings, rows), atol=1.1e-6)


def test_neighbors_are_those_of_scikit_learn_whatever_the_number_of_threads() -> None:
    embeddings, threads = relu_clusters(3000), faiss.omp_get_max_threads()
    found, similarities = nearest_neighbors(embeddings, 10)
    theirs = NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(embeddings).kneighbors()
    np.testing.assert_allclose(similarities, 1 - theirs[0][:, :10], atol=2e-6)
    assert (found == theirs[1][:, :10]).mean() > 0.999  # but for ties within rounding
    try:
        faiss.omp_set_num_threads(1)
        alone = nearest_neighbors(embeddings, 10)
    finally:
        faiss.omp_set_num_threads(threads)
    np.testing.assert_array_equal(alone[0], found)
    np.testing.assert_array_equal(alone[1], similarities)


def test_cosines_that_are_nearly_equal_are_in_the_order_of_what_is_shown() -> None:
    """Whether float32 or float64 rounds them to six digits: these differ for one in some hundreds."""
    cosines = np.random.default_rng(0).uniform(0.36, 0.361, 5000).astype(np.float32)
    rows, shown = nearest_to(cosines[:, None], np.ones(1, np.float32), 5000)
    np.testing.assert_array_equal(shown, cosines[rows].astype(np.float64).round(6))
    assert rows.tolist() == np.lexsort((np.arange(5000), -cosines.astype(np.float64).round(6))).tolist()
