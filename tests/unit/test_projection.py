import warnings

import numpy as np
import pytest
import sklearn.manifold
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from samples import relu_clusters
from similarity.data.vectors import normalize
from similarity.embedding.projection import choose_landmarks, project

EMBEDDINGS = relu_clusters(600)

# Small whole numbers give rows of zeros, equal rows, and multiples of each other.
small_embeddings = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(0, 3))


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """A map of `EMBEDDINGS`, a quarter of them landmarks."""
    return next(project([EMBEDDINGS], 150, 15, 0))


def test_neighbors_in_the_plane_are_similar(points: np.ndarray) -> None:
    assert sklearn.manifold.trustworthiness(normalize(EMBEDDINGS), points, n_neighbors=10) > 0.97


def test_an_image_lies_among_its_nearest_landmarks_and_closest_to_the_most_similar(points: np.ndarray) -> None:
    landmarks = choose_landmarks(EMBEDDINGS, 150, 0)
    others = np.setdiff1d(np.arange(600), landmarks)
    assert (len(landmarks), len(others)) == (150, 450)
    search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(EMBEDDINGS[landmarks])
    places = points[landmarks[search.kneighbors(EMBEDDINGS[others], return_distance=False)]]
    assert (points[others] >= places.min(axis=1) - 1e-6).all()
    assert (points[others] <= places.max(axis=1) + 1e-6).all()
    assert np.median(np.linalg.norm(points[others] - places[:, 0], axis=1)) < 0.02


def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads_and_next_to_others(points: np.ndarray) -> None:
    with threadpool_limits(limits=1):
        _, again = project([EMBEDDINGS[:60], EMBEDDINGS], 150, 15, 0)
    assert again.tobytes() == points.tobytes()
    assert (next(project([EMBEDDINGS], 150, 15, 1)) != points).any()


@given(small_embeddings, st.integers(1, 10), st.sampled_from([1, 5, 30]))
@settings(deadline=None, max_examples=30)
def test_few_images_of_any_kind_fill_the_unit_square_and_equal_ones_share_a_point(
    embeddings: np.ndarray, landmarks: int, perplexity: float
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [points] = project([embeddings], landmarks, perplexity, 0)
    assert (points.dtype, points.shape) == (np.float32, (len(embeddings), 2))
    assert (points >= 0).all()
    assert (points <= 1).all()
    np.testing.assert_allclose(points.min(axis=0) + points.max(axis=0), 1, atol=1e-6)
    assert np.ptp(points, axis=0).max() in (0, 1)
    units = normalize(embeddings)
    for point, unit in zip(points, units, strict=True):
        same = np.isclose(units, unit, atol=1e-6).all(axis=1)
        np.testing.assert_allclose(points[same], np.broadcast_to(point, (same.sum(), 2)), atol=1e-3)


def test_zero_vectors_share_a_point_where_nothing_else_is() -> None:
    embeddings = EMBEDDINGS.copy()
    embeddings[[7, 8, 500]] = 0
    assert not np.isin(choose_landmarks(EMBEDDINGS, 50, 0), [7, 8, 500]).any()
    [points] = project([embeddings], 50, 30, 0)
    distances = np.linalg.norm(points - points[7], axis=1)
    assert distances[[8, 500]].max() < 1e-6
    assert np.delete(distances, [7, 8, 500]).min() > 0.01
