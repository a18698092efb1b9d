"""Serves the search page and the REST API: `python src/serve.py`, then open http://127.0.0.1:8000."""

from pipeline.metrics_files import read_metrics
from pipeline.publishing import open_published_searcher
from pipeline.results import (
    open_embedder,
    open_findings,
    open_positions,
    open_reference,
    open_searcher,
    open_splits,
)
from pipeline.revisions import copy_results
from pipeline.sealing import check_run
from pipeline.stage import end_soon, run_command

import argparse
import ctypes
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Literal

import numpy as np
import uvicorn
from similarity.dataset.image_folders import open_indexed_images
from threadpoolctl import threadpool_limits

from service.access import own_hosts
from service.annotations import Annotations
from service.app import create_app, server_config
from service.batching import BatchingExtractor
from service.catalog import Catalog
from service.forms import MAX_DOWNLOADED, MAX_IMAGES, MAX_NEIGHBORS, MAX_RESULTS
from service.options import parse_arguments, upload_rules
from service.reloading import Beside, ServedCatalog
from service.schema import (
    ApproximateInfo,
    ClassCount,
    DataInfo,
    IndexInfo,
    Info,
    LimitInfo,
    ModelInfo,
    SplitCount,
)
from service.uploads import UploadEmbedder
from similarity.embedding.embedder import Embedder
from similarity.errors import UserError
from similarity.index.inverted_index import map_inverted_index, read_inverted_index
from similarity.index.searcher import Searcher
from similarity.layout import (
    ADDED,
    ANN_INDEX,
    EMBEDDER,
    IMAGES,
    INVERTED_INDEX,
    LOOK_MAP,
    MANIFEST,
    MAP,
    RUN,
    SEALED,
)

BATCH_SIZES = (1, 4, 16)  # images that the backbone runs on at once, one compiled graph each
M_MMAP_THRESHOLD = -3  # its number in malloc.h


def main() -> None:
    arguments = parse_arguments()
    listener = listen(arguments.host, arguments.port)
    beside = open_beside(arguments.beside, limits_of(arguments)) if arguments.beside else None
    served = ServedCatalog(partial(open_catalog, limits_of(arguments), arguments.index), read_version, beside)
    app = create_app(served, own_hosts(arguments.host) + arguments.allow_host, upload_rules(arguments), arguments.token)
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"{len(served.current.searcher.vectors)} images are served at {address} (Ctrl-C stops it)", flush=True)
    config = server_config(app, arguments.max_connections, arguments.idle_seconds, arguments.root_path)
    with suppress(KeyboardInterrupt):  # that is how it is stopped
        Server(config).run(sockets=[listener])


