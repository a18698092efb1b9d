"""Running a backbone over image files."""

import platform
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np

from similarity import extractor as extractor_module
from similarity import images
from similarity.extractor import Extractor
from similarity.images import read_image_file, resize
from similarity.parallel import ordered_map


def load_pixels(path: Path, size: int, digest: str | None = None) -> np.ndarray:
    """Reads an image file as an extractor wants it: float32 (size, size, 3) in 0…255.

    Args:
        path: of the file.
        size: side of the result, in pixels.
        digest: the SHA-256 that its bytes must have, in hexadecimal.

    Raises:
        UserError: it cannot be decoded, or has another digest.
    """
    return resize(read_image_file(path, digest), size)


def compute_features(
    paths: Sequence[Path], digests: Sequence[str], extractor: Extractor, batch_size: int
) -> Iterator[np.ndarray]:
    """Computes the features of image files, and yields them in blocks of up to `batch_size` rows, float32 (n, D).

    Reading and resizing go on in other threads while the extractor works on a batch.

    Args:
        paths: the files, in the order of the rows.
        digests: the SHA-256 that the content of each must have, in hexadecimal.
        extractor: what turns pixels into features.
        batch_size: images per batch.
    """

    def load(image: tuple[Path, str]) -> np.ndarray:
        return load_pixels(image[0], extractor.image_size, image[1])

    pixels = ordered_map(load, zip(paths, digests, strict=True), ahead=2 * batch_size)
    while batch := list(islice(pixels, batch_size)):
        yield extractor(np.stack(batch))


def fingerprint(folder: Path, extractor: Extractor, batch_size: int) -> str:
    """A digest of all that decides the bits of features but the images: the backbone, what runs it, and where.

    Args:
        folder: which the extractor was loaded from.
        extractor: what turns pixels into features.
        batch_size: images per batch.
    """
    code = [Path(module.__file__) for module in (images, extractor_module) if module.__file__]
    files = [*sorted(folder.iterdir()), Path(__file__), *code]
    contents = [f"{path.name} {sha256(path.read_bytes()).hexdigest()}" for path in files]
    packages = ("numpy", "pillow", "openvino" if extractor.description["engine"] == "openvino" else "tensorflow")
    versions = [f"{package} {version(package)}" for package in packages]
    return sha256("\n".join([*contents, *versions, str(batch_size), _processor()]).encode()).hexdigest()


def _processor() -> str:
    """What the processor is and can do: another one may round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    first, *_ = cpuinfo.read_text(encoding="utf-8").split("\n\n")
    return "\n".join(
        line for line in first.splitlines() if line.startswith(("model name", "flags", "CPU part", "Features"))
    )
