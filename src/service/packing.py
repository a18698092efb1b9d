"""Several image files in one archive, streamed while it is made."""

from collections.abc import Iterator, Sequence
from io import RawIOBase
from zipfile import ZipFile, ZipInfo

from service.image_files import ImageFolder, check_image, read_image_bytes
from similarity.dataset.manifest import ImageRecord


def require_room(folder: ImageFolder, records: Sequence[ImageRecord], max_bytes: int) -> None:
    """Check that the files of the images exist, are those indexed, and are not too large together.

    Raises:
        ImageFileError: one is gone, or is another image.
        ValueError: they are too large; the message says how large they may be.
    """
    total = 0
    for each in records:
        total += check_image(folder, each.path, each.sha256)
        if total > max_bytes:
            raise ValueError(f"These images are too large together: {max_bytes / 1e6:g} MB are allowed.")


def pack(folder: ImageFolder, records: Sequence[ImageRecord]) -> Iterator[bytes]:
    """Yield the parts of a zip file of the images; it stops short at a file that is no longer the image indexed.

    Nothing is compressed, as images already are, and times are left out, so the same images give the same bytes.
    """
    parts = _Parts()
    with ZipFile(parts, "w") as archive:
        for each in records:
            archive.writestr(ZipInfo(each.path), read_image_bytes(folder, each.path, each.sha256))
            yield parts.take()
    yield parts.take()


class _Parts(RawIOBase):
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._written = b""

    def write(self, data: bytes) -> int:  # type: ignore[override]  # all that zipfile writes is bytes
        self._written += bytes(data)
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        written, self._written = self._written, b""
        return written
