"""Decoding images of unknown origin: what may take long is left to a process of its own, which can be ended.

What cannot take more than some seconds is decoded at once: small files of the usual formats, and JPEGs of any size if
nothing before their pixels is odd. All others go to a decoder process, whose time and memory the system limits. So no
file keeps a core for long or takes all memory, and one that crashes its decoder ends nothing else.
"""

import atexit
import math
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from similarity.images.decoding import (
    ROOM,
    DecodedImage,
    MissingReaderError,
    NotAdmittedError,
    TooManyPixelsError,
    UnreadableImageError,
    decode_image,
    needed_bytes,
    take_room,
)

_SMALL_BYTES, _SMALL_PIXELS = 256_000, 4_000_000
_USUAL_FORMATS = frozenset({"JPEG", "PNG", "WEBP"})  # whose pixels are decoded in C, each a few times at most
_JPEG_START, _START_OF_SCAN = b"\xff\xd8", 0xDA
_JPEG_SEGMENTS = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})  # frames, tables, metadata
_MOST_JPEG_SEGMENTS = 100  # of 64 KB at most; Pillow joins those of a kind, in a time that grows with their square
_OPEN_SECONDS = 5  # of a core, for all but the pixels; usual are milliseconds
_PIXELS_PER_SECOND = 5_000_000  # of a core, at least; usual are 15 million and more
_MEMORY = 4_000_000_000  # bytes of addresses, beside those of the program itself
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 24)}  # it keeps little between images
_PROGRAM = (
    "import sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
    "from similarity.images.isolated_decoding import run_decoder; run_decoder(*map(int, sys.argv[2:]))"
)
# Messages of fixed size, and a file in memory for content and pixels. Nothing is unpickled: what a decoder says may be
# what an image has made it say.
_REQUEST = struct.Struct("=qqqd")  # length of the content; side and max_pixels, 0 for None; seconds to open it in
_OPENED, _ADMITTED = struct.Struct("=cqq"), struct.Struct("=d")  # bytes needed and pixels; seconds to decode them in
_DECODED = struct.Struct("=cqqqq")  # shape of the pixels, size of the image
_REFUSALS = {b"r": UnreadableImageError, b"m": MissingReaderError, b"t": TooManyPixelsError}  # or the reason
_KEPT = 1 << 24  # bytes of that file between two images

_idle: list["_Decoder"] = []


def decode_unknown(content: bytes, side: int | None = None, max_pixels: int | None = None) -> DecodedImage:
    """Decodes an image as `decode_image` does, within limits of time and memory.

    Args:
        content: the file's bytes.
        side: of the square that the pixels are to be resized to, in pixels; None for the image at its own size.
        max_pixels: refuse more than that before they are decoded; without it, Pillow's own limit holds.

    Raises:
        UnreadableImageError: as `decode_image`; or it takes more than 5 seconds of a core and one more for 5 million
            pixels each, or 4 gigabytes, or crashes its decoder.
        MissingReaderError, TooManyPixelsError: as `decode_image`.
    """
    if _is_plain_jpeg(content):
        return decode_image(content, side, max_pixels)
    if len(content) <= _SMALL_BYTES:
        with suppress(NotAdmittedError):
            return decode_image(content, side, max_pixels, _admit_small)
    decoder = _idle.pop() if _idle else _Decoder()
    try:
        return decoder.decode(content, side, max_pixels)
    finally:
        if decoder.is_ready:
            _idle.append(decoder)
        else:
            decoder.end()


@contextmanager
def _admit_small(image: Image.Image) -> Iterator[None]:
    if image.format not in _USUAL_FORMATS or image.width * image.height > _SMALL_PIXELS:
        raise NotAdmittedError
    with take_room(image):
        yield


def _is_plain_jpeg(content: bytes) -> bool:
    """Whether only few segments, of kinds that Pillow reads as such, come before the pixels."""
    if not content.startswith(_JPEG_START):
        return False
    position = len(_JPEG_START)
    for _ in range(_MOST_JPEG_SEGMENTS):
        if len(content) < position + 4:
            return False
        mark, kind, length = struct.unpack_from(">BBH", content, position)
        if mark == 0xFF and kind == _START_OF_SCAN:
            return True
        if mark != 0xFF or kind not in _JPEG_SEGMENTS or length < 2:
            return False
        position += 2 + length
    return False


