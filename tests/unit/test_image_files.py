"""Files of indexed images as the service sends them; `service/test_versions.py` has those that are gone."""

import io

import numpy as np
import pytest
from PIL import Image

from samples import encode
from service.api import make_thumbnail, media_type


def test_a_thumbnail_of_more_than_8_bits_shows_what_the_data_set_calls_black_and_white() -> None:
    content = encode(Image.fromarray(np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)), "PNG")
    for white, brightest in ((4095, 255), (65535, 16)):
        small = Image.open(io.BytesIO(make_thumbnail(content, 32, {"integer": (0, white)})))
        assert small.size == (32, 32)
        assert np.asarray(small).max() == pytest.approx(brightest, abs=8)


def test_the_type_of_a_file_is_by_its_content() -> None:
    assert media_type(encode(Image.new("RGB", (8, 8)), "WEBP")) == "image/webp"
    assert media_type(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "image/heic"
