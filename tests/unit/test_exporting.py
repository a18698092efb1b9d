"""The decoder within an exported model against the pipeline's own, format by format."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from similarity.errors import UserError
from similarity.exporting.formats import decode, is_decoded_alike, lowest_cosine
from similarity.images.decoding import read_image


def encode(pixels: np.ndarray, mode: str, file_format: str, **options: object) -> bytes:
    file = BytesIO()
    image = Image.fromarray(pixels)
    if mode in {"RGBA", "LA"}:
        image = image.convert(mode)
        image.putalpha(Image.fromarray(pixels[..., 0]))
    image.convert(mode).save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        ("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("L", "PNG"), ("P", "PNG"),
        ("1", "PNG"),        ("RGB", "BMP"), ("P", "GIF"), ("L", "GIF"),
    ],
)  # fmt: skip
def test_decodes_as_the_pipeline_does(photographs: list[np.ndarray], mode: str, file_format: str) -> None:
    content = encode(photographs[0][:201, :150], mode, file_format)
    assert is_decoded_alike(content)
    difference = np.abs(decode(content).numpy() - read_image(content))
    assert difference.max() <= (1 if "A" in mode else 0)


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("RGB", "WEBP"), ("RGB", "TIFF"), ("CMYK", "JPEG"), ("RGB", "PPM"), ("L", "BMP")],
)
def test_knows_what_it_decodes_otherwise(photographs: list[np.ndarray], mode: str, file_format: str) -> None:
    assert not is_decoded_alike(encode(photographs[0], mode, file_format))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("options", [{}, {"transparency": 1}])
def test_decodes_palettes_of_any_depth(photographs: list[np.ndarray], bits: int, options: dict) -> None:
    file = BytesIO()
    Image.fromarray(photographs[0][:99]).quantize(2**bits).save(file, "PNG", bits=bits, **options)
    assert is_decoded_alike(file.getvalue())
    assert np.array_equal(decode(file.getvalue()).numpy(), read_image(file.getvalue()))


@pytest.mark.parametrize(("mode", "transparency"), [("L", 7), ("RGB", (21, 24, 77)), ("1", 0)])
def test_knows_that_it_shows_a_transparent_color(
    photographs: list[np.ndarray], mode: str, transparency: object
) -> None:
    assert not is_decoded_alike(encode(photographs[0], mode, "PNG", transparency=transparency))


def test_knows_that_it_turns_no_images(photographs: list[np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert not is_decoded_alike(encode(photographs[0], "RGB", "JPEG", exif=exif))


def test_refuses_other_embeddings() -> None:
    stored = np.eye(3, dtype=np.float32)
    assert lowest_cosine(lambda batch: 2 * np.asarray(batch), stored, stored, 0.9999) == pytest.approx(1)
    with pytest.raises(UserError, match=r"cosine 0\.7071"):
        lowest_cosine(lambda batch: np.asarray(batch) + np.eye(3, dtype=np.float32)[2], stored, stored, 0.9999)
