import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from similarity.evaluation import retrieval
from similarity.evaluation.retrieval import ranks_of_originals, shares_found
from similarity.images.edits import EDITS, edit
from similarity.vectors import normalize


@given(arrays(np.float32, (12, 3), elements=st.integers(-3, 3)), arrays(np.int64, 5, elements=st.integers(0, 11)))
def test_ranks_are_those_of_sorting_all_images(gallery: np.ndarray, originals: np.ndarray) -> None:
    queries = gallery[originals] + np.array([1, 0, -1], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_GALLERY_ROWS_PER_BLOCK", 5)
        ranks = ranks_of_originals(queries, originals, gallery, np.arange(12))
    cosines = normalize(queries) @ normalize(gallery).T
    own = cosines[np.arange(5), originals]
    np.testing.assert_array_equal(ranks, (cosines > own[:, None] - 1e-5).sum(axis=1))


def test_an_identical_copy_does_not_push_the_original_back() -> None:
    gallery = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    ranks = ranks_of_originals(gallery[[2]], np.array([2]), gallery, np.array([0, 1, 1, 2]))
    assert ranks.tolist() == [1]


@pytest.mark.parametrize("width", [0, 4])
@pytest.mark.parametrize("value", [0, 1])
def test_vectors_that_are_the_same_for_all_images_find_none(width: int, value: int) -> None:
    gallery = np.full((30, width), value, np.float32)
    ranks = ranks_of_originals(gallery[:3], np.array([0, 7, 29]), gallery, np.arange(30))
    assert ranks.tolist() == [30] * 3


def test_the_share_found_first_and_within_ten() -> None:
    assert shares_found(np.array([1, 1, 5, 11])) == {"same_image_at_1": 0.5, "same_image_at_10": 0.75}


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
    np.testing.assert_array_equal(
        edited["cropped"],
        pixels[height // 10 : -(height // 10), width // 10 : -(width // 10)][
            : round(0.8 * height), : round(0.8 * width)
        ],
    )
    assert edited["half_size"].shape[:2] == (height // 2, width // 2)
    assert (edited["gray"].std(axis=2) == 0).all()
    dark = pixels < 190
    np.testing.assert_allclose(edited["brighter"][dark], 1.3 * pixels[dark], atol=0.51)
    assert 0 < np.abs(edited["jpeg"].astype(int) - pixels).mean() < 15
    assert (
        np.abs(np.diff(edited["blurred"].astype(int), axis=1)).mean()
        < 0.8 * np.abs(np.diff(pixels.astype(int), axis=1)).mean()
    )
    assert edited["rotated"].min(axis=2)[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 0  # no empty corners
