"""Running a backbone over image files."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np

from similarity.cluster import cluster_map
from similarity.errors import UserError
from similarity.features import extractor as extractor_module
from similarity.features.extractor import Extractor, backbone_digest, load_extractor
from similarity.images import decoding, resizing
from similarity.images.decoding import read_image_file
from similarity.images.protocols import ImageFile
from similarity.images.resizing import resize
from similarity.parallel import ordered_map

_BATCHES_AHEAD = 4  # for each core, loaded while others are computed
_BATCHES_SENT = 16  # at a time to a core of a cluster


def load_pixels(file: ImageFile, size: int, digest: str | None = None) -> np.ndarray:
    """Reads an image file as an extractor wants it: float32 (size, size, 3) in 0…255.

    Args:
        file: of the image.
        size: side of the result, in pixels.
        digest: the SHA-256 that its bytes must have, in hexadecimal.

    Raises:
        UserError: it cannot be decoded, or has another digest.
    """
    return resize(read_image_file(file, digest, size), size)


def compute_features(
    files: Sequence[ImageFile], digests: Sequence[str], extractor: Extractor, batch_size: int
) -> Iterator[np.ndarray]:
    """Computes the features of image files, and yields them in blocks of up to `batch_size` rows, float32 (n, D).

    Reading and resizing go on in other threads while the extractor works.

    Args:
        files: of the images, in the order of the rows.
        digests: the SHA-256 that the content of each must have, in hexadecimal.
        extractor: what turns pixels into features.
        batch_size: images per batch.
    """

    from threadpoolctl import threadpool_limits

    def load(rows: range) -> np.ndarray:
        return np.stack([load_pixels(files[row], extractor.image_size, digests[row]) for row in rows])

    with threadpool_limits(limits=1, user_api="blas"):  # threads of its own would take the extractor's cores
        yield from extractor.stream(
            ordered_map(load, _batches(len(files), batch_size), ahead=_BATCHES_AHEAD * (os.cpu_count() or 1))
        )


def compute_features_on_cluster(
    files: Sequence[ImageFile], digests: Sequence[str], folder: Path, batch_size: int, expected: str
) -> Iterator[np.ndarray]:
    """Computes the features of image files on a cluster; they are those of `compute_features`.

    Args:
        files: the files, under paths that every node sees, in the order of the rows.
        digests: the SHA-256 that the content of each must have, in hexadecimal.
        folder: of the backbone, under a path that every node sees.
        batch_size: images per batch.
        expected: the `fingerprint` that every node must have.

    Raises:
        UserError: as `load_pixels` and `cluster_map`; or a node would compute other features.
    """
    batches = [[(files[row], digests[row]) for row in rows] for rows in _batches(len(files), batch_size)]
    return cluster_map(_Features(folder, batch_size, expected), batches, _BATCHES_SENT)


@dataclass(frozen=True)
class _Features:
    """Computes the features of a batch of image files on one core, by an extractor that is loaded for the first."""

    folder: Path
    batch_size: int
    expected: str

    def __call__(self, batch: Sequence[tuple[ImageFile, str]]) -> np.ndarray:
        extractor = self._extractor
        return extractor(np.stack([load_pixels(file, extractor.image_size, digest) for file, digest in batch]))

    @cached_property
    def _extractor(self) -> Extractor:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=1, user_api="blas")
        extractor = load_extractor(self.folder, (self.batch_size,), threads=1)
        if fingerprint(self.folder, extractor, self.batch_size) != self.expected:
            raise UserError(
                "features would be others than here: the processor, the backbone, or a version of the code or of a "
                "package differs; make it equal, or leave the node out"
            )
        return extractor


def _batches(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def fingerprint(folder: Path, extractor: Extractor, batch_size: int) -> str:
    """A digest of all that decides the bits of features but the images: the backbone, what runs it, and where.

    Args:
        folder: which the extractor was loaded from.
        extractor: what turns pixels into features.
        batch_size: images per batch.
    """
    code = [Path(module.__file__) for module in (decoding, resizing, extractor_module) if module.__file__]
    contents = [f"{path.name} {sha256(path.read_bytes()).hexdigest()}" for path in (Path(__file__), *code)]
    engine = ("openvino",) if extractor.description["engine"] == "openvino" else ("keras", "tensorflow")
    packages = ("numpy", "pillow", "scipy", *engine)
    versions = [f"{package} {version(package)}" for package in packages]
    return sha256(
        "\n".join([backbone_digest(folder), *contents, *versions, str(batch_size), _processor()]).encode()
    ).hexdigest()


def _processor() -> str:
    """What the processor is and can do: another one may round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    first, *_ = cpuinfo.read_text(encoding="utf-8").split("\n\n")
    return "\n".join(
        line for line in first.splitlines() if line.startswith(("model name", "flags", "CPU part", "Features"))
    )