class Server(uvicorn.Server):
    """One that ends in seconds when it is told to: uvicorn waits for clients and threads, or prints much of them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        end_soon(sig)
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


def read_version() -> bytes:
    """What tells a run from another; nothing while there is none."""
    try:
        return RUN.read_bytes()
    except OSError:
        return b""


def open_catalog(limits: LimitInfo, index: Literal["lancedb"] | None) -> Catalog:
    """Loads, checks and warms up everything; of what is published, neither embeddings nor indexes.

    Raises:
        FileNotFoundError: the pipeline has not run.
        UserError: the files are damaged, do not belong together, or were replaced while they were read.
    """
    before = identities()
    catalog = load_catalog(limits, index)
    if identities() != before:
        raise UserError("files in data/ or models/ were replaced while they were read: wait until `dvc repro` is done")
    return catalog


def open_beside(revision: str, limits: LimitInfo) -> Beside:
    """Loads the results of a commit or an experiment.

    Raises:
        UserError: they are not in the cache, are damaged, or are of other images.
    """
    manifest = MANIFEST.read_bytes()
    with TemporaryDirectory(prefix="similarity-") as name:
        folder = Path(name)
        copy_results(revision, folder)
        if (folder / MANIFEST).read_bytes() != manifest:
            raise UserError(f"{revision!r} is of other images than {MANIFEST}: nothing can be compared with it")
        for images in (IMAGES, ADDED):
            (folder / images).parent.mkdir(exist_ok=True)
            (folder / images).symlink_to(images.resolve())
        with working_in(folder):  # all that is opened stays open when the folder is gone
            return Beside(revision, open_catalog(limits, None))


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Has relative paths begin in a folder; not for what has threads already."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def identities() -> list[tuple[str, int, int, int]]:
    """What changes when one of the files is replaced, for those that there are."""
    files = [file for path in (*SEALED, RUN) for file in (sorted(path.glob("*")) if path.is_dir() else [path])]
    status = {str(path): path.stat() for path in files if path.exists()}
    return [(path, of.st_ino, of.st_mtime_ns, of.st_size) for path, of in status.items()]


def load_catalog(limits: LimitInfo, index: Literal["lancedb"] | None) -> Catalog:
    return_large_blocks()
    version = read_version()
    is_published = index == "lancedb"
    searcher = open_published_searcher() if is_published else open_searcher()
    embedder = open_embedder(searcher, BATCH_SIZES)
    size = embedder.extractor.image_size
    # Threads of BLAS spin for a while after each search, on the cores that the next request's backbone needs.
    threadpool_limits(limits=1, user_api="blas")
    for name in searcher.indexes:
        searcher.similar_to_row(0, MAX_RESULTS, index=name)
    for batch_size in BATCH_SIZES:
        embedder.extractor(np.zeros((batch_size, size, size, 3), np.float32))
    annotations = Annotations(searcher.manifest, open_splits(), open_findings())
    return Catalog(
        searcher=searcher,
        embedder=UploadEmbedder(
            extractor=BatchingExtractor(embedder.extractor, max(BATCH_SIZES)),
            model=embedder.model,
            reference=open_reference(),
            image_size=size,
            max_pixels=int(limits.megapixels * 1e6),
        ),
        annotations=annotations,
        images=open_indexed_images(),
        inverted_index=None if is_published else open_inverted_index(),
        positions=open_positions(MAP),
        look_positions=open_positions(LOOK_MAP) if searcher.vectors.parts.are_two else None,
        info=describe(searcher, embedder, annotations, limits, is_published),
        version=version,
    )


def open_inverted_index() -> mmap:
    check_run(INVERTED_INDEX)
    return map_inverted_index(INVERTED_INDEX, copy=True)


def return_large_blocks() -> None:
    """Has blocks of more than 16 megabytes given back to the system as soon as they are free, where libc is GNU's.

    Otherwise each thread keeps what the largest photograph has taken while it was decoded.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 24)


def describe(
    searcher: Searcher, embedder: Embedder, annotations: Annotations, limits: LimitInfo, is_published: bool
) -> Info:
    description = embedder.extractor.description
    manifest, parts = searcher.manifest, searcher.vectors.parts
    counts = np.bincount(manifest.labels, minlength=len(manifest.folders)).tolist()
    first = ("", []) if is_published else next(read_inverted_index(INVERTED_INDEX), ("", []))
    return Info(
        model=ModelInfo(
            backbone=description["name"],
            image_size=description["image_size"],
            features=description["features"],
            engine=description["engine"],
            embedding_size=parts.size,
            visual_weight=parts.visual_weight if parts.are_two else None,
            md5=folder_md5(EMBEDDER),
        ),
        data=DataInfo(
            images=len(manifest.records),
            classes=[ClassCount(name=name, images=count) for name, count in zip(manifest.folders, counts, strict=True)],
            splits=[SplitCount(name=name, images=count) for name, count in annotations.split_sizes()],
            audited=annotations.findings is not None,
            md5=md5(MANIFEST),
        ),
        indexes=IndexInfo(
            stored_neighbors=len(first[1]),
            approximate=ApproximateInfo(
                backend=searcher.vectors.backend,
                search_k=searcher.vectors.search_k,
                md5=None if is_published else md5(ANN_INDEX),
            ),
        ),
        metrics=read_metrics(),
        limits=limits,
    )


def md5(path: Path) -> str:
    """The MD5 of a file's content."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def folder_md5(folder: Path) -> str:
    """The MD5 that `dvc.lock` has of a folder without folders in it, but for the `.dir` at its end."""
    listed = [{"md5": md5(path), "relpath": path.name} for path in sorted(folder.iterdir())]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    del __file__  # by which decoder processes would import this program again
    run_command(main)
