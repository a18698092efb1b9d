"""Near duplicates: copies that are a little different."""

import numpy as np
import pytest

from similarity.data.dataset.duplicates import near_duplicates
from similarity.data.images.pixels import contrast_pattern, thumbnail


@pytest.mark.parametrize("min_correlation", [0.95, 0.98])
def test_all_pairs_that_correlate_are_found_such_as_brighter_copies_but_no_plain_images(
    photographs: list[np.ndarray], min_correlation: float
) -> None:
    cut = [photographs[i % 3][top : top + 120, 200:320] for i, top in enumerate(range(0, 240, 2))]
    brighter = [np.minimum(image.astype(int) * 11 // 10 + 3, 255).astype(np.uint8) for image in cut[:20]]
    plain = [np.full((50, 50, 3), value, np.uint8) for value in range(0, 250, 10)]
    thumbnails = np.stack([thumbnail(image, 28) for image in (*cut, *brighter, *plain)])
    patterns = contrast_pattern(thumbnails)
    expected = np.argwhere(np.triu(patterns @ patterns.T >= min_correlation, 1))
    found = near_duplicates(thumbnails, min_correlation)
    pairs = np.column_stack([found.first, found.second])
    np.testing.assert_array_equal(pairs, expected)
    assert (found.correlations >= min_correlation).all()
    assert (pairs < 140).all()
    assert {(row, 120 + row) for row in range(20)} <= set(map(tuple, pairs.tolist()))
