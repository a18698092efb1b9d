import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from similarity.descriptors import color_histogram, thumbnail

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
