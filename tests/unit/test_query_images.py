"""Images of queries: those from strangers keep no core, take not all memory and end no program; and their regions."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from samples import encode
from similarity.data.images import query_images
from similarity.data.images.decoding import DecodedImage, TooManyPixelsError, UnreadableImageError
from similarity.data.images.query_images import Region, decode_query, parse_region, start_decoders
from similarity.errors import UserError


@pytest.fixture
def own_decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A single decoder that begins with the test, and ends with it."""
    monkeypatch.setattr(query_images, "_pools", [])
    monkeypatch.setattr(query_images, "_PROCESSES", 1)
    yield
    for pool in query_images._pools:
        pool.stop()
        pool.join()


def slow_to_decode(width: int = 4000, height: int = 2500) -> bytes:
    """Draw a PPM whose white is 100, not 255, each of whose pixels takes a microsecond."""
    return b"P5 %d %d 100\n" % (width, height) + bytes(width * height)


def decode_isolated(content: bytes) -> DecodedImage:
    return decode_query(content, None, None, 150_000_000, {})


def reason(content: bytes) -> str:
    """Return why a file cannot be decoded."""
    with pytest.raises(UnreadableImageError) as raised:
        decode_isolated(content)
    return str(raised.value)


@pytest.mark.usefixtures("own_decoders")
def test_what_takes_too_long_is_given_up_and_the_next_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    start_decoder()
    with monkeypatch.context() as patch:
        patch.setattr(query_images, "_BASE_SECONDS", 0.5)
        patch.setattr(query_images, "_PIXELS_PER_SECOND", 10**10)
        start = time.monotonic()
        assert reason(slow_to_decode()) == "it takes too long to decode"
        assert time.monotonic() - start < 4
    assert decode_isolated(slow_to_decode(40, 30)).pixels.shape == (30, 40, 3)


@pytest.mark.usefixtures("own_decoders")
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux")
def test_what_takes_too_much_memory_is_refused_and_the_next_is_not() -> None:
    import resource

    process = start_decoder()
    resource.prlimit(process, resource.RLIMIT_AS, (500_000_000, 500_000_000))
    large = encode(Image.new("1", (12_000, 12_000)), "TIFF")
    assert reason(large) == "it takes too much memory to decode"
    assert decode_isolated(slow_to_decode(9, 9)).width == 9
    assert start_decoder() == process


@pytest.mark.usefixtures("own_decoders")
def test_what_ends_a_decoder_ends_nothing_else() -> None:
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -SEGV {start_decoder()}"])
    assert reason(slow_to_decode()) == "it ended its decoder (status -11)"
    killer.wait()
    os.kill(start_decoder(), signal.SIGKILL)  # while it has nothing to do
    time.sleep(0.5)
    assert decode_isolated(slow_to_decode(9, 9)).width == 9


def start_decoder() -> int:
    """Return the process that decodes, when it is ready."""
    return start_decoders().schedule(os.getpid).result()


def test_a_region_is_cut_out_of_the_upright_image(photographs: list[np.ndarray]) -> None:
    upright = Image.fromarray(photographs[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    pixels, width, height, _ = decode_query(turned, Region(0.25, 0.5, 0.5, 0.25), None, None, {})
    assert (width, height) == upright.size
    rows, columns = round(0.5 * height), round(0.25 * width)
    np.testing.assert_array_equal(pixels, photographs[0][rows : round(0.75 * height), columns : round(0.75 * width)])


def test_a_region_of_a_large_photograph_is_decoded_as_finely_as_it_is_needed(photographs: list[np.ndarray]) -> None:
    large = Image.fromarray(photographs[1]).resize((4096, 4096))
    content = encode(large, "JPEG", quality=95)
    regions = Region(0, 0, 1, 1), Region(0.5, 0.5, 0.1, 0.1)
    whole, part = (decode_query(content, region, 100, None, {}).pixels for region in regions)
    assert whole.shape[0] < 4096
    assert part.shape[0] >= 2 * 100


def test_a_region_has_a_pixel_of_the_smallest_image_and_the_limit_of_pixels_is_that_of_the_whole_image() -> None:
    small = encode(Image.new("RGB", (3, 7)), "BMP")
    assert decode_query(small, Region(0.9, 0.9, 0.01, 0.01), None, None, {}).pixels.shape == (1, 1, 3)
    with pytest.raises(TooManyPixelsError, match="100 × 100 pixels are too many"):
        decode_query(encode(Image.new("L", (100, 100)), "PNG"), Region(0, 0, 0.1, 0.1), None, 5000, {})


def test_what_is_no_region_is_refused() -> None:
    for wrong in ("", "0,0,1", "a,0,1,1", "0,0,0,1", "0.5,0,0.6,1", "-0.1,0,1,1", "nan,0,1,1", "0,0,1e-9,1"):
        with pytest.raises(UserError, match="is no region"):
            parse_region(wrong)
