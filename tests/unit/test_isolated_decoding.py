"""Images of unknown origin are decoded as others are, but none keeps a core, takes all memory, or ends the program."""

import io
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import noisy_picture
from similarity.images import isolated_decoding
from similarity.images.decoding import (
    DecodedImage,
    MissingReaderError,
    TooManyPixelsError,
    UnreadableImageError,
    decode_image,
)
from similarity.images.isolated_decoding import decode_unknown

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def own_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated_decoding, "_idle", [])


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def slow_to_open(size: int) -> bytes:
    """A JPEG of 64 pixels with so many pieces of metadata that joining them takes minutes."""
    content = encode(Image.new("RGB", (8, 8)), "JPEG")
    piece = b"\xff\xe1" + struct.pack(">H", 28) + b"Exif\0\0" + bytes(20)
    return content[:2] + piece * (size // len(piece)) + content[2:]


def slow_to_decode(width: int, height: int) -> bytes:
    """A PPM whose white is 100, not 255, each of whose pixels takes a microsecond."""
    return b"P5 %d %d 100\n" % (width, height) + bytes(width * height)


@pytest.mark.parametrize("side", [None, 50])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_every_format_is_decoded_as_always(file_format: str, side: int | None) -> None:
    for size in ((30, 20), (700, 500)):
        content = encode(noisy_picture(*size), file_format)
        decoded, expected = decode_unknown(content, side), decode_image(content, side)
        np.testing.assert_array_equal(decoded.pixels, expected.pixels)
        assert decoded[1:] == expected[1:] == size
        assert reason(decode_unknown, content[: len(content) // 2]) == reason(
            decode_image, content[: len(content) // 2]
        )


def reason(decode: Callable[[bytes], DecodedImage], content: bytes) -> str | None:
    """Why it cannot be decoded; a part of a GIF can."""
    with pytest.raises(UnreadableImageError) as raised:
        decode(content)
    return str(raised.value)


@pytest.mark.usefixtures("own_decoders")
def test_small_files_and_photographs_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise AssertionError

    monkeypatch.setattr(isolated_decoding, "_Decoder", start)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    photograph = encode(noisy_picture(1500, 1000), "JPEG", exif=exif, icc_profile=bytes(200_000), comment=b"sunset")
    progressive = encode(noisy_picture(1500, 1000), "JPEG", progressive=True)
    assert min(len(photograph), len(progressive)) > 256_000
    for content in (photograph, progressive, *(encode(noisy_picture(99, 99), each) for each in ("PNG", "WEBP"))):
        assert decode_unknown(content).pixels.ndim == 3
    # What looks like a segment and is none to Pillow, which goes on within it
    hidden = b"\xff\xf0" + struct.pack(">H", 60_000) + slow_to_open(50_000)[2:].ljust(59_998, b"\0")
    for content in (slow_to_open(300_000), photograph[:2] + hidden + photograph[2:], slow_to_decode(9, 9)):
        with pytest.raises(AssertionError):
            decode_unknown(content)


@pytest.mark.usefixtures("own_decoders")
def test_what_takes_too_long_to_open_or_to_decode_is_given_up_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolated_decoding, "_OPEN_SECONDS", 0.1)
    monkeypatch.setattr(isolated_decoding, "_PIXELS_PER_SECOND", 10**9)
    for content in (slow_to_open(8_000_000), slow_to_decode(4000, 3000)):
        with pytest.raises(UnreadableImageError, match=r"^it takes too long to decode$"):
            decode_unknown(content)
    assert decode_unknown(slow_to_decode(40, 30)).pixels.shape == (30, 40, 3)


@pytest.mark.parametrize(("file_format", "options"), [("JPEG", {}), ("PNG", {"compress_level": 1})])
def test_photographs_of_49_megapixels_are_decoded(file_format: str, options: dict[str, int]) -> None:
    content = encode(Image.new("RGB", (8_200, 6_000), (90, 60, 30)), file_format, **options)
    decoded = decode_unknown(content, 224, 50_000_000)
    assert decoded[1:] == (8_200, 6_000)
    assert np.abs(decoded.pixels[::100, ::100].astype(int) - (90, 60, 30)).max() <= 2


def test_fewer_pixels_are_allowed_if_they_are_told_to_be_too_many() -> None:
    content = encode(Image.new("1", (10_000, 6_000)), "PNG")
    with pytest.raises(TooManyPixelsError, match="10000 × 6000 pixels are too many: 50 million are allowed"):
        decode_unknown(content, max_pixels=50_000_000)


@pytest.mark.usefixtures("own_decoders")
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux")
def test_what_takes_too_much_memory_is_refused_and_the_next_is_not() -> None:
    small, large = (encode(Image.new("1", (side, side)), "TIFF") for side in (10, 6_000))
    assert decode_unknown(small).width == 10
    process = isolated_decoding._idle[0]._process.pid
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + 30_000_000
    resource.prlimit(process, resource.RLIMIT_AS, (limit, limit))
    with pytest.raises(UnreadableImageError, match=r"^it takes too much memory to decode$"):
        decode_unknown(large)
    assert decode_unknown(small).width == 10
    assert isolated_decoding._idle[0]._process.pid == process


@pytest.mark.usefixtures("own_decoders")
def test_what_crashes_a_decoder_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    content = slow_to_decode(9, 9)
    with monkeypatch.context() as patch:
        patch.setattr(isolated_decoding, "_PROGRAM", "import os; os.kill(os.getpid(), 11)")
        with pytest.raises(UnreadableImageError, match=r"^it ended its decoder \(status -11\)$"):
            decode_unknown(content)
    assert decode_unknown(content).width == 9


@pytest.mark.usefixtures("own_decoders")
def test_a_reader_that_is_missing_is_told_apart_from_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    without = "import importlib.util as own; own.find_spec = lambda name: None; "
    monkeypatch.setattr(isolated_decoding, "_PROGRAM", without + isolated_decoding._PROGRAM)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1".ljust(300_000, b"\0")
    with pytest.raises(MissingReaderError, match="HEIC, which is read after `pip install"):
        decode_unknown(heic)


def test_a_decoder_ends_with_the_process_that_it_works_for(tmp_path: Path) -> None:
    (tmp_path / "slow").write_bytes(slow_to_decode(4000, 3000))
    script = (
        "import sys; from pathlib import Path; from similarity.images import isolated_decoding as own; "
        "own.decode_unknown(b'P5 1 1 100 a'); print(own._idle[0]._process.pid, flush=True); "
        "own.decode_unknown(Path(sys.argv[1]).read_bytes())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "slow")], cwd=SOURCE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as parent:
        assert parent.stdout is not None
        decoder = int(parent.stdout.readline())
        until_busy(decoder)
        parent.kill()
    for _ in range(50):
        if not is_alive(decoder):
            break
        time.sleep(0.1)
    else:
        os.kill(decoder, signal.SIGKILL)
        pytest.fail("the decoder goes on")


def until_busy(process: int) -> None:
    """Waits until a process has used a tenth of a second of a core beside what it needs to start."""

    def used() -> int:
        return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[11])

    start = used()
    while used() < start + 10:
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
