import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from similarity.data.images.pixels import (
    centered_pixels,
    color_histogram,
    contrast_pattern,
    count_values,
    thumbnail,
)


@given(arrays(np.uint8, (6, 5, 3)), st.integers(2, 32))
def test_histogram_counts_each_channel_by_itself(pixels: np.ndarray, bins: int) -> None:
    expected = [np.histogram(pixels[..., c], bins, (0, 256))[0] for c in range(3)]
    histogram = color_histogram(count_values(pixels), bins)
    np.testing.assert_allclose(histogram, np.sqrt(np.concatenate(expected) / 30), rtol=1e-6)


def test_a_brighter_or_smaller_copy_correlates_and_another_image_or_a_plain_one_does_not(
    photographs: list[np.ndarray],
) -> None:
    plain = np.full((40, 40, 3), (200, 30, 30), np.uint8)
    versions = (photographs[1], photographs[1] // 2 + 60, photographs[1][::3, ::3], photographs[2], plain)
    one, brighter, smaller, different, flat = contrast_pattern(np.stack([thumbnail(pixels, 28) for pixels in versions]))
    assert min(one @ brighter, one @ smaller) > 0.95
    assert abs(one @ different) < 0.5
    assert not flat.any()


@given(arrays(np.uint8, (3, 5, 5, 3)))
def test_correlations_are_those_of_the_channels_centered_each_by_itself(thumbnails: np.ndarray) -> None:
    assert np.abs(centered_pixels(thumbnails).mean(axis=1)).max() < 1e-3
    patterns = contrast_pattern(thumbnails)
    flat = [(each - each.mean((0, 1))).ravel() for each in thumbnails.astype(float)]
    for i, j in ((0, 1), (1, 2)):
        if min(np.abs(flat[i]).max(), np.abs(flat[j]).max()) > 1:  # plain images have none
            expected = flat[i] @ flat[j] / (np.linalg.norm(flat[i]) * np.linalg.norm(flat[j]))
            np.testing.assert_allclose(patterns[i] @ patterns[j], expected, atol=1e-4)
