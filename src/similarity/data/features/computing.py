"""Features of image files, computed in threads of this machine or on a cluster."""

import platform
from collections.abc import Iterator, Sequence
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from similarity.data.features.extractor import Extractor, describe, load_extractor
from similarity.data.images.decoding import read_image_file
from similarity.data.images.pixels import resize
from similarity.data.images.wide import Ranges
from similarity.data.parallel import cluster_map, is_cluster_named, ordered_map
from similarity.data.quiet import prepare_tensorflow
from similarity.errors import UserError

_BATCHES_SENT = 16  # at a time to a core of a cluster
_PACKAGES = ("numpy", "pillow", "scipy", "openvino", "keras", "tensorflow")


def load_pixels(file: Path, size: int, digest: str | None = None, ranges: Ranges | None = None) -> np.ndarray:
    """Read an image file as an extractor takes it: float32 (size, size, 3) in 0…255; see `read_image_file`."""
    return resize(read_image_file(file, digest, size, ranges), size)


def compute_features(
    images: Sequence[tuple[Path, str]], folder: Path, batch_size: int, ranges: Ranges | None = None
) -> Iterator[np.ndarray]:
    """Compute the features of images, and yield them in blocks of up to `batch_size` rows, float32 (n, D).

    Each core has a thread that reads the images of a batch and runs the extractor, in `folder`, on them. If the
    environment names a cluster, its cores do so, and every node needs the files and the folder at the same paths.
    An image is a file and the SHA-256 of its content; for ranges see `read_image_file`.

    Raises:
        UserError: an image cannot be decoded, or its content has another SHA-256; or from `cluster_map`, or a node
            would compute other features.
    """
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    if not batches:
        return
    if is_cluster_named():
        load = partial(_extractor_of_node, folder, batch_size, fingerprint(folder, batch_size))
        yield from cluster_map(lambda batch: _compute_batch(load(), ranges, batch), batches, _BATCHES_SENT)
        return
    extractor = load_extractor(folder, (batch_size,), throughput=True)
    with threadpool_limits(limits=1, user_api="blas"):  # threads of its own would take the extractor's cores
        yield from ordered_map(partial(_compute_batch, extractor, ranges), batches)


def _compute_batch(extractor: Extractor, ranges: Ranges | None, batch: Sequence[tuple[Path, str]]) -> np.ndarray:
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
    code = Path(__file__).parent
    files = [*sorted(code.glob("*.py")), *sorted(code.with_name("images").glob("*.py")), *sorted(folder.iterdir())]
    facts = [f"{path.name} {sha256(path.read_bytes()).hexdigest()}" for path in files]
    facts += [f"{package} {version(package)}" for package in _PACKAGES]
    facts += [str(batch_size), *map(str, (ranges or {}).items()), _processor()]
    if describe(folder)["engine"] == "keras":
        prepare_tensorflow()
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        facts += [str(tf.config.experimental.get_device_details(gpu)) for gpu in gpus]
    return sha256("\n".join(facts).encode()).hexdigest()


def _processor() -> str:
    """Describe the processor and what it can do: another one may round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    names = ("model name", "flags", "CPU part", "Features")
    return "\n".join(sorted({line for line in cpuinfo.read_text("utf-8").splitlines() if line.startswith(names)}))
