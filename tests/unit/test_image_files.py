import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.failures import Refusal
from service.image_files import make_thumbnail, media_type, pack, read_image_bytes, require_room
from similarity.data.dataset.manifest import ImageRecord
from similarity.engine.project import ImageFiles

CONTENTS = {"a/1.png": b"one" * 100, "a/2.png": b"", "b/3.png": b"three" * 100}


@pytest.fixture
def records(tmp_path: Path) -> list[ImageRecord]:
    """Images whose files are in the temporary folder."""
    for key, content in CONTENTS.items():
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_bytes(content)
    return [ImageRecord(key, key[0], sha256(content).hexdigest(), 8, 8) for key, content in CONTENTS.items()]


def test_only_the_image_that_was_indexed_is_read_and_packed(tmp_path: Path, records: list[ImageRecord]) -> None:
    assert read_image_bytes(ImageFiles(tmp_path, {}), records[0]) == CONTENTS["a/1.png"]
    require_room(ImageFiles(tmp_path, {}), records, 800)
    with pytest.raises(Refusal, match=r"413: .* too large together"):
        require_room(ImageFiles(tmp_path, {}), records, 799)
    (tmp_path / "a/1.png").write_bytes(b"another")
    with pytest.raises(Refusal, match=r"409: The file of a/1\.png is not the image that was indexed: run `dvc repro`"):
        require_room(ImageFiles(tmp_path, {}), records, 800)
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(Refusal, match=r"404: The file of a/1\.png is not there: run `dvc checkout`"):
        require_room(ImageFiles(tmp_path, {}), records, 800)


def test_an_archive_is_the_same_every_time_and_stops_short_at_a_changed_file(
    tmp_path: Path, records: list[ImageRecord]
) -> None:
    assert b"".join(pack(ImageFiles(tmp_path, {}), records)) == b"".join(pack(ImageFiles(tmp_path, {}), records))
    parts = pack(ImageFiles(tmp_path, {}), records)
    given = next(parts)
    (tmp_path / "b/3.png").write_bytes(b"another")
    with pytest.raises(Refusal, match="not the image that was indexed"):
        for part in parts:
            given += part
    assert b"another" not in given


def test_a_thumbnail_of_more_than_8_bits_shows_what_the_data_set_calls_black_and_white() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)).save(buffer, "PNG")
    content = buffer.getvalue()
    for white, brightest in ((4095, 255), (65535, 16)):
        small = Image.open(io.BytesIO(make_thumbnail(content, 32, {"integer": (0, white)})))
        assert small.size == (32, 32)
        assert np.asarray(small).max() == pytest.approx(brightest, abs=8)


def test_the_type_of_a_file_is_by_its_content() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "WEBP")
    assert media_type(buffer.getvalue()) == "image/webp"
    assert media_type(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "image/heic"
