import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors

from samples import relu_clusters, true_cosines
from similarity.index import exact
from similarity.index.exact import nearest_neighbors
from similarity.vectors import count_zero_rows, normalize, rank


def slow_search(embeddings: np.ndarray, top_k: int) -> list[list[int]]:
    units = normalize(embeddings).astype(np.float64)
    similarities = (units @ units.T).round(6)
    order = np.argsort(-similarities, axis=1, kind="stable").tolist()
    return [[j for j in row if j != i][:top_k] for i, row in enumerate(order)]


# Small whole numbers give many exact ties, and cosines that differ by more than rounding or not at all.
small_embeddings = arrays(np.float32, st.tuples(st.integers(2, 25), st.just(3)), elements=st.integers(0, 3))


@given(small_embeddings, st.integers(1, 30), st.sampled_from([2, 5, 1000]))
@settings(deadline=None)
def test_neighbors_are_those_of_the_slow_way_with_ties_by_row(
    embeddings: np.ndarray, top_k: int, rows_per_tile: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:  # small tiles, so that few rows take many rounds
        patch.setattr(exact, "_ROWS_PER_TILE", rows_per_tile)
        rows, similarities = nearest_neighbors(embeddings, top_k)
    assert rows.tolist() == slow_search(embeddings, top_k)
    np.testing.assert_allclose(similarities, true_cosines(embeddings, rows), atol=1.1e-6)


@pytest.mark.parametrize("rows", [100, 6000])
def test_neighbors_are_those_of_scikit_learn(rows: int) -> None:
    embeddings = relu_clusters(rows)
    found, similarities = nearest_neighbors(embeddings, 10)
    distances, theirs = (
        NearestNeighbors(n_neighbors=11, metric="cosine", algorithm="brute").fit(embeddings).kneighbors()
    )
    np.testing.assert_allclose(similarities, 1 - distances[:, :10], atol=2e-6)
    assert (found == theirs[:, :10]).mean() > 0.999  # but for ties within rounding


def test_identical_embeddings_find_each_other_first() -> None:
    embeddings = relu_clusters(500)
    embeddings[400] = embeddings[3]
    rows, similarities = nearest_neighbors(embeddings, 5)
    assert (rows[400, 0], rows[3, 0]) == (3, 400)
    assert similarities[3, 0] == 1


def test_zero_vectors_are_similar_to_nothing_and_never_nan() -> None:
    embeddings = relu_clusters(50)
    embeddings[[7, 9]] = 0
    rows, similarities = nearest_neighbors(embeddings, 3)
    assert rows[7].tolist() == [0, 1, 2]
    assert (similarities[[7, 9]] == 0).all()
    assert not np.isin(rows[similarities > 0], [7, 9]).any()
    assert count_zero_rows(embeddings) == 2


@given(arrays(np.float32, (3, 12), elements=st.integers(-4, 4)), st.integers(1, 12))
def test_rank_sorts_as_a_stable_sort_does(values: np.ndarray, count: int) -> None:
    expected = np.argsort(-values / 4, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(rank(values / 4, count), expected)


def test_neighbors_are_the_same_whatever_the_number_of_threads() -> None:
    embeddings = relu_clusters(3000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("similarity.parallel.os.cpu_count", lambda: 1)
        alone = nearest_neighbors(embeddings, 10)
    for one, many in zip(alone, nearest_neighbors(embeddings, 10), strict=True):
        np.testing.assert_array_equal(one, many)
