"""A part of an image that is marked is what one would get by cutting it out."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from similarity.errors import UserError
from similarity.images.decoding import TooManyPixelsError
from similarity.images.query_images import Region, decode_region, parse_region


def encode(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def test_a_region_is_cut_out_of_the_upright_image(photographs: list[np.ndarray]) -> None:
    upright = Image.fromarray(photographs[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    pixels, width, height = decode_region(turned, Region(0.25, 0.5, 0.5, 0.25))
    assert (width, height) == upright.size
    rows, columns = round(0.5 * height), round(0.25 * width)
    np.testing.assert_array_equal(pixels, photographs[0][rows : round(0.75 * height), columns : round(0.75 * width)])


def test_a_region_of_a_large_photograph_is_decoded_as_finely_as_it_is_needed(photographs: list[np.ndarray]) -> None:
    large = Image.fromarray(photographs[1]).resize((4096, 4096))
    content = encode(large, "JPEG", quality=95)
    whole, part = (
        decode_region(content, region, 100).pixels for region in (Region(0, 0, 1, 1), Region(0.5, 0.5, 0.1, 0.1))
    )
    assert whole.shape[0] < 4096
    assert part.shape[0] >= 2 * 100


@given(x=st.floats(0, 0.99), y=st.floats(0, 0.99), width=st.floats(0.001, 1), height=st.floats(0.001, 1))
def test_every_region_of_every_image_has_a_pixel(x: float, y: float, width: float, height: float) -> None:
    region = Region(x, y, min(width, 1 - x), min(height, 1 - y))
    for size in ((1, 1), (3, 700)):
        pixels = decode_region(encode(Image.new("RGB", size), "BMP"), region).pixels
        assert pixels.size > 0


def test_the_limit_of_pixels_is_that_of_the_whole_image() -> None:
    with pytest.raises(TooManyPixelsError, match="100 × 100 pixels are too many"):
        decode_region(encode(Image.new("L", (100, 100)), "PNG"), Region(0, 0, 0.1, 0.1), max_pixels=5000)


def test_a_region_is_read_from_four_fractions() -> None:
    assert parse_region("0.1, 0.2,.3,1e-1") == (0.1, 0.2, 0.3, 0.1)
    assert parse_region("0.7,0,0.3,1").width == 0.3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0,0,1",
        "0,0,1,1,1",
        "a,0,1,1",
        "0,0,0,1",
        "0.5,0,0.6,1",
        "-0.1,0,1,1",
        "nan,0,1,1",
        "0,0,inf,1",
        "0,0,1e-9,1",
    ],
)
def test_what_is_no_region_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no region"):
        parse_region(text)
