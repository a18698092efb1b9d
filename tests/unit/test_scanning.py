import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.dataset.scanning import Rejection, ScannedImage, list_keys, scan_images, scan_version
from similarity.data.images.pictures import PREVIEW_SIZE, Previews, encode_preview, open_previews
from similarity.errors import UserError


def scan(folder: Path, cache: Path) -> list[Rejection | ScannedImage]:
    return list(scan_images(folder, list_keys(folder), ContentCache(cache, scan_version({}), 1), {}))


@pytest.mark.usefixtures("unicode_names")
def test_every_file_is_either_recorded_or_rejected_with_a_reason(wares: Path, tmp_path: Path) -> None:
    (wares / "jug" / "000.png").write_text("no image", encoding="utf-8")
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(wares / "vase" / "ä b.png")
    rejection, *images = scan(wares, tmp_path / "cache")
    assert isinstance(rejection, Rejection)
    assert rejection.path == "jug/000.png"
    assert rejection.reason.startswith("not an image in a known format (")
    assert all(isinstance(image, ScannedImage) for image in images)
    records = [image.record for image in images if isinstance(image, ScannedImage)]
    assert [record.path for record in records] == list_keys(wares)[1:]
    digest = hashlib.sha256((wares / "vase" / "ä b.png").read_bytes()).hexdigest()
    assert records[-1] == ImageRecord("vase/ä b.png", "vase", digest, 9, 5)
    assert [image.remark for image in images if isinstance(image, ScannedImage)] == [""] * 5 + ["nearly one color"]


def test_only_new_content_is_decoded_and_what_is_kept_is_the_same(wares: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(wares / "vase" / "plain.png")
    first = [image for image in scan(wares, tmp_path / "cache") if isinstance(image, ScannedImage)]
    assert all(image.is_decoded for image in first)
    (wares / "jug" / "000.png").rename(wares / "jug" / "renamed.png")
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(wares / "jug" / "zzz.png")
    second = [image for image in scan(wares, tmp_path / "cache") if isinstance(image, ScannedImage)]
    assert [image.record.path for image in second if image.is_decoded] == ["jug/zzz.png"]
    by_digest = {image.record.sha256: image for image in first}
    for image in second:
        if not image.is_decoded:
            before = by_digest[image.record.sha256]
            assert image.record == before.record._replace(path=image.record.path)
            np.testing.assert_array_equal(image.thumbnail, before.thumbnail)
            np.testing.assert_array_equal(image.histogram, before.histogram)
            assert (image.preview, image.remark) == (before.preview, before.remark)


def test_previews_are_small_and_read_back_by_row(tmp_path: Path, photographs: list[np.ndarray]) -> None:
    with open_previews(tmp_path) as add:
        for photograph in photographs:
            add(encode_preview(photograph))
    previews = Previews(tmp_path)
    for row in (2, 0, 1):
        assert max(previews[row].shape) == PREVIEW_SIZE
        shrunk = Image.fromarray(photographs[row]).resize(previews[row].shape[1::-1], Image.Resampling.BOX)
        assert np.abs(previews[row].astype(float) - np.asarray(shrunk)).mean() < 5
    (tmp_path / "previews.bin").write_bytes(b"x" * 10_000)
    with pytest.raises(UserError, match="damaged"):
        previews[1]
