"""Everyday edits of a picture, for the likeness metric."""

import numpy as np
import pytest

from similarity.data.images.edits import EDITS, edit


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (3, 50), (41, 60), (1, 66_000)])
def test_every_edit_gives_an_image_of_any_size(name: str, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    edited = edit(pixels, name)
    assert (edited.dtype, edited.ndim, edited.shape[2]) == (np.uint8, 3, 3)
    assert min(edited.shape) >= 1


def test_edits_do_what_they_say(photographs: list[np.ndarray]) -> None:
    pixels = photographs[1]
    edited = {name: edit(pixels, name) for name in EDITS}
    height, width = pixels.shape[:2]
    np.testing.assert_array_equal(edited["mirrored"][:, ::-1], pixels)
    center = pixels[height // 10 :, width // 10 :][: round(0.8 * height), : round(0.8 * width)]
    np.testing.assert_array_equal(edited["cropped"], center)
    assert edited["half_size"].shape[:2] == (height // 2, width // 2)
    assert (edited["gray"].std(axis=2) == 0).all()
    dark = pixels < 190
    np.testing.assert_allclose(edited["brighter"][dark], 1.3 * pixels[dark], atol=0.51)
    assert 0 < np.abs(edited["jpeg"].astype(int) - pixels).mean() < 15
    steps = [np.abs(np.diff(each.astype(int), axis=1)).mean() for each in (edited["blurred"], pixels)]
    assert steps[0] < 0.8 * steps[1]
    assert edited["rotated"].min(axis=2)[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 0  # no empty corners
