"""Images of more than 8 bits per sample: what is black and what is white is the data set's."""

from pipeline.inputs import load_params

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scan
from projects import ROOT
from samples import encode
from service.api import make_thumbnail
from similarity import layout
from similarity.data.files import Outputs
from similarity.data.images.decoding import decode_image, read_image
from similarity.data.images.wide import find_levels, find_range, to_8_bits

TWELVE = {"integer": (0, 4095)}
RNG = np.random.default_rng(0)


def gray(photograph: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(photograph).convert("L"))


def wide_color_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits per color, uint16 (height, width, 3 or 4), with filtered rows; Pillow writes none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, channels = values.shape
    stored = values.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.diff(stored, axis=0, prepend=np.zeros_like(stored[:1]))  # each row less the one above
    rows = b"".join(b"\2" + row.tobytes() for row in filtered)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(values: np.ndarray, order: str = "<", photometric: int = 1) -> bytes:
    """A TIFF of whole numbers, (height, width) or (height, width, 3), in one strip."""
    (height, width), colors = values.shape[:2], values.size // values.shape[0] // values.shape[1]
    data, bits, head = values.astype(f"{order}u{values.itemsize}").tobytes(), 8 * values.itemsize, 8
    tags = {256: [width], 257: [height], 258: [bits] * colors, 259: [1], 262: [photometric], 277: [colors]}
    tags |= {278: [height], 273: [head], 279: [len(data)]}
    place, fields, more = head + len(data) + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        fields += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        fields += packed if len(numbers) == 1 else struct.pack(f"{order}I", place + len(more))
        more += packed if len(numbers) > 1 else b""
    start = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, head + len(data))
    return start + data + struct.pack(f"{order}H", len(tags)) + fields + bytes(4) + more


