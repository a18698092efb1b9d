import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from similarity.dataset.manifest import ImageRecord, Manifest, read_manifest, write_manifest
from similarity.dataset.scanning import Rejection, list_keys, scan_images
from similarity.parallel import ordered_map


def test_every_file_is_either_recorded_or_rejected_with_a_reason(rocks: Path) -> None:
    (rocks / "marble" / "000.png").write_text("no image")
    Image.fromarray(np.zeros((5, 9, 3), np.uint8)).save(rocks / "schist" / "ä b.png")
    results = list(scan_images(rocks, list_keys(rocks)))
    assert [result.path for result in results] == sorted(result.path for result in results)
    assert isinstance(results[0], Rejection)
    assert results[0].path == "marble/000.png"
    assert results[0].reason.startswith("not an image in a known format (")
    digest = hashlib.sha256((rocks / "schist" / "ä b.png").read_bytes()).hexdigest()
    assert results[-1] == ImageRecord("schist/ä b.png", "schist", digest, 9, 5)


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
