from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from similarity.data.images.pictures import Tile, _font, _shortened, draw_sheet
from similarity.data.sources.ceramics import CLASSES, draw_picture
from similarity.data.sources.downloads import GeneratedSet, _draw_image


@pytest.mark.parametrize("shape", [(28, 28), (1, 300), (300, 1), (1000, 20)])
def test_images_of_any_shape_fit_their_tile(shape: tuple[int, int]) -> None:
    def sheet(color: int, captions: list[str], match: bool) -> np.ndarray:
        pixels = np.full((*shape, 3), color, np.uint8)
        return np.asarray(draw_sheet([[Tile(pixels, captions, match)] * 3]))

    captions = ["1.000  jug", "x" * 80]
    white, black, without = sheet(255, captions, True), sheet(0, captions, True), sheet(255, ["", ""], True)
    assert white.shape == black.shape
    assert (white != black).any(axis=(0, 2)).sum() >= 3  # each image, however thin
    assert (white < 60).sum() > (without < 60).sum()  # captions
    assert (sheet(255, captions, False) != white).any()  # frame


def test_demo_pictures_depend_on_their_number_alone_and_differ() -> None:
    pictures = [draw_picture(label, 0, number, 32) for label in CLASSES for number in range(3)]
    assert all(picture.shape == (32, 32, 3) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    np.testing.assert_array_equal(draw_picture("jug", 0, 2, 32), pictures[3 * CLASSES.index("jug") + 2])


def test_a_few_pictures_of_the_demo_set_have_faults_to_be_found(tmp_path: Path) -> None:
    def difference(name: str, drawn: np.ndarray) -> float:
        path = _draw_image(GeneratedSet(images_per_class=100, size=64, seed=0), tmp_path / "bowl" / name)
        return float(np.abs(np.asarray(Image.open(path), float) - drawn).mean())

    (tmp_path / "bowl").mkdir()
    assert difference("bowl_0076.jpg", draw_picture("bowl", 0, 76, 64)) < 4
    assert difference("bowl_0077.jpg", draw_picture("bottle", 0, 77, 64)) < 4  # a wrong label
    assert 4 < difference("bowl_0088.jpg", draw_picture("bowl", 0, 38, 64)) < 25  # nearly a copy


def test_long_classes_keep_their_beginning_and_long_names_their_end() -> None:
    shown = [_shortened("Passion-Fruit-" * 9, _font(), False), _shortened("photograph-" * 9 + "42.jpg", _font(), True)]
    assert shown[0].startswith("Passion-Fruit")
    assert shown[1].endswith("42.jpg")
    assert max(_font().getlength(each) for each in shown) <= 112
