"""Looking at every image once: what it is, or why it cannot be used."""

from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from similarity.dataset.manifest import ImageRecord
from similarity.images.decoding import UnreadableImageError, read_image
from similarity.parallel import ordered_map


class Rejection(NamedTuple):
    """An image that cannot be decoded: its key and the reason."""

    path: str
    reason: str


def list_keys(images: Path) -> list[str]:
    """The sorted keys ``<class>/<name>`` of all files in the class folders below `images`."""
    return sorted(path.relative_to(images).as_posix() for path in images.glob("*/*"))


def scan_images(images: Path, keys: list[str]) -> Iterator[ImageRecord | Rejection]:
    """Decodes each image once, and yields its record or its rejection in the order of the keys."""
    return ordered_map(partial(_scan, images), keys)


def _scan(images: Path, key: str) -> ImageRecord | Rejection:
    content = (images / key).read_bytes()
    try:
        height, width, _ = read_image(content).shape
    except UnreadableImageError as error:
        return Rejection(key, str(error))
    return ImageRecord(key, key.split("/")[0], sha256(content).hexdigest(), width, height)
