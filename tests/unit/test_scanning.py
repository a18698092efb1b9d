import hashlib
import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from similarity.data.content_cache import ContentCache
from similarity.data.dataset import scanning
from similarity.data.dataset.duplicates import near_duplicates
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.dataset.scanning import Rejection, ScannedImage, scan_images, scan_version
from similarity.data.images.pictures import PREVIEW_SIZE, Previews, encode_preview, open_previews
from similarity.data.images.pixels import contrast_pattern, thumbnail
from similarity.errors import UserError


def scan(folder: Path) -> list[Rejection | ScannedImage]:
    """Scan all images of a folder with a cache next to it."""
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    return list(scan_images(folder, keys, ContentCache(folder.with_name("cache"), scan_version({}), 1), {}))


@pytest.mark.usefixtures("unicode_names")
def test_every_file_is_recorded_or_rejected_and_only_new_content_is_decoded(wares: Path) -> None:
    plain = wares / "vase" / "ä b.png"
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(plain)
    (wares / "jug" / "text.png").write_text("no image", encoding="utf-8")
    scanned = scan(wares)
    rejection = scanned[3]
    assert isinstance(rejection, Rejection)
    assert (rejection.path, rejection.reason[:31]) == ("jug/text.png", "not an image in a known format ")
    first = {image.record.sha256: image for image in scanned if isinstance(image, ScannedImage)}
    assert all(image.is_decoded for image in first.values())
    assert [image.remark for image in first.values()] == [""] * 6 + ["nearly one color"]
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    assert first[digest].record == ImageRecord("vase/ä b.png", "vase", digest, 9, 5)

    plain.rename(wares / "jug" / "renamed.png")
    Image.fromarray(np.zeros((6, 7, 3), np.uint8)).save(wares / "jug" / "zzz.png")
    second = [image for image in scan(wares) if isinstance(image, ScannedImage)]
    assert [image.record.path for image in second if image.is_decoded] == ["jug/zzz.png"]
    for image in second:
        if not image.is_decoded:
            before = first[image.record.sha256]
            np.testing.assert_array_equal(image.thumbnail, before.thumbnail)
            np.testing.assert_array_equal(image.histogram, before.histogram)
            assert (image.preview, image.remark) == (before.preview, before.remark)


def test_identical_images_of_a_block_are_decoded_once(wares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(wares.glob("*/*"))
    for number in range(3):
        shutil.copy(source, source.with_name(f"copy {number}{source.suffix}"))
    decode = Mock(wraps=scanning.decode_image)
    monkeypatch.setattr(scanning, "decode_image", decode)
    assert len(scan(wares)) == decode.call_count + 3


def test_a_cluster_sends_back_the_same_images(wares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    monkeypatch.setattr(scanning, "cluster_map", lambda function, blocks, _: map(function, blocks))
    on_cluster = [image.record for image in scan(wares) if isinstance(image, ScannedImage)]
    monkeypatch.delenv("RAY_ADDRESS")
    assert on_cluster == [image.record for image in scan(wares) if isinstance(image, ScannedImage)]
    assert on_cluster


def test_a_fifo_is_refused_rather_than_read_for_ever(wares: Path) -> None:
    os.mkfifo(wares / "jug/endless.png")
    with pytest.raises(UserError, match=r"jug/endless\.png is no file, but a FIFO, a socket or a device: remove it"):
        scan(wares)


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


def test_all_pairs_that_correlate_are_found_such_as_brighter_copies_but_no_plain_images(
    photographs: list[np.ndarray],
) -> None:
    cut = [photographs[i % 3][top : top + 120, 200:320] for i, top in enumerate(range(0, 240, 2))]
    brighter = [np.minimum(image.astype(int) * 11 // 10 + 3, 255).astype(np.uint8) for image in cut[:20]]
    plain = [np.full((50, 50, 3), value, np.uint8) for value in range(0, 250, 10)]
    thumbnails = np.stack([thumbnail(image, 28) for image in (*cut, *brighter, *plain)])
    patterns = contrast_pattern(thumbnails)
    expected = np.argwhere(np.triu(patterns @ patterns.T >= 0.95, 1))
    found = near_duplicates(thumbnails, 0.95)
    pairs = np.column_stack([found.first, found.second])
    np.testing.assert_array_equal(pairs, expected)
    assert (found.correlations >= 0.95).all()
    assert (pairs < 140).all()
    assert {(row, 120 + row) for row in range(20)} <= set(map(tuple, pairs.tolist()))
    different = np.stack([thumbnail(image, 28) for image in photographs])
    assert not len(near_duplicates(different, 0.95).first)
