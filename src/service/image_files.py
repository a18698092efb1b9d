"""The files of indexed images: a key is never answered with another image than the one that was indexed."""

from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from similarity.engine.project import ImageFiles

ImageFolder: TypeAlias = Path | ImageFiles


class ImageFileError(Exception):
    """The file of an indexed image is missing, or is another image; the message says what to do."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def read_image_bytes(folder: ImageFolder, key: str, digest: str) -> bytes:
    """Read the file of an indexed image.

    Args:
        folder: of all images.
        key: of the image, its path in the folder.
        digest: the SHA-256 of the image, in hexadecimal.

    Raises:
        ImageFileError: the file is missing, or has another digest.
    """
    try:
        content = (folder / key).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ImageFileError(f"The file of {key} is not there: run `dvc checkout` or `dvc pull`.", 404) from error
    if sha256(content).hexdigest() != digest:
        raise ImageFileError(
            f"The file of {key} is not the image that was indexed: run `dvc repro` and reload the service, "
            "or run `dvc checkout`.",
            409,
        )
    return content


def check_image(folder: ImageFolder, key: str, digest: str) -> int:
    """Check the file of an indexed image, and return its size in bytes; see `read_image_bytes`."""
    return len(read_image_bytes(folder, key, digest))
