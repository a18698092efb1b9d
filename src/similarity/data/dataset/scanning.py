"""Looking at every image once: what later stages need of its pixels, or why it cannot be used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.content_cache import ContentCache
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import (
    MissingReaderError,
    UnreadableImageError,
    can_read_heic,
    decode_image,
    read_file,
)  # fmt: skip
from similarity.data.images.pictures import PREVIEW_SIZE, encode_preview
from similarity.data.images.pixels import color_histogram, color_spread, count_values, thumbnail
from similarity.data.images.wide import LEVELS, Ranges, WideImage
from similarity.data.parallel import cluster_map, is_cluster_named, ordered_map
from similarity.errors import UserError

THUMBNAIL_SIZE = 28  # pixels
HISTOGRAM_BINS = 16  # per channel
REMARKS_COLUMNS = ("path", "remark")
_BLOCK = 32  # images that a thread or a node takes at a time, and whose entries of the cache are read together
_AHEAD = 2 * (os.cpu_count() or 1)  # blocks
_PLAIN = 2  # of 255, standard deviation
_LOST = 0.01  # share of the samples without a value that is remarked on
KEPT = np.dtype(
    [
        ("size", "<u4", 2),
        ("is_plain", "?"),
        ("kind", "S8"),
        ("levels", "<f8", LEVELS),
        ("lost", "<f4"),
        ("thumbnail", "u1", (THUMBNAIL_SIZE, THUMBNAIL_SIZE, 3)),
        ("histogram", "<f4", 3 * HISTOGRAM_BINS),
    ]
)
"""What is kept of an image, before its preview."""


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


def scan_images(
    images: Path, keys: Sequence[str], cache: ContentCache, ranges: Ranges
) -> Iterator[ScannedImage | Rejection]:
    """Decode each new image, and yield what is kept of it or its rejection, in the order of the keys.

    This is done in threads, or on the cluster that the environment names, if any, without the cache, whose namespace
    is `scan_version`. Samples of more than 8 bits are mapped by `ranges`, or by each image's own where one is missing.

    Raises:
        UserError: an image is HEIC, and the package that reads it is not installed.
    """
    blocks = [keys[start : start + _BLOCK] for start in range(0, len(keys), _BLOCK)]
    digest, scan = partial(_digest, images), partial(_scan, images, ranges)
    if is_cluster_named():
        for scanned in cluster_map(lambda block: scan((digest(block), {}))[1], blocks, 1):
            yield from scanned
        return
    known = ((digests, cache.get_many(digests.values())) for digests in ordered_map(digest, blocks, _AHEAD))
    with threadpool_limits(limits=1, user_api="blas"):  # images are scanned in as many threads as there are cores
        for new, scanned in ordered_map(scan, known, _AHEAD):
            if new:
                cache.put_many(new)
            yield from scanned


def scan_version(ranges: Ranges) -> str:
    """Return a digest of all that decides what is kept of an image: this package's code, the libraries, the ranges."""
    code = [Path(__file__), *sorted(Path(__file__).parents[1].joinpath("images").glob("*.py"))]
    versions = [version(package) for package in ("pillow", "numpy", "scipy")]
    versions += [version("pillow-heif")] if can_read_heic() else []
    facts = [*(path.read_bytes() for path in code), " ".join([*versions, *map(str, ranges.items())]).encode()]
    return sha256(b"".join(facts)).hexdigest()[:16]


def _digest(images: Path, keys: Sequence[str]) -> dict[str, str]:
    """Return the SHA-256 of each image, in hexadecimal, by its key."""
    digests = dict[str, str]()
    try:
        for key in keys:
            digests[key] = sha256(read_file(images / key)).hexdigest()
    except UnreadableImageError as error:  # which `fetch` does not bring
        raise UserError(f"{images / key} is {error}: remove it") from error
    return digests


def _scan(
    images: Path, ranges: Ranges, block: tuple[dict[str, str], Mapping[str, bytes]]
) -> tuple[dict[str, bytes], list[ScannedImage | Rejection]]:
    """Scan images, given by their digests and the entries of the cache; return its new entries, and the results."""
    (digests, known), new = block, dict[str, bytes]()
    scanned = list[ScannedImage | Rejection]()
    for key, digest in digests.items():
        kept = known.get(digest) or new.get(digest)
        try:
            if kept is None:
                content = read_file(images / key)
                digest = sha256(content).hexdigest()  # of what is decoded: the file may have changed
                kept = new[digest] = _look_at(content, ranges)
        except MissingReaderError as error:  # what is installed must not decide which images there are
            raise UserError(f"{key} is {error}") from error
        except UnreadableImageError as error:
            scanned.append(Rejection(key, str(error)))
            continue
        scanned.append(_unpack(key, digest, kept, digest in new))
    return new, scanned


def _look_at(content: bytes, ranges: Ranges) -> bytes:
    """Decode an image file, and pack what is kept of it."""
    pixels, width, height, wide = decode_image(content, max(PREVIEW_SIZE, THUMBNAIL_SIZE), ranges=ranges)
    counts = count_values(pixels)
    is_plain, histogram = color_spread(counts) < _PLAIN, color_histogram(counts, HISTOGRAM_BINS)
    facts = wide or ("", np.nan, 0)
    packed = np.array(((width, height), is_plain, *facts, thumbnail(pixels, THUMBNAIL_SIZE), histogram), KEPT)
    return packed.tobytes() + encode_preview(pixels)


def _unpack(key: str, digest: str, kept: bytes, is_decoded: bool) -> ScannedImage:
    (width, height), is_plain, kind, levels, lost, pixels, histogram = np.frombuffer(kept, KEPT, 1)[0]
    record = ImageRecord(key, key.split("/")[0], digest, int(width), int(height))
    wide = WideImage(kind.decode(), levels, float(lost)) if kind else None
    remark = "; ".join(["nearly one color"] * bool(is_plain) + [f"{lost:.1%} of it has no data"] * bool(lost >= _LOST))
    return ScannedImage(record, pixels, histogram, kept[KEPT.itemsize :], remark, wide, is_decoded)
