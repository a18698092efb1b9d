"""Serve the search page and the REST API: `python src/serve.py`, then open http://127.0.0.1:8000."""

from pipeline.dvc_files import copy_files
from pipeline.inputs import read_metrics
from pipeline.stage import run_command

import argparse
import ctypes
import os
import socket
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Literal

import numpy as np
import uvicorn
from threadpoolctl import threadpool_limits

from service.app import create_app, server_config
from service.catalog import Catalog
from service.forms import MAX_DOWNLOADED, MAX_IMAGES, MAX_NEIGHBORS, MAX_RESULTS
from service.info import LimitInfo, describe
from service.options import parse_arguments
from service.reloading import Beside, ServedCatalog
from similarity.engine.dvc_lock import DvcLock
from similarity.engine.engine import NEEDED, OPTIONAL, SEARCHED
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Options, Query
from similarity.errors import UserError
from similarity.layout import IMAGES, MANIFEST, METRICS

BATCH_SIZES = (1, 16)  # images that the backbone runs on at once, one compiled graph each
GRACE_SECONDS = 3  # after a signal, for requests to end
M_MMAP_THRESHOLD = -3  # its number in malloc.h


def main() -> None:
    arguments = parse_arguments()
    listener, limits = listen(arguments.host, arguments.port), limits_of(arguments)
    beside = open_beside(arguments.beside, limits) if arguments.beside else None
    served = ServedCatalog(partial(open_catalog, limits, arguments.index), read_version, beside)
    app = create_app(served, arguments)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{len(served.current.engine)} images are served at {address} (Ctrl-C stops it)", flush=True)
    with suppress(KeyboardInterrupt):  # the way to stop it
        Server(server_config(app, arguments)).run(sockets=[listener])


class Server(uvicorn.Server):
    """A server that ends seconds after a signal: uvicorn alone waits for clients and threads."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        timer = threading.Timer(GRACE_SECONDS, os._exit, [128 + sig])
        timer.daemon = True
        timer.start()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = error.strerror.split(" (")[0] if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"cannot listen on port {port} of {host} ({reason}): choose another with --port") from error


def limits_of(arguments: argparse.Namespace) -> LimitInfo:
    return LimitInfo(
        upload_bytes=int(arguments.max_upload_mb * 1e6),
        megapixels=arguments.max_megapixels,
        k=MAX_NEIGHBORS,
        results=MAX_RESULTS,
        images=MAX_IMAGES,
        download_images=MAX_DOWNLOADED,
        download_bytes=int(arguments.max_download_mb * 1e6),
    )


def read_version(lock: DvcLock | None = None) -> str:
    """Read what differs between runs; empty if dvc.lock cannot be read."""
    try:
        lock = lock or DvcLock(Path())
        return " ".join(lock.md5(path) for path in (*NEEDED, *SEARCHED, *OPTIONAL))
    except (OSError, UserError):
        return ""


def open_catalog(
    limits: LimitInfo, index: Literal["lancedb"] | None, root: Path = Path(), metrics: Path = METRICS
) -> Catalog:
    """Load, check and warm up everything; of what is published, neither embeddings nor indexes."""
    return_large_blocks()
    engine = ImageIndex(root, index == "lancedb", BATCH_SIZES, int(limits.megapixels * 1e6))
    engine.load(with_model=True)
    # After each search, BLAS' threads spin for a while on the cores that the next request's backbone needs.
    threadpool_limits(limits=1, user_api="blas")
    picture = np.zeros((8, 8, 3), np.uint8)
    for size in BATCH_SIZES:
        list(engine.embedder([picture] * size))
    for name in engine.gallery.indexes:
        engine.answer([Query("warm-up", images=(picture,))], Options(MAX_RESULTS, index=name, any=True))
    figures = {
        name: each for name, each in read_metrics(metrics).items() if engine.lock.is_current(METRICS / f"{name}.json")
    }
    return Catalog(engine, describe(engine, limits, figures), read_version(engine.lock))


def open_beside(revision: str, limits: LimitInfo) -> Beside:
    """Load the results of a commit or an experiment.

    Raises:
        UserError: they are not in the cache, are damaged, or belong to other images.
    """
    manifest = MANIFEST.read_bytes()
    with TemporaryDirectory(prefix="similarity-") as name:
        folder = Path(name)  # all that is opened stays open when it is gone
        copied = [Path("dvc.yaml"), Path("dvc.lock"), *NEEDED, *SEARCHED, *OPTIONAL, METRICS]
        copy_files(revision, copied, folder)
        if (folder / MANIFEST).read_bytes() != manifest:
            raise UserError(f"{revision!r} has other images than {MANIFEST}, so it cannot be compared")
        (folder / IMAGES).symlink_to(IMAGES.resolve())
        catalog = open_catalog(limits, None, folder, folder / METRICS)
    catalog.engine.root = Path()  # where the images stay
    return Beside(revision, catalog)


def return_large_blocks() -> None:
    """Return freed blocks of more than 16 megabytes to the system at once, where libc is GNU's.

    Otherwise each thread keeps the memory that its largest photograph took.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 24)


if __name__ == "__main__":
    del __file__  # otherwise decoder processes would import this program again
    run_command(main)