class _Decoder:
    """A decoder process, as others see it; for one thread at a time. It ends when they do.

    Attributes:
        is_ready: whether it waits for an image.
    """

    def __init__(self) -> None:
        self._connection, other = Pipe()
        self._shared = _Shared.make()
        with other:
            handles = [other.fileno(), self._shared.handle]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(Path(__file__).parents[2]), *map(str, handles)],
                env={**os.environ, **_ENVIRONMENT}, pass_fds=handles,
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # libraries remark on what they decode
            )  # fmt: skip
        self.is_ready = True

    def decode(self, content: bytes, side: int | None, max_pixels: int | None) -> DecodedImage:
        """Has an image decoded; see `decode_unknown`."""
        self.is_ready = False
        self._shared.write(memoryview(content))
        try:
            self._connection.send_bytes(_REQUEST.pack(len(content), side or 0, max_pixels or 0, _OPEN_SECONDS))
            answer = self._connection.recv_bytes()
            if not answer.startswith(b"o"):
                return self._finish(answer)
            _, needed, count = _OPENED.unpack(answer)
            with ROOM.taken(needed):
                self._connection.send_bytes(_ADMITTED.pack(_OPEN_SECONDS + count / _PIXELS_PER_SECOND))
                return self._finish(self._connection.recv_bytes())
        except (EOFError, OSError, struct.error) as error:
            raise UnreadableImageError(self._how_it_ended()) from error

    def _finish(self, answer: bytes) -> DecodedImage:
        if answer[:1] in _REFUSALS:
            self.is_ready = True
            raise _REFUSALS[answer[:1]](answer[1:].decode(errors="replace"))
        _, rows, columns, width, height = _DECODED.unpack(answer)
        pixels = np.empty((rows, columns, 3), np.uint8)
        self._shared.read(pixels.data.cast("B"))
        self._shared.shrink()
        self.is_ready = True
        return DecodedImage(pixels, width, height)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        if self._process.returncode == -signal.SIGXCPU:
            return "it takes too long to decode"
        return f"it ended its decoder (status {self._process.returncode})"

    def end(self) -> None:
        """Ends the process at once, if it has not ended."""
        self._connection.close()
        self._shared.close()
        self._process.kill()
        self._process.wait()


class _Shared:
    """A file in memory that two processes have open; they take turns.

    Attributes:
        handle: of the open file.
    """

    def __init__(self, handle: int) -> None:
        self.handle = handle

    @classmethod
    def make(cls) -> "_Shared":
        """Makes an empty one."""
        if hasattr(os, "memfd_create"):  # on Linux
            return cls(os.memfd_create("image"))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def write(self, data: memoryview) -> None:
        """Writes at the start."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.handle, data[done:], done)

    def read(self, data: memoryview) -> None:
        """Fills the data from the start, or raises EOFError."""
        done = 0
        while done < len(data):
            if not (count := os.preadv(self.handle, [data[done:]], done)):
                raise EOFError
            done += count

    def shrink(self) -> None:
        """Gives back what a large image has taken."""
        if os.fstat(self.handle).st_size > _KEPT:
            os.ftruncate(self.handle, 0)

    def close(self) -> None:
        """Closes it here."""
        os.close(self.handle)


@atexit.register
def _end_idle_decoders() -> None:
    while _idle:
        _idle.pop().end()


def run_decoder(handle: int, shared: int) -> NoReturn:
    """Decodes images for the process at the other end of a connection, until there is none.

    Args:
        handle: of the connection.
        shared: handle of the file in memory.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for that process
    threading.Thread(target=_end_without, args=(handle,), daemon=True).start()
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + _MEMORY)
    connection = Connection(handle)
    with suppress(EOFError, OSError):
        while True:
            _decode_next(connection, _Shared(shared))
    os._exit(0)


def _end_without(handle: int) -> None:
    """Ends the process when the other end of the connection is closed, whatever is being decoded."""
    poll = select.poll()
    poll.register(handle, 0)  # for that alone
    poll.poll()
    os._exit(0)


def _decode_next(connection: Connection, shared: _Shared) -> None:
    length, side, max_pixels, seconds = _REQUEST.unpack(connection.recv_bytes())
    content = bytearray(length)
    shared.read(memoryview(content))

    @contextmanager
    def admit(image: Image.Image) -> Iterator[None]:
        connection.send_bytes(_OPENED.pack(b"o", needed_bytes(image), image.width * image.height))
        _limit_seconds(*_ADMITTED.unpack(connection.recv_bytes()))
        yield

    _limit_seconds(seconds)
    try:
        pixels, width, height = decode_image(bytes(content), side or None, max_pixels or None, admit)
    except UnreadableImageError as error:
        letter = next((letter for letter, kind in _REFUSALS.items() if kind is type(error)), b"r")
        return connection.send_bytes(letter + str(error).encode(errors="replace"))
    shared.write(np.ascontiguousarray(pixels).data.cast("B"))
    return connection.send_bytes(_DECODED.pack(b"p", *pixels.shape[:2], width, height))


def _limit_seconds(more: float) -> None:
    """Has the system end the process after some more seconds of a core."""
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + more))


def _limit(what: int, value: int) -> None:
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (value if most == resource.RLIM_INFINITY else min(value, most), most))
