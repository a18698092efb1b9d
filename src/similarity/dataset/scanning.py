"""Looking at every image once: what later stages need of its pixels, or why it cannot be used."""

import struct
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.cluster import cluster_map
from similarity.content_cache import ContentCache
from similarity.dataset.manifest import ImageRecord
from similarity.digests import digest_file
from similarity.errors import UserError
from similarity.images.decoding import MissingReaderError, UnreadableImageError, decode_image
from similarity.images.descriptors import color_histogram, color_spread, count_values, thumbnail
from similarity.images.previews import PREVIEW_SIZE, encode_preview
from similarity.parallel import ordered_map

THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per channel
_KEYS_SENT = 64  # at a time to a core of a cluster
_KEYS_LOOKED_UP = 500  # at a time
_PLAIN = 2  # of 255, standard deviation
_REMARK = "nearly one color"
_HEADER = struct.Struct("<II?")  # width, height, whether there is a remark
_DECIDING_PACKAGES = ("pillow", "pillow-heif", "numpy", "scipy")


class Rejection(NamedTuple):
    """An image that cannot be decoded: its key and the reason."""

    path: str
    reason: str


class ScannedImage(NamedTuple):
    """What is kept of an image.

    Attributes:
        record: its row in the manifest.
        thumbnail: RGB, uint8 (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3).
        histogram: of its colors, float32 (3 · HISTOGRAM_BINS,).
        preview: a small JPEG.
        remark: what is odd about its pixels, "" if nothing.
        is_decoded: whether it had to be decoded; False if the cache had it.
    """

    record: ImageRecord
    thumbnail: np.ndarray
    histogram: np.ndarray
    preview: bytes
    remark: str
    is_decoded: bool


def list_keys(images: Path) -> list[str]:
    """List the sorted keys ``<class>/<name>`` of all images in a folder."""
    return sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))


def scan_images(images: Path, keys: Sequence[str], cache: ContentCache) -> Iterator[ScannedImage | Rejection]:
    """Look at each image once, and yield what is kept of it or its rejection, in the order of the keys.

    Args:
        images: the folder of the images.
        keys: of them.
        cache: of what `scan_images` keeps, in the namespace `scan_version`.

    Raises:
        UserError: an image is HEIC, and the package that reads it is not installed.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # images are scanned in as many threads as there are cores
        for start in range(0, len(keys), _KEYS_LOOKED_UP):
            yield from _scan_some(images, keys[start : start + _KEYS_LOOKED_UP], cache)


def scan_images_on_cluster(images: Path, keys: Sequence[str]) -> Iterator[ScannedImage | Rejection]:
    """Do what `scan_images` does on the cluster that the environment names, without a cache."""
    yield from cluster_map(partial(_scan, images), keys, _KEYS_SENT)


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


def _scan_some(images: Path, keys: Sequence[str], cache: ContentCache) -> Iterator[ScannedImage | Rejection]:
    digests = dict(zip(keys, ordered_map(lambda key: digest_file(images / key), keys), strict=True))
    known = cache.get_many(digests.values())
    missing = [key for key in keys if digests[key] not in known]
    scanned = dict(zip(missing, ordered_map(partial(_scan, images), missing), strict=True))
    cache.put_many({each.record.sha256: _pack(each) for each in scanned.values() if isinstance(each, ScannedImage)})
    for key in keys:
        yield scanned[key] if key in scanned else _unpack(key, digests[key], known[digests[key]])


def _scan(images: Path, key: str) -> ScannedImage | Rejection:
    content = (images / key).read_bytes()
    try:
        pixels, width, height = decode_image(content, max(PREVIEW_SIZE, THUMBNAIL_SIZE))
    except MissingReaderError as error:  # what is installed must not decide which images there are
        raise UserError(f"{key} is {error}") from error
    except UnreadableImageError as error:
        return Rejection(key, str(error))
    counts = count_values(pixels)
    return ScannedImage(
        _record(key, sha256(content).hexdigest(), width, height),
        thumbnail(pixels, THUMBNAIL_SIZE),
        color_histogram(counts, HISTOGRAM_BINS),
        encode_preview(pixels),
        _REMARK if color_spread(counts) < _PLAIN else "",
        is_decoded=True,
    )


def _record(key: str, digest: str, width: int, height: int) -> ImageRecord:
    return ImageRecord(key, key.split("/")[0], digest, width, height)


def _pack(image: ScannedImage) -> bytes:
    header = _HEADER.pack(image.record.width, image.record.height, bool(image.remark))
    return header + image.thumbnail.tobytes() + image.histogram.tobytes() + image.preview


def _unpack(key: str, digest: str, packed: bytes) -> ScannedImage:
    width, height, is_odd = _HEADER.unpack_from(packed)
    shape = (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)
    start, middle = _HEADER.size, _HEADER.size + THUMBNAIL_SIZE * THUMBNAIL_SIZE * 3
    end = middle + 4 * 3 * HISTOGRAM_BINS
    return ScannedImage(
        _record(key, digest, width, height),
        np.frombuffer(packed[start:middle], np.uint8).reshape(shape),
        np.frombuffer(packed[middle:end], np.float32),
        packed[end:],
        _REMARK if is_odd else "",
        is_decoded=False,
    )
