import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from similarity.dataset.manifest import ImageRecord, Manifest, read_manifest, write_manifest
from similarity.dataset.scanning import Rejection, ScannedImage, list_keys, scan_images
from similarity.errors import UserError
from similarity.images.decoding import read_image
from similarity.images.descriptors import color_histogram, count_values
from similarity.images.previews import PREVIEW_SIZE, Previews, encode_preview, open_previews
from similarity.parallel import ordered_map


@pytest.mark.usefixtures("unicode_names")
def test_every_file_is_either_recorded_or_rejected_with_a_reason(rocks: Path) -> None:
    (rocks / "marble" / "000.png").write_text("no image", encoding="utf-8")
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(rocks / "schist" / "ä b.png")
    results = list(scan_images(rocks, list_keys(rocks), 28, 16))
    images = [result for result in results if isinstance(result, ScannedImage)]
    assert [image.record.path for image in images] == list_keys(rocks)[1:]
    assert isinstance(results[0], Rejection)
    assert results[0].path == "marble/000.png"
    assert results[0].reason.startswith("not an image in a known format (")
    digest = hashlib.sha256((rocks / "schist" / "ä b.png").read_bytes()).hexdigest()
    assert images[-1].record == ImageRecord("schist/ä b.png", "schist", digest, 9, 5)
    assert [image.remark for image in images] == [""] * 5 + ["nearly one color"]


def test_a_scan_keeps_small_versions_of_the_pixels(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(photographs[1]).save(tmp_path / "a" / "temple.png")
    (image,) = scan_images(tmp_path, ["a/temple.png"], 28, 16)
    assert isinstance(image, ScannedImage)
    assert (image.thumbnail.shape, image.thumbnail.dtype) == ((28, 28, 3), np.uint8)
    np.testing.assert_array_equal(image.histogram, color_histogram(count_values(photographs[1]), 16))
    preview = read_image(image.preview)
    assert max(preview.shape) == PREVIEW_SIZE
    shrunk = Image.fromarray(photographs[1]).resize(preview.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(preview.astype(float) - np.asarray(shrunk)).mean() < 5


def test_previews_are_read_back_by_row(tmp_path: Path) -> None:
    pictures = [np.full((30, 20 + 30 * i, 3), 40 * i, np.uint8) for i in range(5)]
    with open_previews(tmp_path) as writer:
        for picture in pictures:
            writer.append(encode_preview(picture))
    previews = Previews(tmp_path)
    assert len(previews) == 5
    for row in (3, 0, 4):
        assert abs(float(previews[row].mean()) - 40 * row) < 1
        assert previews[row].shape[1] == min(20 + 30 * row, PREVIEW_SIZE)
    (tmp_path / "previews.bin").write_bytes(b"x" * 10_000)
    with pytest.raises(UserError, match="damaged"):
        previews[1]


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    records = [ImageRecord("a/x, 1.jpg", "a", "0" * 64, 3, 4), ImageRecord("b/ü.jpg", "b", "1" * 64, 5, 6)]
    write_manifest(tmp_path / "manifest.csv", records)
    manifest = read_manifest(tmp_path / "manifest.csv")
    assert manifest == Manifest(records)
    assert manifest.classes == ["a", "b"]
    assert manifest.labels.tolist() == [0, 1]


def test_ordered_map_keeps_the_order_and_does_not_run_far_ahead() -> None:
    taken = 0

    def items():  # type: ignore[no-untyped-def]  # a generator that counts
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i

    results = ordered_map(lambda i: i * i, items(), ahead=8)
    assert [next(results) for _ in range(10)] == [i * i for i in range(10)]
    assert taken <= 20
