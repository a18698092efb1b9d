import numpy as np
import pytest

from similarity.data.evaluation.foreign import KINDS, draw_foreign


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [16, 61])
def test_each_kind_draws_different_images_of_the_size_and_the_same_ones_again(kind: str, size: int) -> None:
    images = [draw_foreign(kind, number, size, 0) for number in range(3)]
    assert all(image.shape == (size, size, 3) and image.dtype == np.uint8 for image in images)
    assert not (images[0] == images[1]).all()
    assert (draw_foreign(kind, 2, size, 0) == images[2]).all()
