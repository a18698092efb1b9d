"""Image files as they were indexed, and no others: what a key names is what its digest says."""

from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO, NamedTuple

from similarity.images.protocols import ImageFolder

_CHUNK = 1 << 18  # bytes


class ImageFileError(Exception):
    """There is no file for an indexed image, or it is another image; the message says what to do."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class CheckedFile(NamedTuple):
    """An open image file that had its digest when it was opened, and its size in bytes."""

    file: BinaryIO
    size: int
    digest: str

    def chunks(self) -> Iterator[bytes]:
        """Gives the content in parts, the last only if all of them together have the digest.

        So a file that is overwritten while a slow client takes it is broken off, and not taken for the image.
        """
        with self.file:
            digest, waiting = sha256(), b""
            while chunk := self.file.read(_CHUNK):
                digest.update(chunk)
                if waiting:
                    yield waiting
                waiting = chunk
            if digest.hexdigest() != self.digest:
                raise OSError(f"{self.file.name} was changed while it was read")
            yield waiting


def open_image(folder: ImageFolder, key: str, digest: str) -> CheckedFile:
    """Opens the file of an indexed image.

    Args:
        folder: of all images.
        key: of the image, its path in the folder.
        digest: the SHA-256 that the content must have, in hexadecimal.

    Raises:
        ImageFileError: the file is gone, or has another digest.
    """
    file = _open(folder, key)
    size = _check(file, digest, key)
    file.seek(0)
    return CheckedFile(file, size, digest)


def check_image(folder: ImageFolder, key: str, digest: str) -> int:
    """Makes sure of the file of an indexed image, and gives its size in bytes; see `open_image`."""
    with _open(folder, key) as file:
        return _check(file, digest, key)


def read_image_bytes(folder: ImageFolder, key: str, digest: str) -> bytes:
    """Reads the file of an indexed image; see `open_image`."""
    with _open(folder, key) as file:
        content = file.read()
    _require(sha256(content).hexdigest(), digest, key)
    return content


def _check(file: BinaryIO, digest: str, key: str) -> int:
    found = sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    _require(found.hexdigest(), digest, key)
    return file.tell()


def _open(folder: ImageFolder, key: str) -> BinaryIO:
    try:
        return (folder / key).open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ImageFileError(f"The file of {key} is not there: run `dvc checkout` or `dvc pull`.", 404) from error


def _require(found: str, digest: str, key: str) -> None:
    if found != digest:
        raise ImageFileError(
            f"The file of {key} is not the image that was indexed: run `dvc repro` and reload the service, "
            "or run `dvc checkout`.",
            409,
        )
