"""Running a backbone over image files."""

import os
import platform
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np

from similarity.features import extractor as extractor_module
from similarity.features.extractor import Extractor, backbone_digest
from similarity.images import decoding, resizing
from similarity.images.decoding import read_image_file
from similarity.images.protocols import ImageFile
from similarity.images.resizing import resize
from similarity.parallel import ordered_map

_BATCHES_AHEAD = 4  # for each core, loaded while others are computed


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

    batches = [range(start, min(start + batch_size, len(files))) for start in range(0, len(files), batch_size)]
    with threadpool_limits(limits=1, user_api="blas"):  # threads of its own would take the extractor's cores
        yield from extractor.stream(ordered_map(load, batches, ahead=_BATCHES_AHEAD * (os.cpu_count() or 1)))


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
