"""Decode the images of queries: whole or a region, and what strangers send in processes of their own.

There, time and memory are limited: no file keeps a core for long or takes all memory, and one that crashes its decoder
ends nothing else.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import TimeoutError as DeadlineError
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import NamedTuple

from pebble import ProcessExpired, ProcessPool

from similarity.data.images.decoding import DecodedImage, UnreadableImageError, decode_image
from similarity.data.images.wide import Ranges
from similarity.errors import UserError

try:
    import resource
except ImportError:  # on Windows, where nothing limits a decoder's memory
    resource = None  # type: ignore[assignment]

_PROCESSES = min(4, os.cpu_count() or 1)
_IMAGES_PER_PROCESS = 1000  # then a new one takes over, without what libraries may have kept
_BASE_SECONDS = 5  # for each image, besides its pixels; usual are milliseconds
_PIXELS_PER_SECOND = 5_000_000  # at least; usual are 15 million and more
_MEMORY = 4_000_000_000  # bytes of addresses
_PR_SET_PDEATHSIG = 1  # Linux: a signal when the process ends that started this one

_MIN_SHARE = 0.001  # of a side: smaller ones are slips, and would need the image at a thousand times its size
_TOLERANCE = 1e-6  # of sums of rounded fractions

_lock = threading.Lock()
_pools: list[ProcessPool] = []  # one, once it is needed


class Region(NamedTuple):
    """A rectangle, in fractions of an image that stands upright; x and y are of its upper left corner."""

    x: float
    y: float
    width: float
    height: float


def parse_region(text: str) -> Region:
    """Read ``x,y,width,height``; raise a `UserError` if that is not a rectangle within the image."""
    try:
        x, y, width, height = (float(number) for number in text.split(","))
        is_within = 0 <= x <= x + width <= 1 + _TOLERANCE and 0 <= y <= y + height <= 1 + _TOLERANCE
        if not (is_within and width >= _MIN_SHARE and height >= _MIN_SHARE):
            raise ValueError("not within the image")
    except ValueError as error:
        raise UserError(
            f"{text[:100]!r} is no region of the image: x,y,width,height are needed, such as 0.25,0,0.5,1, as shares "
            f"between 0 and 1, with sides of at least {_MIN_SHARE}"
        ) from error
    return Region(x, y, width, height)


def decode_query(
    source: Path | bytes, region: Region | None, side: int | None, max_pixels: int | None, ranges: Ranges
) -> DecodedImage:
    """Decode an image or a region of it as `decode_image` does; width and height are those of the whole.

    An upload, whose pixels are limited, is decoded by another process, within limits of time and memory.

    Raises:
        UnreadableImageError: as `decode_image`; or an upload takes more than 5 seconds and one more for 5 million of
            the pixels allowed, or 4 gigabytes, or crashes its decoder.
    """
    region = region or Region(0, 0, 1, 1)
    if side is not None:
        side = ceil(side / min(region.width, region.height))
    arguments = source, side, max_pixels, ranges
    try:
        if max_pixels is None:
            decoded = decode_image(*arguments)
        else:
            seconds = _BASE_SECONDS + max_pixels / _PIXELS_PER_SECOND
            decoded = start_decoders().schedule(decode_image, arguments, timeout=seconds).result()
    except DeadlineError as error:
        raise UnreadableImageError("it takes too long to decode") from error
    except ProcessExpired as error:
        raise UnreadableImageError(f"it ended its decoder (status {error.exitcode})") from error
    height, width = decoded.pixels.shape[:2]
    rows, columns = _part(region.y, region.height, height), _part(region.x, region.width, width)
    return decoded._replace(pixels=decoded.pixels[rows, columns])


def _part(start: float, length: float, pixels: int) -> slice:
    """Return the pixels of a part of a side; there is at least one."""
    first = min(round(start * pixels), pixels - 1)
    return slice(first, max(first + 1, round((start + length) * pixels)))


def start_decoders() -> ProcessPool:
    """Start the decoders unless they run, or again if the pool broke, as when an idle decoder is killed."""
    with _lock:
        if not (_pools and _pools[0].active):
            for broken in _pools:
                broken.stop()
                broken.join()
            can_fork = "forkserver" in multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if can_fork else "spawn")
            context.set_forkserver_preload(["numpy", "PIL.Image"])
            sys.warnoptions.append("ignore:resource_tracker")  # of its process, which removes what we cannot at a kill
            _pools[:] = [ProcessPool(_PROCESSES, _IMAGES_PER_PROCESS, _limit_decoder, context=context)]
        if not _pools[0].active:  # asking starts it
            raise RuntimeError("no decoder can be started")
        return _pools[0]


def _limit_decoder() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once, also within a library
    threading.Thread(target=_end_with_service, daemon=True).start()  # after the image being decoded
    with suppress(AttributeError, ImportError, OSError):  # on Linux at once, as the fork server ends with the service
        from multiprocessing import forkserver

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]  # which would keep it alive
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries comment on what they decode
    if resource:
        with suppress(ValueError, OSError):  # the system may allow less
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _end_with_service() -> None:
    service = multiprocessing.parent_process()
    assert service is not None
    service.join()
    os._exit(0)
