"""Decode images that strangers send, in processes of their own with limited time and memory.

No file keeps a core for long or takes all memory, and one that crashes its decoder ends nothing else.
"""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import TimeoutError as DeadlineError
from contextlib import suppress

from pebble import ProcessExpired, ProcessPool

from similarity.images.decoding import DecodedImage, UnreadableImageError, decode_image

try:
    import resource
except ImportError:  # on Windows, where nothing limits a decoder's memory
    resource = None  # type: ignore[assignment]

_PROCESSES = min(4, os.cpu_count() or 1)
_IMAGES_PER_PROCESS = 1000  # then a new one takes over, without what libraries may have kept
_BASE_SECONDS = 5  # for each image, besides its pixels; usual are milliseconds
_PIXELS_PER_SECOND = 5_000_000  # at least; usual are 15 million and more
_MEMORY = 4_000_000_000  # bytes of addresses

_lock = threading.Lock()
_pools: list[ProcessPool] = []  # one, once it is needed


def decode_upload(content: bytes, side: int | None, max_pixels: int) -> DecodedImage:
    """Decode an image as `decode_image` does, within limits of time and memory.

    Args:
        content: the file's bytes.
        side: of the square that the pixels are to be resized to, in pixels; None for the image at its own size.
        max_pixels: refuse more than that before they are decoded.

    Raises:
        UnreadableImageError: as `decode_image`; or it takes more than 5 seconds and one more for 5 million of the
            pixels allowed, or 4 gigabytes, or crashes its decoder.
        MissingReaderError, TooManyPixelsError: as `decode_image`.
    """
    seconds = _BASE_SECONDS + max_pixels / _PIXELS_PER_SECOND
    try:
        return start_decoders().schedule(decode_image, (content, side, max_pixels), timeout=seconds).result()
    except DeadlineError as error:
        raise UnreadableImageError("it takes too long to decode") from error
    except ProcessExpired as error:
        raise UnreadableImageError(f"it ended its decoder (status {error.exitcode})") from error


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
    threading.Thread(target=_end_with_service, daemon=True).start()
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
