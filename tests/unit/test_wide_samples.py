"""Images of more than 8 bits per sample: what is black and what is white is the data set's."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import encode
from similarity.data.images.decoding import decode_with_levels, read_image
from similarity.data.images.wide import find_levels, find_range, read_ranges, to_8_bits, write_ranges

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


def wide_color_tiff(values: np.ndarray, order: str = "<") -> bytes:
    """A TIFF of 16 bits per color, uint16 (height, width, 3), in one strip."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u2").tobytes()
    entries = {256: width, 257: height, 258: None, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: len(data)}
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    bits = 8 + len(data) + 2 + 12 * len(entries) + 4
    fields = b"".join(
        struct.pack(f"{order}HHII", tag, 3, 3, bits) if value is None else struct.pack(f"{order}HHII", tag, 4, 1, value)
        for tag, value in entries.items()
    )
    count, depths = struct.pack(f"{order}H", len(entries)), struct.pack(f"{order}3H", 16, 16, 16)
    return head + data + count + fields + bytes(4) + depths


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
    tiffs = wide_color_tiff(values), wide_color_tiff(values, ">")
    for content in (wide_color_png(values), wide_color_png(opaque), *tiffs):
        assert np.abs(read_image(content, ranges=TWELVE) - (values / 16)).max() <= 1
    assert np.abs(read_image(wide_color_png(half), ranges=TWELVE).mean(axis=(0, 1)) - (mean / 32 + 127.5)).max() < 2


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


def test_a_few_more_images_leave_a_range_as_it_is_and_a_bad_one_does_not_set_it() -> None:
    levels = [find_levels(RNG.integers(1500, 2300, 4096)) for _ in range(2000)]
    before = find_range("integer", np.stack(levels))
    assert list(before) == [1472, 2304]
    noise = find_levels(RNG.integers(0, 65_536, 4096))
    assert find_range("integer", np.stack([*levels, *levels[:50], noise])) == before


def test_samples_are_mapped_in_little_memory_and_what_has_no_value_is_counted() -> None:
    values = RNG.normal(300, 100, (1000, 700)).astype(np.float32)
    values[:10], values[10, :15], values[10, 15:30] = -9999, np.nan, np.inf
    tracemalloc.start()
    mapped, lost = to_8_bits(values, 0, 600)
    assert tracemalloc.get_traced_memory()[1] < 3 * values.nbytes
    tracemalloc.stop()
    assert lost == pytest.approx(0.01 + 30 / values.size, abs=1e-5)
    assert (mapped[:10] == 0).all()
    assert (mapped[10, :15] == 0).all()
    assert (mapped[10, 15:30] == 255).all()
    expected = np.clip(values[11:].astype(float), 0, 600) * 255 / 600
    assert np.abs(mapped[11:] - expected).max() <= 0.5


def test_what_has_no_value_at_all_is_black() -> None:
    content = encode(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF")
    decoded, wide = decode_with_levels(content, None, {})
    assert (decoded.pixels == 0).all()
    assert wide is not None and wide.lost == 1  # noqa: PT018


def test_ranges_are_read_as_they_were_written(tmp_path: Path) -> None:
    for ranges in ({}, {"float": (-0.5, 1.0), "integer": (0, 4095)}):
        write_ranges(tmp_path / "ranges.json", ranges)
        assert read_ranges(tmp_path / "ranges.json") == ranges
