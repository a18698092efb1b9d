"""Near duplicates, and the index that finds their candidates among many images."""

import numpy as np
import pytest

from similarity.data.dataset.duplicates import near_duplicates
from similarity.data.images.pixels import contrast_pattern, thumbnail
from similarity.data.vectors import clustered_neighbors, nearest_neighbors, normalize

WITH_ALL, BY_INDEX = 1000, 0  # images up to which all are compared with all


def planted(photographs: list[np.ndarray], copies: int) -> np.ndarray:
    """Thumbnails of cut-outs of photographs, then of some of them a little brighter, then of plain images."""
    rng = np.random.default_rng(0)
    small = [photograph[:400, :400] for photograph in photographs]
    corners = rng.integers(0, 250, (120, 2))
    cut = [small[i % len(small)][top : top + 120, left : left + 120] for i, (top, left) in enumerate(corners)]
    brighter = [np.minimum(image.astype(int) * 11 // 10 + 3, 255).astype(np.uint8) for image in cut[:copies]]
    plain = [np.full((50, 50, 3), value, np.uint8) for value in range(0, 250, 10)]
    return np.stack([thumbnail(image, 28) for image in (*cut, *brighter, *plain)])


@pytest.mark.parametrize("max_exact", [WITH_ALL, BY_INDEX])
def test_copies_that_were_planted_are_found_and_plain_images_are_not(
    photographs: list[np.ndarray], max_exact: int
) -> None:
    found = near_duplicates(planted(photographs, 20), 0.98, max_exact)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) >= {(row, 120 + row) for row in range(20)}
    assert max(found.second) < 140


@pytest.mark.parametrize("min_correlation", [0.6, 0.9, 1.0])
@pytest.mark.parametrize("max_exact", [WITH_ALL, BY_INDEX])
def test_of_few_images_all_pairs_that_correlate_are_found(
    photographs: list[np.ndarray], min_correlation: float, max_exact: int
) -> None:
    thumbnails = planted(photographs, 5)[[0, 120, 1, 121, 2, 122, 3, 4, 130]]
    patterns = contrast_pattern(thumbnails)
    expected = np.argwhere(np.triu(patterns @ patterns.T >= min_correlation, 1))
    found = near_duplicates(thumbnails, min_correlation, max_exact)
    np.testing.assert_array_equal(np.column_stack([found.first, found.second]), expected)
    assert (found.correlations >= min_correlation).all()


def test_clusters_find_nearly_all_neighbors_that_are_near() -> None:
    rng = np.random.default_rng(0)
    centers = normalize(rng.standard_normal((2000, 32)).astype(np.float32))
    vectors = np.concatenate([centers + 0.02 * rng.standard_normal(centers.shape) for _ in range(4)]).astype(np.float32)
    found, (exact, _) = clustered_neighbors(vectors, 3), nearest_neighbors(vectors, 3)
    assert np.mean([len(np.intersect1d(mine, true)) / 3 for mine, true in zip(found, exact, strict=True)]) > 0.99
    np.testing.assert_array_equal(found, clustered_neighbors(vectors, 3))


@pytest.mark.parametrize("count", [1, 2, 3, 70])
def test_a_row_without_enough_neighbors_has_itself_instead(count: int) -> None:
    vectors = np.eye(5, dtype=np.float32)[:count] if count < 5 else np.eye(count, 32, dtype=np.float32)
    found = clustered_neighbors(vectors, 4)
    assert found.shape == (len(vectors), 4)
    for row, others in enumerate(found.tolist()):
        real = [other for other in others if other != row]
        assert len(set(real)) == len(real)
        assert vectors[row].any() or not real
    assert (found[:, min(count - 1, 4) :] == np.arange(len(vectors))[:, None]).all()
