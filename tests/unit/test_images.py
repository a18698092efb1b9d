import io
import os
import sys
from pathlib import Path
from unittest.mock import Mock
from zipfile import ZipFile

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from odd_files import bomb
from samples import encode
from service.access import Refusal
from service.api import media_type, pack
from similarity.data.images.decoding import MissingReaderError, UnreadableImageError, decode_image, read_image
from similarity.data.images.pixels import resize
from similarity.data.sources.ceramics import draw_picture

PICTURE = draw_picture("bowl", 0, 0, 48)
pillow_heif.register_heif_opener()


@pytest.mark.parametrize(
    ("mode", "file_format"),
    [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("L", "PNG"), ("1", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("YCbCr", "JPEG")],
)
def test_every_color_mode_becomes_rgb_of_the_same_size(mode: str, file_format: str) -> None:
    pixels = read_image(encode(Image.fromarray(PICTURE).convert(mode), file_format))
    assert pixels.shape == (48, 48, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.mean() - PICTURE.mean()) < 12  # an inverted CMYK would be far off


def test_transparency_is_laid_over_white_and_a_palette_and_the_first_frame_are_kept() -> None:
    frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
    assert (read_image(encode(frames[0], "PNG", save_all=True, append_images=frames[1:])) == 10).all()
    alpha = np.zeros((48, 48), np.uint8)
    nothing = Image.fromarray(np.dstack([PICTURE, alpha]), "RGBA")  # by programs that know no transparency
    np.testing.assert_array_equal(read_image(encode(nothing, "PNG")), PICTURE)
    alpha[:24] = 255
    half = read_image(encode(Image.fromarray(np.dstack([PICTURE, alpha]), "RGBA"), "PNG"))
    np.testing.assert_array_equal(half, np.concatenate([PICTURE[:24], np.full((24, 48, 3), 255)]))
    palette = Image.fromarray(PICTURE).quantize(256)
    np.testing.assert_array_equal(read_image(encode(palette, "PNG")), np.asarray(palette.convert("RGB")))


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow_also_in_heic(orientation: int) -> None:
    """Telephones write the orientation of HEIC twice, as its own and as EXIF."""
    picture, exif = Image.fromarray(PICTURE[:30]), with_orientation(orientation)
    content = encode(picture, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(read_image(content), expected)
    decoded = decode_image(encode(picture, "HEIF", quality=95, exif=exif.tobytes()))
    assert decoded.pixels.shape == expected.shape == (decoded.height, decoded.width, 3)
    assert np.abs(decoded.pixels.astype(float) - expected).mean() < 8


def test_what_is_no_whole_image_or_would_start_other_programs_is_refused_with_a_reason() -> None:
    refused = {
        b"": "nothing: the file has no bytes",
        b"this is a text file named .jpg": "not an image in a known format",
        encode(Image.new("RGB", (8, 8)), "EPS"): "not an image in a known format",
        b"\n<!DOCTYPE HTML><title>Not found</title>": "a web page",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0": "a pointer of Git LFS",
        b"\0\0\0\x18ftypmp42" + bytes(16): "a video",
        b"II*\0" + bytes(60): "damaged TIFF, or a kind of TIFF that is not read",
        bytes(4096): "zeros",
    }
    refused |= {bomb(): "60000 × 60000 pixels are too many", encode(Image.fromarray(PICTURE), "PNG")[:900]: r"\w{3,}"}
    for content, reason in refused.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(content)
    large = encode(Image.new("1", (1_000, 2_000)), "PNG")
    with pytest.raises(UnreadableImageError, match="1000 × 2000 pixels are too many: 1 million are allowed"):
        decode_image(large, max_pixels=1_000_000)
    assert decode_image(large, max_pixels=2_000_000).pixels.shape == (2_000, 1_000, 3)


def test_a_fifo_is_refused_rather_than_read_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(UnreadableImageError, match="no file, but a FIFO"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("shape", [(1, 1), (96, 200), (700, 50)])
def test_resize_gives_what_pillow_gives_for_each_channel_in_floating_point(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(pixels, -1, 0)]
    expected = [np.asarray(channel.resize((96, 96), Image.Resampling.BILINEAR)) for channel in channels]
    np.testing.assert_allclose(resize(pixels, 96), np.stack(expected, axis=-1), atol=2e-4)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("side", "scale"), [(None, 1), (129, 1), (128, 2), (65, 2), (64, 4), (20, 8), (1, 8)])
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_twice_what_is_needed(
    photographs: list[np.ndarray], side: int | None, scale: int, orientation: int
) -> None:
    height, width = 512, 600
    picture = Image.fromarray(photographs[1]).resize((width, height))
    decoded = decode_image(encode(picture, "JPEG", exif=with_orientation(orientation), quality=95), side)
    upright = picture if orientation == 1 else picture.transpose(Image.Transpose.ROTATE_270)
    assert (decoded.width, decoded.height) == upright.size
    assert decoded.pixels.shape == (upright.height // scale, upright.width // scale, 3)
    expected = np.asarray(upright.resize(decoded.pixels.shape[1::-1], Image.Resampling.BOX), float)
    assert np.abs(decoded.pixels - expected).mean() < 4


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_found_at_every_scale(photographs: list[np.ndarray], progressive: bool) -> None:
    content = encode(Image.fromarray(photographs[1]), "JPEG", progressive=progressive)
    for side, kept in ((8, 0.5), (8, 0.99), (100, 0.99)):
        with pytest.raises(UnreadableImageError, match="truncated"):
            read_image(content[: int(kept * len(content))], side)


def test_what_stands_behind_the_end_of_a_jpeg_and_damaged_metadata_do_not_matter() -> None:
    content = encode(Image.new("RGB", (3000, 3000), (1, 2, 3)), "JPEG", progressive=True)
    video = b"\0\0\0\x18ftypmp42" + 2000 * (b"\xff\xda\xff\xe1" + bytes(40))  # of a motion photo
    assert read_image(content + video, 100).shape == (375, 375, 3)
    damaged = encode(Image.fromarray(PICTURE), "JPEG", exif=b"Exif\0\0MM\0*" + b"\xff" * 40)
    assert read_image(damaged).shape == (48, 48, 3)


@pytest.fixture
def heic() -> bytes:
    return encode(Image.fromarray(PICTURE[:30]), "HEIF", quality=95)


def test_heic_is_read_whatever_it_is_called_and_damage_is_named(heic: bytes, tmp_path: Path) -> None:
    assert media_type(heic) == "image/heic"
    (tmp_path / "x.jpg").write_bytes(heic)
    assert decode_image(tmp_path / "x.jpg", 8)[1:3] == (48, 30)
    with pytest.raises(UnreadableImageError, match="48 × 30 pixels are too many"):
        decode_image(heic, max_pixels=1000)
    for damaged in (heic[: len(heic) // 2], heic[:40], heic.replace(b"hvc1", b"xxxx")):
        with pytest.raises(UnreadableImageError, match=r"damaged HEIC|Invalid input"):
            decode_image(damaged)


def test_without_its_reader_heic_is_named_with_the_line_that_installs_it_and_avif_is_read(
    heic: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    with pytest.raises(MissingReaderError, match=r"HEIC, which is read after `pip install 'pillow-heif>=1,<2'`"):
        decode_image(heic)
    assert decode_image(encode(Image.fromarray(PICTURE), "AVIF")).width == 48


def test_an_archive_is_the_same_every_time_and_stops_short_at_a_changed_file() -> None:
    contents = {"a/1.png": b"one" * 100, "a/2.png": b"", "b/3.png": b"three" * 100}
    catalog = Mock(read=contents.__getitem__)
    whole = b"".join(pack(catalog, contents))
    assert whole == b"".join(pack(catalog, contents))
    with ZipFile(io.BytesIO(whole)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents
    catalog.read = Mock(side_effect=[b"one" * 100, Refusal(409, "file_changed", "It is another image.")])
    parts = pack(catalog, contents)
    assert whole.startswith(next(parts))
    with pytest.raises(Refusal, match="another image"):
        next(parts)
