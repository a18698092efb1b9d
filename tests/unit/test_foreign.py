import numpy as np
import pytest

from similarity.generated.foreign import KINDS, draw_foreign
from similarity.index.exact import highest_cosines
from similarity.vectors import normalize


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [16, 61])
def test_each_kind_draws_different_images_of_the_size_and_the_same_ones_again(kind: str, size: int) -> None:
    images = [draw_foreign(kind, number, size, 0) for number in range(3)]
    assert all(image.shape == (size, size, 3) and image.dtype == np.uint8 for image in images)
    assert not (images[0] == images[1]).all()
    assert (draw_foreign(kind, 2, size, 0) == images[2]).all()


def test_the_highest_cosine_is_that_to_the_nearest_row() -> None:
    units = normalize(np.random.default_rng(0).standard_normal((3200, 5)).astype(np.float32))
    expected = (units[:1700] @ units[1600:].T).max(axis=1)
    np.testing.assert_allclose(highest_cosines(units[:1700], units[1600:]), expected, atol=1e-6)
