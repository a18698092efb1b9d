"""Looking at every image once: what later stages need of its pixels, or why it cannot be used."""

from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.cluster import cluster_map
from similarity.data.content_cache import ContentCache, digest_file
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import MissingReaderError, UnreadableImageError, decode_image
from similarity.data.images.pixels import color_histogram, color_spread, count_values, thumbnail
from similarity.data.images.previews import PREVIEW_SIZE, encode_preview
from similarity.data.parallel import ordered_map
from similarity.errors import UserError

THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per channel
REMARKS_COLUMNS = ("path", "remark")
_KEYS_SENT = 64  # at a time to a core of a cluster
_KEYS_LOOKED_UP = 500  # at a time
_PLAIN = 2  # of 255, standard deviation
_DECIDING_PACKAGES = ("pillow", "pillow-heif", "numpy", "scipy")


_KEPT = np.dtype(
    [
        ("size", "<u4", 2),
        ("is_plain", "?"),
        ("thumbnail", "u1", (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)),
        ("histogram", "<f4", 3 * HISTOGRAM_BINS),
    ]
)  # in the cache, before the preview


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
    """Look at each image once, and yield what is kept of it or its rejection, in the order of the keys.

    The cache, in the namespace `scan_version`, has what was kept of an image before.

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
        color_spread(counts) < _PLAIN,
        is_decoded=True,
    )


def _record(key: str, digest: str, width: int, height: int) -> ImageRecord:
    return ImageRecord(key, key.split("/")[0], digest, width, height)


def _pack(image: ScannedImage) -> bytes:
    size = (image.record.width, image.record.height)
    return np.array((size, image.is_plain, image.thumbnail, image.histogram), _KEPT).tobytes() + image.preview


def _unpack(key: str, digest: str, packed: bytes) -> ScannedImage:
    (width, height), is_plain, pixels, histogram = np.frombuffer(packed, _KEPT, 1)[0]
    record = _record(key, digest, int(width), int(height))
    return ScannedImage(record, pixels, histogram, packed[_KEPT.itemsize :], bool(is_plain), is_decoded=False)