@pytest.mark.parametrize(("file_format", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_twelve_bits_in_more_look_like_eight(photographs: list[np.ndarray], file_format: str, dtype: type) -> None:
    expected = gray(photographs[1])
    content = encode(Image.fromarray(expected.astype(dtype) * 16 + 15), file_format)
    for ranges in (TWELVE, None):  # of a data set; a query to a data set without such images has its own
        assert np.abs(read_image(content, ranges=ranges)[..., 0].astype(int) - expected).max() <= 1


def test_sixteen_bits_per_color_keep_all_of_them(photographs: list[np.ndarray]) -> None:
    values = photographs[1][:50, :70].astype(np.uint16) * 16 + 15
    mean = values.mean(axis=(0, 1)).astype(np.uint16)
    opaque = np.dstack([values, np.full((50, 70), 65_535, np.uint16)])
    half = np.dstack([values, np.full((50, 70), 32_768, np.uint16)])
    tiffs = [tiff(values, order, 2) for order in "<>"]
    for content in (wide_color_png(values), wide_color_png(opaque), *tiffs):
        assert np.abs(read_image(content, ranges=TWELVE) - (values / 16)).max() <= 1
    assert np.abs(read_image(wide_color_png(half), ranges=TWELVE).mean(axis=(0, 1)) - (mean / 32 + 127.5)).max() < 2


def test_samples_are_what_their_file_says_they_are(photographs: list[np.ndarray]) -> None:
    eight = gray(photographs[1])[:50, :70]
    twelve = eight.astype(np.uint16) * 16 + 15
    pgm = b"P5 70 50 4095\n" + twelve.astype(">u2").tobytes()
    ppm = b"P6 70 50 4095\n" + np.repeat(twelve[..., None], 3, axis=2).astype(">u2").tobytes()
    for content, white in (
        (pgm, 65_535),  # as Pillow reads it
        (ppm, 65_535),
        (tiff(65_535 - eight.astype(np.uint16) * 257, photometric=0), 65_535),  # 0 is white
        (tiff(eight.astype(np.uint32) << 24), 2**32),  # above the largest number with a sign
    ):
        assert np.abs(read_image(content, ranges={"integer": (0, white)})[..., 0].astype(int) - eight).max() <= 1


@pytest.mark.parametrize(
    ("kind", "samples", "expected"),
    [
        ("integer", RNG.integers(0, 65_536, 9999), (0, 65_535)),
        ("integer", RNG.integers(400, 1000, 9999), (0, 1023)),
        ("integer", [*RNG.integers(900, 4000, 9000), *[65_535] * 99], (0, 4095)),  # with a burnt-in mark
        ("integer", [*RNG.integers(29_000, 31_500, 9999), *[0] * 999], (28_928, 31_744)),  # hundredths of kelvin
        ("integer", [0, 1, 1, 0] * 999, (0, 1)),  # a mask
        ("integer", RNG.integers(-1000, 3000, 9999), (-1024, 3072)),  # Hounsfield units
        ("float", RNG.random(9999), (0, 1)),
        ("float", [*RNG.uniform(400, 600, 9999), np.nan, np.inf, *[-9999] * 99, *[-3.4e38] * 99], (400, 608)),
        ("float", [7.5], (7.5, 7.5625)),
    ],
)  # fmt: skip
def test_a_range_fits_what_is_there_and_marks_of_missing_data_do_not_set_it(
    kind: str, samples: np.ndarray, expected: tuple[float, float]
) -> None:
    values = np.asarray(samples, np.float64)
    assert find_range(kind, np.stack([find_levels(values), find_levels(values[::2])])) == expected


def test_what_has_no_value_is_counted() -> None:
    values = RNG.normal(300, 100, (1000, 700)).astype(np.float32)
    values[:10], values[10, :15], values[10, 15:30] = -9999, np.nan, np.inf
    mapped, lost = to_8_bits(values, 0, 600)
    assert lost == pytest.approx(0.01 + 30 / values.size, abs=1e-5)
    assert (mapped[:10] == 0).all()
    assert (mapped[10, :15] == 0).all()
    assert (mapped[10, 15:30] == 255).all()
    decoded = decode_image(encode(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"))
    assert (decoded.pixels == 0).all()
    expected = np.clip(values[11:].astype(float), 0, 600) * 255 / 600
    assert np.abs(mapped[11:] - expected).max() <= 0.5


def test_a_data_set_of_twelve_bits_is_scanned_as_one_of_eight_and_few_more_images_do_not_change_its_range(
    photographs: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def write_cut(number: int, label: str) -> None:
        top, left = np.random.default_rng(number).integers(0, 200, 2)
        eight = gray(photographs[1][top : top + 60, left : left + 60])
        (layout.IMAGES / label).mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(eight if label == "eight" else eight.astype(np.uint16) * 16 + 15)
        picture.save(layout.IMAGES / label / f"{number:03d}.png")

    def run_scan() -> tuple[str, dict[Path, bytes]]:
        with Outputs() as outputs:
            scan.main(load_params(ROOT / "params.yaml"), outputs)
        files = [layout.RANGES, *(path for path in layout.SCAN.rglob("*") if path.is_file())]
        return capsys.readouterr().out, {path: path.read_bytes() for path in files}

    for number in range(8):
        write_cut(number, "eight")
        write_cut(number, "twelve")
    printed, first = run_scan()
    assert "scan: 8 images of more than 8 bits (integer): 0 is black and 4,095 white in all of them" in printed
    thumbnails = np.load(layout.THUMBNAILS).astype(int)
    assert np.abs(thumbnails[:8] - thumbnails[8:]).max() <= 2  # of 255, rounded twice
    assert json.loads(first[layout.RANGES]) == {"integer": [0, 4095]}
    assert b"nearly one color" not in first[layout.REMARKS]
    printed, second = run_scan()
    assert "0 images decoded" in printed
    assert second == first
    write_cut(8, "twelve")
    printed, third = run_scan()
    assert "1 image decoded" in printed
    assert third[layout.RANGES] == first[layout.RANGES]


def test_a_thumbnail_that_is_served_shows_what_the_data_set_calls_black_and_white() -> None:
    content = encode(Image.fromarray(np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)), "PNG")
    for white, brightest in ((4095, 255), (65535, 16)):
        small = Image.open(io.BytesIO(make_thumbnail(content, 32, {"integer": (0, white)})))
        assert small.size == (32, 32)
        assert np.asarray(small).max() == pytest.approx(brightest, abs=8)
