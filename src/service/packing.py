"""Some image files in one archive, which is made while it is sent."""

from collections.abc import Iterator, Sequence
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from service.image_files import check_image, stream_image
from similarity.dataset.manifest import ImageRecord
from similarity.images.protocols import ImageFolder


class _Outbox:
    """Takes what is written, until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def require_room(folder: ImageFolder, records: Sequence[ImageRecord], max_bytes: int) -> None:
    """Makes sure that all files of some images are there, and are not too large together.

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
    """Gives a zip file of some images in parts; it is broken off where a file is not that of its image any more.

    Nothing is compressed, as images are; times are left out, so that the same images give the same bytes.
    """
    outbox = _Outbox()
    with ZipFile(outbox, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]  # that is all it needs
        for each in records:
            with archive.open(ZipInfo(each.path), "w") as member:
                for chunk in stream_image(folder, each.path, each.sha256):
                    member.write(chunk)
                    yield outbox.take()
    yield outbox.take()
