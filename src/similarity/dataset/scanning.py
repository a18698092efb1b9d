"""Looking at every image once: what later stages want of its pixels, or why it cannot be used."""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.cluster import cluster_map
from similarity.dataset.manifest import ImageRecord
from similarity.errors import UserError
from similarity.images.decoding import MissingReaderError, UnreadableImageError
from similarity.images.descriptors import color_histogram, color_spread, count_values, thumbnail
from similarity.images.isolated_decoding import decode_unknown
from similarity.images.previews import PREVIEW_SIZE, encode_preview
from similarity.images.protocols import ImageFolder
from similarity.images.shards import ShardedFolder
from similarity.parallel import ordered_map

_KEYS_SENT = 64  # at a time to a core of a cluster
THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per color channel
_PLAIN = 2  # of 255, standard deviation


class Rejection(NamedTuple):
    """An image that cannot be decoded: its key and the reason."""

    path: str
    reason: str


class ScannedImage(NamedTuple):
    """What is kept of an image.

    Attributes:
        record: its row in the manifest.
        thumbnail: RGB, uint8 (size, size, 3).
        histogram: of its colors, float32 (3 · bins,).
        preview: a small JPEG.
        remark: what is odd about its pixels, "" if nothing.
    """

    record: ImageRecord
    thumbnail: np.ndarray
    histogram: np.ndarray
    preview: bytes
    remark: str


def list_keys(images: Path | ShardedFolder) -> list[str]:
    """The sorted keys ``<class>/<name>`` of all images."""
    if isinstance(images, ShardedFolder):
        return list(images.places)
    return sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))


def scan_images(
    images: ImageFolder, keys: list[str], thumbnail_size: int, histogram_bins: int, on_cluster: bool = False
) -> Iterator[ScannedImage | Rejection]:
    """Decodes each image once, and yields what is kept of it or its rejection, in the order of the keys.

    Args:
        images: has the images.
        keys: of them.
        thumbnail_size: side of the thumbnails, in pixels.
        histogram_bins: of the color histograms, per channel.
        on_cluster: whether to work on the cluster that the environment names.

    Raises:
        UserError: an image is HEIC, and what reads it is not installed.
    """
    scan = partial(_scan, images, thumbnail_size=thumbnail_size, histogram_bins=histogram_bins)
    if on_cluster:
        yield from cluster_map(scan, keys, _KEYS_SENT)
        return
    with threadpool_limits(limits=1, user_api="blas"):  # images are scanned in as many threads as there are cores
        yield from ordered_map(scan, keys)


def _scan(images: ImageFolder, key: str, thumbnail_size: int, histogram_bins: int) -> ScannedImage | Rejection:
    content = (images / key).read_bytes()
    try:
        pixels, width, height = decode_unknown(content, max(PREVIEW_SIZE, thumbnail_size))
    except MissingReaderError as error:  # what is installed must not decide which images there are
        raise UserError(f"{key} is {error}") from error
    except UnreadableImageError as error:
        return Rejection(key, str(error))
    counts = count_values(pixels)
    return ScannedImage(
        ImageRecord(key, key.split("/")[0], sha256(content).hexdigest(), width, height),
        thumbnail(pixels, thumbnail_size),
        color_histogram(counts, histogram_bins),
        encode_preview(pixels),
        "nearly one color" if color_spread(counts) < _PLAIN else "",
    )
