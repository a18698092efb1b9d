"""Files of indexed images as the service sends them; `service/test_versions.py` has those that are gone."""

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import encode
from service.failures import Refusal
from service.image_files import make_thumbnail, media_type, pack
from similarity.data.dataset.manifest import ImageRecord
from similarity.engine.gallery import ImageFiles


def test_an_archive_is_the_same_every_time_and_stops_short_at_a_changed_file(tmp_path: Path) -> None:
    contents = {"1.png": b"one" * 100, "2.png": b"", "3.png": b"three" * 100}
    for key, content in contents.items():
        (tmp_path / key).write_bytes(content)
    records = [ImageRecord(key, "a", sha256(content).hexdigest(), 8, 8) for key, content in contents.items()]
    files = ImageFiles(tmp_path, {})
    assert b"".join(pack(files, records)) == b"".join(pack(files, records))
    parts = pack(files, records)
    given = next(parts)
    (tmp_path / "3.png").write_bytes(b"another")
    with pytest.raises(Refusal, match="not the image that was indexed"):
        for part in parts:
            given += part
    assert b"another" not in given


def test_a_thumbnail_of_more_than_8_bits_shows_what_the_data_set_calls_black_and_white() -> None:
    content = encode(Image.fromarray(np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)), "PNG")
    for white, brightest in ((4095, 255), (65535, 16)):
        small = Image.open(io.BytesIO(make_thumbnail(content, 32, {"integer": (0, white)})))
        assert small.size == (32, 32)
        assert np.asarray(small).max() == pytest.approx(brightest, abs=8)


def test_the_type_of_a_file_is_by_its_content() -> None:
    assert media_type(encode(Image.new("RGB", (8, 8)), "WEBP")) == "image/webp"
    assert media_type(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "image/heic"
