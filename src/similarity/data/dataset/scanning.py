"""Looking at every image once: what later stages need of its pixels, or why it cannot be used."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import decode_image, read_file
from similarity.data.images.formats import MissingReaderError, UnreadableImageError, can_read_heic
from similarity.data.images.pictures import PREVIEW_SIZE, encode_preview
from similarity.data.images.pixels import color_histogram, color_spread, count_values, thumbnail
from similarity.data.images.wide import LEVELS, Ranges, WideImage
from similarity.data.parallel import cluster_map, is_cluster_named, ordered_map
from similarity.errors import UserError

THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per channel
REMARKS_COLUMNS = ("path", "remark")
_KEYS_SENT = 64  # at a time to a core of a cluster
_AHEAD = 2 * (os.cpu_count() or 1)  # files that are held in memory before they are decoded, and once more while
_PLAIN = 2  # of 255, standard deviation
_LOST = 0.01  # share of the samples without a value that is remarked on
_KEPT = np.dtype(
    [
        ("size", "<u4", 2),
        ("is_plain", "?"),
        ("kind", "S8"),
        ("levels", "<f8", LEVELS),
        ("lost", "<f4"),
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
    remark: str  # on what is odd about it
    wide: WideImage | None  # what is known of samples of more than 8 bits
    is_decoded: bool  # which it need not be if the cache has it


class _Content(NamedTuple):
    """A file, and what the cache has kept of its image, if anything."""

    key: str
    content: bytes
    digest: str
    kept: bytes | None = None


def list_keys(images: Path) -> list[str]:
    """List the sorted keys ``<class>/<name>`` of all images in a folder."""
    return sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))


def scan_images(
    images: Path, keys: Sequence[str], cache: ContentCache, ranges: Ranges
) -> Iterator[ScannedImage | Rejection]:
    """Read each image once, and yield what is kept of it or its rejection, in the order of the keys.

    This is done in threads, or on the cluster that the environment names, if any, without the cache, whose namespace
    is `scan_version`. Samples of more than 8 bits are mapped by `ranges`, or by each image's own where one is missing.

    Raises:
        UserError: an image is HEIC, and the package that reads it is not installed; or something is no file.
    """
    if is_cluster_named():
        for file, kept in cluster_map(lambda key: _scan(ranges, _read(images, key)), keys, _KEYS_SENT):
            yield _unpack(file, kept)
        return
    files = ordered_map(partial(_read, images), keys, _AHEAD)
    known = (file._replace(kept=cache.get_many([file.digest]).get(file.digest)) for file in files)
    with threadpool_limits(limits=1, user_api="blas"):  # images are scanned in as many threads as there are cores
        for file, kept in ordered_map(partial(_scan, ranges), known, _AHEAD):
            if isinstance(kept, bytes) and file.kept is None:
                cache.put_many({file.digest: kept})
            yield _unpack(file, kept)


def scan_version(ranges: Ranges) -> str:
    """Return a digest of all that decides what is kept of an image: this package's code, the libraries, the ranges."""
    code = [Path(__file__), *sorted(Path(__file__).parents[1].joinpath("images").glob("*.py"))]
    versions = [version(package) for package in ("pillow", "numpy", "scipy")]
    versions += [version("pillow-heif")] if can_read_heic() else []
    facts = [*(path.read_bytes() for path in code), " ".join([*versions, *map(str, ranges.items())]).encode()]
    return sha256(b"".join(facts)).hexdigest()[:16]


def _read(images: Path, key: str) -> _Content:
    try:
        content = read_file(images / key)
    except UnreadableImageError as error:  # which `fetch` does not bring
        raise UserError(f"{images / key}: {error}: remove it") from error
    return _Content(key, content, sha256(content).hexdigest())


def _scan(ranges: Ranges, file: _Content) -> tuple[_Content, bytes | Rejection]:
    """Decode an image unless it is known, and pack what is kept of it."""
    if file.kept is not None:
        return file._replace(content=b""), file.kept
    try:
        side = max(PREVIEW_SIZE, THUMBNAIL_SIZE)
        pixels, width, height, wide = decode_image(file.content, side, ranges=ranges)
    except MissingReaderError as error:  # what is installed must not decide which images there are
        raise UserError(f"{file.key} is {error}") from error
    except UnreadableImageError as error:
        return file._replace(content=b""), Rejection(file.key, str(error))
    counts = count_values(pixels)
    is_plain, histogram = color_spread(counts) < _PLAIN, color_histogram(counts, HISTOGRAM_BINS)
    facts = wide or ("", np.nan, 0)
    packed = np.array(((width, height), is_plain, *facts, thumbnail(pixels, THUMBNAIL_SIZE), histogram), _KEPT)
    return file._replace(content=b""), packed.tobytes() + encode_preview(pixels)


def _unpack(file: _Content, kept: bytes | Rejection) -> ScannedImage | Rejection:
    if isinstance(kept, Rejection):
        return kept
    (width, height), is_plain, kind, levels, lost, pixels, histogram = np.frombuffer(kept, _KEPT, 1)[0]
    record = ImageRecord(file.key, file.key.split("/")[0], file.digest, int(width), int(height))
    wide = WideImage(kind.decode(), levels, float(lost)) if kind else None
    remark = "; ".join(["nearly one color"] * bool(is_plain) + [f"{lost:.1%} of it has no data"] * bool(lost >= _LOST))
    return ScannedImage(record, pixels, histogram, kept[_KEPT.itemsize :], remark, wide, file.kept is None)
