"""Near duplicates: copies that are a little different."""

import numpy as np
import pytest

from similarity.data.dataset.duplicates import near_duplicates
from similarity.data.images.pixels import contrast_pattern, thumbnail


def planted(photographs: list[np.ndarray], copies: int) -> np.ndarray:
    """Thumbnails of cut-outs of photographs, then of some of them a little brighter, then of plain images."""
    rng = np.random.default_rng(0)
    small = [photograph[:400, :400] for photograph in photographs]
    corners = rng.integers(0, 250, (120, 2))
    cut = [small[i % len(small)][top : top + 120, left : left + 120] for i, (top, left) in enumerate(corners)]
    brighter = [np.minimum(image.astype(int) * 11 // 10 + 3, 255).astype(np.uint8) for image in cut[:copies]]
    plain = [np.full((50, 50, 3), value, np.uint8) for value in range(0, 250, 10)]
    return np.stack([thumbnail(image, 28) for image in (*cut, *brighter, *plain)])


def test_copies_that_were_planted_are_found_and_plain_images_are_not(photographs: list[np.ndarray]) -> None:
    found = near_duplicates(planted(photographs, 20), 0.98)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) >= {(row, 120 + row) for row in range(20)}
    assert max(found.second) < 140


@pytest.mark.parametrize("min_correlation", [0.6, 0.9, 1.0])
def test_of_few_images_all_pairs_that_correlate_are_found(
    photographs: list[np.ndarray], min_correlation: float
) -> None:
    thumbnails = planted(photographs, 5)[[0, 120, 1, 121, 2, 122, 3, 4, 130]]
    patterns = contrast_pattern(thumbnails)
    expected = np.argwhere(np.triu(patterns @ patterns.T >= min_correlation, 1))
    found = near_duplicates(thumbnails, min_correlation)
    np.testing.assert_array_equal(np.column_stack([found.first, found.second]), expected)
    assert (found.correlations >= min_correlation).all()
