"""The features of image files: from the user's cache, or computed in threads of this machine or on a cluster."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.cluster import cluster_map
from similarity.content_cache import ContentCache, digest_file
from similarity.errors import UserError
from similarity.features import extractor as extractor_module
from similarity.features import graphs
from similarity.features.extractor import Extractor, load_extractor
from similarity.images import decoding, pixels
from similarity.images.decoding import read_image_file
from similarity.images.pixels import resize
from similarity.parallel import ordered_map

_ROWS_LOOKED_UP = 500  # at a time, to bound the memory
_BATCHES_AHEAD = 4  # for each core, loaded while others are computed
_BATCHES_SENT = 16  # at a time to a core of a cluster


class FeatureBlock(NamedTuple):
    """Features of some images: which ones, int64 (b,), float32 (b, D), and whether they had to be computed."""

    rows: np.ndarray
    features: np.ndarray
    is_computed: bool


def load_pixels(file: Path, size: int, digest: str | None = None) -> np.ndarray:
    """Read an image file as an extractor takes it: float32 (size, size, 3) in 0…255.

    Args:
        file: of the image.
        size: side of the result, in pixels.
        digest: the SHA-256 that its bytes must have, in hexadecimal.

    Raises:
        UserError: it cannot be decoded, or has another digest.
    """
    return resize(read_image_file(file, digest, size), size)


def cached_features(
    files: Sequence[Path],
    digests: Sequence[str],
    compute: Callable[[Sequence[Path], Sequence[str]], Iterator[np.ndarray]],
    width: int,
    cache: ContentCache,
    progress: Callable[[Iterable[np.ndarray], int], Iterable[np.ndarray]] = lambda blocks, _: blocks,
) -> Iterator[FeatureBlock]:
    """Give the features of image files, each once: first those in the cache, then the others, which it keeps.

    Rows with a number that is not finite are given, and not kept.

    Args:
        files: of the images.
        digests: the SHA-256 of the content of each, in hexadecimal.
        compute: gives the features of files with some digests, in blocks and in their order.
        width: features per image, D.
        cache: in the namespace `fingerprint`.
        progress: wraps the iteration over the blocks that are computed; gets the number of images in all of them.
    """
    missing = np.ones(len(files), bool)
    for start in range(0, len(files), _ROWS_LOOKED_UP):
        wanted = digests[start : start + _ROWS_LOOKED_UP]
        found = cache.get_many(wanted)
        rows = np.array([row for row, key in enumerate(wanted, start) if len(found.get(key, b"")) == 4 * width], int)
        features = np.frombuffer(b"".join(found[digests[row]] for row in rows), np.float32).reshape(-1, width)
        missing[rows] = False
        yield FeatureBlock(rows, features, is_computed=False)
    rows, wanted, start = np.flatnonzero(missing), list(compress(digests, missing)), 0
    for features in progress(compute(list(compress(files, missing)), wanted), len(rows)):
        block = slice(start, start := start + len(features))
        rows_by_digest = zip(wanted[block], features, strict=True)
        cache.put_many({digest: row.tobytes() for digest, row in rows_by_digest if np.isfinite(row).all()})
        yield FeatureBlock(rows[block], features, is_computed=True)


def compute_features(
    files: Sequence[Path], digests: Sequence[str], folder: Path, batch_size: int
) -> Iterator[np.ndarray]:
    """Compute the features of image files, and yield them in blocks of up to `batch_size` rows, float32 (n, D).

    Reading and resizing go on in other threads while the extractor works.

    Args:
        files: of the images, in the order of the rows.
        digests: the SHA-256 that the content of each must have, in hexadecimal.
        folder: of the backbone.
        batch_size: images per batch.

    Raises:
        UserError: an image cannot be decoded, or has another digest.
    """
    if not files:
        return
    extractor = load_extractor(folder, (batch_size,), throughput=True)

    def load(rows: range) -> np.ndarray:
        return np.stack([load_pixels(files[row], extractor.image_size, digests[row]) for row in rows])

    with threadpool_limits(limits=1, user_api="blas"):  # threads of its own would take the extractor's cores
        yield from extractor.stream(
            ordered_map(load, _batches(len(files), batch_size), ahead=_BATCHES_AHEAD * (os.cpu_count() or 1))
        )


def compute_features_on_cluster(
    files: Sequence[Path], digests: Sequence[str], folder: Path, batch_size: int, expected: str
) -> Iterator[np.ndarray]:
    """Compute the features of image files on a cluster: the same as those of `compute_features`.

    Args:
        files: the files, under paths that every node sees, in the order of the rows.
        digests: the SHA-256 that the content of each must have, in hexadecimal.
        folder: of the backbone, under a path that every node sees.
        batch_size: images per batch.
        expected: the `fingerprint` that every node must have.

    Raises:
        UserError: from `load_pixels` or `cluster_map`; or a node would compute other features.
    """
    batches = [[(files[row], digests[row]) for row in rows] for rows in _batches(len(files), batch_size)]
    return cluster_map(_Features(folder, batch_size, expected), batches, _BATCHES_SENT)


@dataclass(frozen=True)
class _Features:
    """Computes the features of a batch of image files on one core, with an extractor loaded for the first batch."""

    folder: Path
    batch_size: int
    expected: str

    def __call__(self, batch: Sequence[tuple[Path, str]]) -> np.ndarray:
        extractor = self._extractor
        return extractor(np.stack([load_pixels(file, extractor.image_size, digest) for file, digest in batch]))

    @cached_property
    def _extractor(self) -> Extractor:
        threadpool_limits(limits=1, user_api="blas")
        if fingerprint(self.folder, self.batch_size) != self.expected:
            raise UserError(
                "features would differ from those here: the processor, the backbone, or a version of the code or of a "
                "package differs; make it equal, or leave the node out"
            )
        return load_extractor(self.folder, (self.batch_size,), threads=1)


def _batches(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def fingerprint(folder: Path, batch_size: int) -> str:
    """Digest all that decides the bits of features but the images: the backbone, what runs it, and where.

    Args:
        folder: of the backbone, as `save_extractor` wrote it.
        batch_size: images per batch.
    """
    code = [Path(__file__)]
    code += [Path(module.__file__) for module in (decoding, pixels, extractor_module, graphs) if module.__file__]
    is_keras = extractor_module.describe(folder)["engine"] == "keras"
    packages = ("numpy", "pillow", "scipy", *(("keras", "tensorflow") if is_keras else ("openvino",)))
    facts = [f"{path.name} {digest_file(path)}" for path in (*code, *sorted(folder.iterdir()))]
    facts += [f"{package} {version(package)}" for package in packages]
    facts += [str(batch_size), _processor(), *(_gpus() if is_keras else [])]
    return sha256("\n".join(facts).encode()).hexdigest()


def _processor() -> str:
    """Describe the processor and what it can do: another one may round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    first, *_ = cpuinfo.read_text(encoding="utf-8").split("\n\n")
    return "\n".join(
        line for line in first.splitlines() if line.startswith(("model name", "flags", "CPU part", "Features"))
    )


def _gpus() -> list[str]:
    from similarity.tensorflow_setup import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    return [str(tf.config.experimental.get_device_details(gpu)) for gpu in tf.config.list_physical_devices("GPU")]
