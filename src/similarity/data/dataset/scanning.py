"""Looking at every image once: what later stages need of its pixels, or why it cannot be used."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.cluster import cluster_map
from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import MissingReaderError, UnreadableImageError, decode_image
from similarity.data.images.pixels import color_histogram, color_spread, count_values, thumbnail
from similarity.data.images.previews import PREVIEW_SIZE, encode_preview
from similarity.data.parallel import ordered_map
from similarity.errors import UserError

THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per channel
_KEYS_SENT = 64  # at a time to a core of a cluster
_AHEAD = 2 * (os.cpu_count() or 1)  # files that are held in memory before they are decoded, and once more while
_PLAIN = 2  # of 255, standard deviation
_DECIDING_PACKAGES = ("pillow", "pillow-heif", "numpy", "scipy")
_KEPT = np.dtype(
    [
        ("size", "<u4", 2),
        ("is_plain", "?"),
        ("thumbnail", "u1", (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)),
        ("histogram", "<f4", 3 * HISTOGRAM_BINS),
    ]
)  # before the preview


class Rejection(NamedTuple):
    """An image that cannot be decoded: its key and the reason."""

    path: str
    reason: str


class ScannedImage(NamedTuple):
    """What is kept of an image: its row in the manifest, and what later stages need of its pixels."""

    record: ImageRecord
    thumbnail: np.ndarray  # RGB, uint8 (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)
    histogram: np.ndarray  # of its colors, float32 (3 · HISTOGRAM_BINS,)
    preview: bytes  # a small JPEG
    is_plain: bool  # nearly of one color
    is_decoded: bool  # which it need not be if the cache has it


def list_keys(images: Path) -> list[str]:
    """List the sorted keys ``<class>/<name>`` of all images in a folder."""
    return sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))


def scan_images(images: Path, keys: Sequence[str], cache: ContentCache) -> Iterator[ScannedImage | Rejection]:
    """Read each image once, and yield what is kept of it or its rejection, in the order of the keys.

    The cache, in the namespace `scan_version`, has what was kept of an image before.

    Raises:
        UserError: an image is HEIC, and the package that reads it is not installed.
    """

    def look_up() -> Iterator[tuple[str, bytes, str, bytes | None]]:
        for key, content, digest in ordered_map(partial(_read, images), keys, _AHEAD):
            yield key, content, digest, cache.get_many([digest]).get(digest)

    with threadpool_limits(limits=1, user_api="blas"):  # images are scanned in as many threads as there are cores
        for key, digest, kept, is_decoded in ordered_map(_scan_new, look_up(), _AHEAD):
            if is_decoded and isinstance(kept, bytes):
                cache.put_many({digest: kept})
            yield _unpack(key, digest, kept, is_decoded)


def scan_images_on_cluster(images: Path, keys: Sequence[str]) -> Iterator[ScannedImage | Rejection]:
    """Do what `scan_images` does on the cluster that the environment names, without a cache."""
    yield from cluster_map(partial(_scan_file, images), keys, _KEYS_SENT)


def scan_version() -> str:
    """Return a digest of all that decides what is kept of an image: this package's code, and the libraries."""
    digest = sha256()
    for path in [Path(__file__), *sorted(Path(__file__).parents[1].joinpath("images").glob("*.py"))]:
        digest.update(path.read_bytes())
    digest.update(" ".join(map(_version_of, _DECIDING_PACKAGES)).encode())
    return digest.hexdigest()[:16]


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _read(images: Path, key: str) -> tuple[str, bytes, str]:
    content = (images / key).read_bytes()
    return key, content, sha256(content).hexdigest()


def _scan_file(images: Path, key: str) -> ScannedImage | Rejection:
    key, content, digest = _read(images, key)
    return _unpack(key, digest, _scan(key, content), is_decoded=True)


def _scan_new(image: tuple[str, bytes, str, bytes | None]) -> tuple[str, str, bytes | Rejection, bool]:
    key, content, digest, kept = image
    return (key, digest, _scan(key, content), True) if kept is None else (key, digest, kept, False)


def _scan(key: str, content: bytes) -> bytes | Rejection:
    """Decode an image, and pack what is kept of it."""
    try:
        pixels, width, height = decode_image(content, max(PREVIEW_SIZE, THUMBNAIL_SIZE))
    except MissingReaderError as error:  # what is installed must not decide which images there are
        raise UserError(f"{key} is {error}") from error
    except UnreadableImageError as error:
        return Rejection(key, str(error))
    counts = count_values(pixels)
    is_plain, histogram = color_spread(counts) < _PLAIN, color_histogram(counts, HISTOGRAM_BINS)
    packed = np.array(((width, height), is_plain, thumbnail(pixels, THUMBNAIL_SIZE), histogram), _KEPT)
    return packed.tobytes() + encode_preview(pixels)


def _unpack(key: str, digest: str, kept: bytes | Rejection, is_decoded: bool) -> ScannedImage | Rejection:
    if isinstance(kept, Rejection):
        return kept
    (width, height), is_plain, pixels, histogram = np.frombuffer(kept, _KEPT, 1)[0]
    record = ImageRecord(key, key.split("/")[0], digest, int(width), int(height))
    return ScannedImage(record, pixels, histogram, kept[_KEPT.itemsize :], bool(is_plain), is_decoded)
