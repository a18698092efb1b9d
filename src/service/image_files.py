"""The files of indexed images: a key is never answered with another image than the one that was indexed."""

import io
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import TypeAlias
from zipfile import ZipFile, ZipInfo

from PIL import Image

from service.failures import Refusal
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import read_image
from similarity.engine.project import ImageFiles

ImageFolder: TypeAlias = Path | ImageFiles
_ONE_AT_A_TIME = Lock()


def read_image_bytes(folder: ImageFolder, image: ImageRecord) -> bytes:
    """Read the file of an indexed image.

    Raises:
        Refusal: the file is missing (404), or is another image (409); the message says what to do.
    """
    try:
        content = (folder / image.path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Refusal(
            404, "file_missing", f"The file of {image.path} is not there: run `dvc checkout` or `dvc pull`."
        ) from error
    if sha256(content).hexdigest() != image.sha256:
        raise Refusal(
            409,
            "file_changed",
            f"The file of {image.path} is not the image that was indexed: run `dvc repro` and reload the service, "
            "or run `dvc checkout`.",
        )
    return content


def make_thumbnail(folder: ImageFolder, image: ImageRecord, size: int) -> bytes:
    """Make a JPEG of an image that fits into a square of `size` pixels; see `read_image_bytes`.

    Raises:
        UnreadableImageError: it can no longer be decoded.
    """
    with _ONE_AT_A_TIME:  # so that uploads do not wait for the pictures of a page
        picture = Image.fromarray(read_image(read_image_bytes(folder, image), size))
    picture.thumbnail((size, size))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def require_room(folder: ImageFolder, images: Sequence[ImageRecord], max_bytes: int) -> None:
    """Check the files of images, as `read_image_bytes` does, and that they are not too large together (413)."""
    total = 0
    for each in images:
        total += len(read_image_bytes(folder, each))
        if total > max_bytes:
            raise Refusal(
                413, "too_many_bytes", f"These images are too large together: {max_bytes / 1e6:g} MB are allowed."
            )


def pack(folder: ImageFolder, images: Sequence[ImageRecord]) -> Iterator[bytes]:
    """Yield the parts of a zip file of images; it stops short at a file that is no longer the image indexed.

    Nothing is compressed, as images already are, and times are left out, so the same images give the same bytes.
    """
    written = _Written()
    with ZipFile(written, "w") as archive:  # type: ignore[call-overload]  # it needs no more than write and flush
        for each in images:
            archive.writestr(ZipInfo(each.path), read_image_bytes(folder, each))
            yield bytes(written)
            written.clear()
    yield bytes(written)


class _Written(bytearray):
    """What was written and not yet sent."""

    def write(self, data: bytes) -> int:
        self += data
        return len(data)

    def flush(self) -> None:
        pass
