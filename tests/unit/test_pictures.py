"""Pictures: edited, described without learning, and put on contact sheets."""

import numpy as np
import pytest

from similarity.data.images.pictures import Tile, draw_sheet
from similarity.data.images.pixels import EDITS, contrast_pattern, edit, thumbnail


@pytest.mark.parametrize("shape", [(28, 28), (1, 300), (300, 1), (1000, 20)])
def test_images_of_any_shape_fit_their_tile(shape: tuple[int, int]) -> None:
    def sheet(color: int, captions: list[str]) -> np.ndarray:
        return np.asarray(draw_sheet([[Tile(np.full((*shape, 3), color, np.uint8), captions, True)] * 3]))

    captions = ["1.000  jug", "x" * 80]
    white, black, without = sheet(255, captions), sheet(0, captions), sheet(255, ["", ""])
    assert white.shape == black.shape
    assert (white != black).any(axis=(0, 2)).sum() >= 3  # each image, however thin
    assert (white < 60).sum() > (without < 60).sum()  # captions


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("shape", [(1, 1), (41, 60), (1, 66_000)])
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


def test_a_brighter_or_smaller_copy_correlates_and_another_image_or_a_plain_one_does_not(
    photographs: list[np.ndarray],
) -> None:
    plain = np.full((40, 40, 3), (200, 30, 30), np.uint8)
    versions = (photographs[1], photographs[1] // 2 + 60, photographs[1][::3, ::3], photographs[2], plain)
    one, brighter, smaller, different, flat = contrast_pattern(np.stack([thumbnail(pixels, 28) for pixels in versions]))
    assert min(one @ brighter, one @ smaller) > 0.95
    assert abs(one @ different) < 0.5
    assert not flat.any()
