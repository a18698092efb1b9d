import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from similarity.descriptors import color_histogram, correlation, thumbnail

pictures = arrays(np.uint8, (6, 5, 3))


@given(pictures, st.integers(2, 32))
def test_histogram_counts_each_channel_by_itself(pixels: np.ndarray, bins: int) -> None:
    expected = [np.histogram(pixels[..., c], bins, (0, 256))[0] for c in range(3)]
    np.testing.assert_allclose(color_histogram(pixels, bins), np.sqrt(np.concatenate(expected) / 30), rtol=1e-6)


@given(pictures)
def test_histogram_ignores_where_the_pixels_are(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(color_histogram(pixels, 16), color_histogram(pixels[::-1, ::-1], 16))


@given(pictures)
def test_thumbnail_is_centered(pixels: np.ndarray) -> None:
    small = thumbnail(pixels, 4)
    assert small.shape == (48,)
    assert abs(small.mean()) < 1e-3


def test_a_brighter_or_smaller_copy_correlates_and_another_image_or_a_plain_one_does_not(
    photographs: list[np.ndarray],
) -> None:
    plain = np.full((40, 40, 3), (200, 30, 30), np.uint8)
    one, *others = (
        thumbnail(pixels, 28)
        for pixels in (photographs[1], photographs[1] // 2 + 60, photographs[1][::3, ::3], photographs[2], plain)
    )
    brighter, smaller, different, flat = correlation(one[None], np.stack(others)[None])[0]
    assert min(brighter, smaller) > 0.95
    assert abs(different) < 0.5
    assert flat == 0
    assert correlation(flat_thumbnail := thumbnail(plain, 28)[None], flat_thumbnail[None])[0, 0] == 0
