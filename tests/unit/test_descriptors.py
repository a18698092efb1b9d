import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from similarity.images.descriptors import color_histogram, contrast, thumbnail
from similarity.images.resizing import resize

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
    one, brighter, smaller, different, flat = (
        contrast(thumbnail(pixels, 28))
        for pixels in (photographs[1], photographs[1] // 2 + 60, photographs[1][::3, ::3], photographs[2], plain)
    )
    assert min(one @ brighter, one @ smaller) > 0.95
    assert abs(one @ different) < 0.5
    assert not flat.any()


@given(arrays(np.uint8, (3, 6, 5, 3)))
def test_correlations_are_those_of_the_channels_centered_each_by_itself(images: np.ndarray) -> None:
    contrasts = contrast(np.stack([thumbnail(pixels, 5) for pixels in images]))
    resized = [resize(pixels, 5) for pixels in images]
    flat = [(each - each.mean((0, 1))).ravel() for each in resized]
    for i, j in ((0, 1), (1, 2)):
        lengths = np.linalg.norm(flat[i]) * np.linalg.norm(flat[j])
        if lengths > 1:  # two plain images have none
            np.testing.assert_allclose(contrasts[i] @ contrasts[j], flat[i] @ flat[j] / lengths, atol=1e-4)
