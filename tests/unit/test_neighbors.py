import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from samples import relu_clusters, true_cosines
from similarity.data import vectors
from similarity.data.vectors import count_zero_rows, nearest_neighbors, nearest_to, normalize


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


def test_neighbors_are_those_of_scikit_learn() -> None:
    embeddings = relu_clusters(6000)
    found, similarities = nearest_neighbors(embeddings, 10)
    distances, theirs = (
        NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(embeddings).kneighbors()
    )
    np.testing.assert_allclose(similarities, 1 - distances[:, :10], atol=2e-6)
    assert (found == theirs[:, :10]).mean() > 0.999  # but for ties within rounding


def test_zero_vectors_are_similar_to_nothing_and_never_nan() -> None:
    embeddings = relu_clusters(50)
    embeddings[[7, 9]] = 0
    rows, similarities = nearest_neighbors(embeddings, 3)
    assert rows[7].tolist() == [0, 1, 2]
    assert (similarities[[7, 9]] == 0).all()
    assert not np.isin(rows[similarities > 0], [7, 9]).any()
    assert count_zero_rows(embeddings) == 2


def test_cosines_that_are_nearly_equal_are_in_the_order_of_what_is_shown() -> None:
    """Whether float32 or float64 rounds them to six digits: these differ for one in some hundreds."""
    cosines = np.random.default_rng(0).uniform(0.36, 0.361, 5000).astype(np.float32)
    rows, shown = nearest_to(cosines[:, None], np.ones(1, np.float32), 5000)
    np.testing.assert_array_equal(shown, cosines[rows].astype(np.float64).round(6))
    assert rows.tolist() == np.lexsort((np.arange(5000), -cosines.astype(np.float64).round(6))).tolist()


def test_neighbors_are_the_same_whatever_the_number_of_threads() -> None:
    embeddings = relu_clusters(3000)
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)
        alone = nearest_neighbors(embeddings, 10)
    finally:
        faiss.omp_set_num_threads(threads)
    for one, many in zip(alone, nearest_neighbors(embeddings, 10), strict=True):
        np.testing.assert_array_equal(one, many)


def test_masses_of_equal_and_of_zero_rows_are_put_in_order_by_row() -> None:
    embeddings = relu_clusters(3000)
    embeddings[100:2100] = embeddings[0]
    embeddings[2100:2900] = 0
    rows, similarities = nearest_neighbors(embeddings, 5)
    assert rows[[0, 102, 2099]].tolist() == [
        [100, 101, 102, 103, 104],
        [0, 100, 101, 103, 104],
        [0, 100, 101, 102, 103],
    ]
    assert (similarities[[0, 102, 2099]] == 1).all()
    assert rows[[2100, 2899]].tolist() == [[0, 1, 2, 3, 4]] * 2


def test_a_number_that_is_not_finite_is_named_by_its_row() -> None:
    embeddings = relu_clusters(20)
    embeddings[7, 3] = np.nan
    with pytest.raises(ValueError, match="row 7 of the embeddings"):
        nearest_neighbors(embeddings, 3)
