"""The process that serves: it opens what is served, listens, and ends soon after a signal."""

from pipeline.inputs import copy_files, read_metrics

import argparse
import ctypes
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import numpy as np
import uvicorn
from threadpoolctl import threadpool_limits

from service.access import SECURITY_HEADERS
from service.app import create_app
from service.catalog import Catalog, Served, read_version
from service.schema import MAX_RESULTS, ApproximateInfo, Count, DataInfo, IndexInfo, Info, LimitInfo, ModelInfo
from similarity.data.dataset.manifest import SPLIT_NAMES
from similarity.data.features.extractor import describe as describe_backbone
from similarity.engine.engine import NEEDED, OPTIONAL, SEARCHED
from similarity.engine.image_index import ImageIndex
from similarity.engine.results import Options, Query
from similarity.errors import UserError
from similarity.layout import ANN_INDEX, EMBEDDER, IMAGES, MANIFEST, METRICS

BATCH_SIZES = (1, 16)  # images that the backbone runs on at once, one compiled graph each
GRACE_SECONDS = 3  # after a signal, for requests to end
M_MMAP_THRESHOLD = -3  # its number in malloc.h
MAX_HEAD = 65_536  # bytes of a request before its body


def serve(arguments: argparse.Namespace) -> None:
    """Open what the arguments name, and serve it until a signal comes."""
    listener = listen(arguments.host, arguments.port)
    beside = open_beside(arguments) if arguments.compare else None
    served = Served(partial(open_catalog, arguments), beside, arguments.compare or "")
    config = uvicorn.Config(
        create_app(served, arguments),
        http="h11",  # the only one that limits the head of a request
        h11_max_incomplete_event_size=MAX_HEAD,
        ws="none",  # only HTTP requests, as middleware expects
        lifespan="off",
        limit_concurrency=arguments.max_connections,  # more are answered with 503
        timeout_keep_alive=arguments.idle_seconds,
        root_path=arguments.root_path,
        headers=list(SECURITY_HEADERS.items()),
        server_header=False,
        log_level="error",  # a client's bad request is no news
    )
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{len(served.current.engine)} images are served at {address} (Ctrl-C stops it)", flush=True)
    with suppress(KeyboardInterrupt):  # the way to stop it
        Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """A server that ends seconds after a signal: uvicorn alone waits for clients and threads."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        timer = threading.Timer(GRACE_SECONDS, os._exit, [128 + sig])
        timer.daemon = True
        timer.start()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Listen before anything is loaded, or raise a `UserError`."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on port {port} of {host} ({error}): choose another with --port") from error


def open_catalog(arguments: argparse.Namespace, root: Path = Path()) -> Catalog:
    """Load, check and warm up everything; of what is published, neither embeddings nor indexes."""
    return_large_blocks()
    version = read_version(root)  # before the files, so that a change in between is noticed later
    is_published = arguments.index == "lancedb" and root == Path()
    engine = ImageIndex(root, is_published, BATCH_SIZES, int(arguments.max_megapixels * 1e6))
    engine.load(with_model=True)
    # After each search, BLAS' threads spin for a while on the cores that the next request's backbone needs.
    threadpool_limits(limits=1, user_api="blas")
    picture = np.zeros((8, 8, 3), np.uint8)
    for size in BATCH_SIZES:
        list(engine.embedder([picture] * size))
    for name in engine.gallery.indexes:
        engine.answer([Query("warm-up", images=(picture,))], Options(MAX_RESULTS, index=name, any=True))
    return Catalog(engine, describe(engine, arguments), version)


def open_beside(arguments: argparse.Namespace) -> Catalog:
    """Load the results of the commit or experiment to compare with.

    Raises:
        UserError: they are not in the cache, are damaged, or belong to other images.
    """
    with TemporaryDirectory(prefix="similarity-") as name:
        folder = Path(name)  # all that is opened stays open when it is gone
        copied = [Path("dvc.yaml"), Path("dvc.lock"), *NEEDED, *SEARCHED, *OPTIONAL, METRICS]
        copy_files(arguments.compare, copied, folder)
        if (folder / MANIFEST).read_bytes() != MANIFEST.read_bytes():
            raise UserError(f"{arguments.compare!r} has other images than {MANIFEST}, so it cannot be compared")
        (folder / IMAGES).symlink_to(IMAGES.resolve())
        catalog = open_catalog(arguments, folder)
    catalog.engine.root = Path()  # where the images stay
    return catalog


def describe(engine: ImageIndex, arguments: argparse.Namespace) -> Info:
    """Describe what is served."""
    backbone, gallery, lock = describe_backbone(engine.root / EMBEDDER), engine.gallery, engine.lock
    manifest, vectors, splits = gallery.manifest, gallery.vectors, gallery.splits
    metrics = read_metrics(engine.root / METRICS).items()
    return Info(
        model=ModelInfo(
            backbone=backbone["name"],
            image_size=backbone["image_size"],
            embedding_size=vectors.parts.size,
            visual_weight=vectors.parts.visual_weight if vectors.parts.are_two else None,
            md5=lock.md5(EMBEDDER).removesuffix(".dir"),
        ),
        data=DataInfo(
            images=len(engine),
            classes=_counts(manifest.folders, manifest.labels),
            splits=[] if splits is None else _counts(SPLIT_NAMES, splits[splits >= 0]),
            audited=gallery.findings is not None,
            md5=lock.md5(MANIFEST),
        ),
        indexes=IndexInfo(
            approximate=ApproximateInfo(
                backend=vectors.backend, md5=None if vectors.backend == "lancedb" else lock.md5(ANN_INDEX)
            )
        ),
        metrics={name: each for name, each in metrics if lock.is_current(METRICS / f"{name}.json")},
        limits=LimitInfo(
            upload_bytes=int(arguments.max_upload_mb * 1e6),
            megapixels=arguments.max_megapixels,
            download_bytes=int(arguments.max_download_mb * 1e6),
        ),
    )


def _counts(names: Sequence[str], places: np.ndarray) -> list[Count]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return [Count(name=name, images=count) for name, count in zip(names, counts, strict=True)]


def return_large_blocks() -> None:
    """Return freed blocks of more than 16 megabytes to the system at once, where libc is GNU's.

    Otherwise each thread keeps the memory that its largest photograph took.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 24)
