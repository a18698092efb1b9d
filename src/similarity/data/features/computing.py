"""Features of image files: from the user's cache, or computed in threads of this machine or on a cluster."""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from itertools import compress
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.cluster import cluster_map, is_cluster_named
from similarity.data.content_cache import ContentCache, digest_file
from similarity.data.features import extractor as extractor_module
from similarity.data.features import graphs
from similarity.data.features.extractor import Extractor, load_extractor
from similarity.data.images import decoding, formats, pixels, wide
from similarity.data.images.decoding import read_image_file
from similarity.data.images.pixels import resize
from similarity.data.images.wide import Ranges
from similarity.data.parallel import ordered_map
from similarity.errors import UserError

_ROWS_LOOKED_UP = 500  # at a time, to bound the memory
_BATCHES_SENT = 16  # at a time to a core of a cluster


def load_pixels(file: Path, size: int, digest: str | None = None, ranges: Ranges | None = None) -> np.ndarray:
    """Read an image file as an extractor takes it: float32 (size, size, 3) in 0…255; see `decode_image` for `ranges`.

    Raises:
        UserError: it cannot be decoded, or its bytes have another SHA-256 than `digest`, in hexadecimal.
    """
    return resize(read_image_file(file, digest, size, ranges), size)


def cached_features(
    files: Sequence[Path],
    digests: Sequence[str],
    compute: Callable[[Sequence[Path], Sequence[str]], Iterable[np.ndarray]],
    width: int,
    known: ContentCache,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the features of image files, each once: first those in the cache, then the others, which it keeps.

    Rows with a number that is not finite are given, and not kept.

    Args:
        files: of the images.
        digests: the SHA-256 of the content of each, in hexadecimal.
        compute: gives the features of files with some digests, in blocks and in their order.
        width: features per image, D.
        known: the cache, in the namespace `fingerprint`.

    Yields:
        Which images, int64 (b,), and their features, float32 (b, D).
    """
    missing = np.ones(len(files), bool)
    for start in range(0, len(files), _ROWS_LOOKED_UP):
        wanted = digests[start : start + _ROWS_LOOKED_UP]
        found = known.get_many(wanted)
        rows = np.array([row for row, key in enumerate(wanted, start) if len(found.get(key, b"")) == 4 * width], int)
        missing[rows] = False
        yield rows, np.frombuffer(b"".join(found[digests[row]] for row in rows), np.float32).reshape(-1, width)
    rows, wanted, start = np.flatnonzero(missing), list(compress(digests, missing)), 0
    for features in compute(list(compress(files, missing)), wanted):
        block = slice(start, start := start + len(features))
        rows_by_digest = zip(wanted[block], features, strict=True)
        known.put_many({digest: row.tobytes() for digest, row in rows_by_digest if np.isfinite(row).all()})
        yield rows[block], features


def compute_features(
    files: Sequence[Path], digests: Sequence[str], folder: Path, batch_size: int, ranges: Ranges | None = None
) -> Iterator[np.ndarray]:
    """Compute the features of image files, and yield them in blocks of up to `batch_size` rows, float32 (n, D).

    Each core has a thread that reads the images of a batch and runs the extractor, in `folder`, on them. If the
    environment names a cluster, its cores do so, and every node needs the files and the folder at the same paths.

    Raises:
        UserError: an image cannot be decoded, or its content has another SHA-256 than its digest; or from
            `cluster_map`, or a node would compute other features.
    """
    images = list(zip(files, digests, strict=True))
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    if not batches:
        return
    if is_cluster_named():
        load = partial(_extractor_of_node, folder, batch_size, fingerprint(folder, batch_size))
        yield from cluster_map(partial(_compute_batch, load, ranges), batches, _BATCHES_SENT)
        return
    extractor = load_extractor(folder, (batch_size,), throughput=True)
    with threadpool_limits(limits=1, user_api="blas"):  # threads of its own would take the extractor's cores
        yield from ordered_map(partial(_compute_batch, lambda: extractor, ranges), batches)


def _compute_batch(
    load: Callable[[], Extractor], ranges: Ranges | None, batch: Sequence[tuple[Path, str]]
) -> np.ndarray:
    extractor = load()
    return extractor(np.stack([load_pixels(file, extractor.image_size, digest, ranges) for file, digest in batch]))


@cache
def _extractor_of_node(folder: Path, batch_size: int, expected: str) -> Extractor:
    """Load the extractor once in each process of a cluster, on one core."""
    threadpool_limits(limits=1, user_api="blas")
    if fingerprint(folder, batch_size) != expected:
        raise UserError(
            "features would differ from those here: the processor, the backbone, or a version of the code or of a "
            "package differs; make it equal, or leave the node out"
        )
    return load_extractor(folder, (batch_size,), threads=1)


def fingerprint(folder: Path, batch_size: int, ranges: Ranges | None = None) -> str:
    """Digest all that decides the bits of features but the images: the backbone, what runs it, and where."""
    modules = (decoding, formats, pixels, wide, extractor_module, graphs)
    code = [Path(__file__), *(Path(module.__file__) for module in modules if module.__file__)]
    is_keras = extractor_module.describe(folder)["engine"] == "keras"
    packages = ("numpy", "pillow", "scipy", *(("keras", "tensorflow") if is_keras else ("openvino",)))
    facts = [f"{path.name} {digest_file(path)}" for path in (*code, *sorted(folder.iterdir()))]
    facts += [f"{package} {version(package)}" for package in packages]
    facts += [str(batch_size), *map(str, (ranges or {}).items()), _processor(), *(_gpus() if is_keras else [])]
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
    from similarity.data.quiet import prepare_tensorflow

    prepare_tensorflow()
    import tensorflow as tf

    return [str(tf.config.experimental.get_device_details(gpu)) for gpu in tf.config.list_physical_devices("GPU")]
