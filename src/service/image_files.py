"""The files of indexed images: a key is never answered with another image than the one that was indexed."""

import io
from collections.abc import Iterator, Sequence
from hashlib import sha256
from threading import Lock
from zipfile import ZipFile, ZipInfo

from PIL import Image

from service.failures import Refusal
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.images.decoding import read_image
from similarity.data.images.formats import START, image_format
from similarity.data.images.wide import Ranges
from similarity.engine.project import ImageFiles

_MEDIA_TYPES = {"JPEG2000": "jp2", "HEIF": "heic", "PPM": "x-portable-anymap"}  # others have the format's own name
_ONE_AT_A_TIME = Lock()


def read_image_bytes(folder: ImageFiles, image: ImageRecord) -> bytes:
    """Read the file of an indexed image.

    Raises:
        Refusal: the file is missing (404), or is another image (409); the message says what to do.
    """
    try:
        content = (folder / image.path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        message = f"The file of {image.path} is not there: run `dvc checkout` or `dvc pull`."
        raise Refusal(404, "file_missing", message) from error
    if sha256(content).hexdigest() != image.sha256:
        advice = "run `dvc repro` and reload the service, or run `dvc checkout`"
        raise Refusal(409, "file_changed", f"The file of {image.path} is not the image that was indexed: {advice}.")
    return content


def media_type(content: bytes) -> str:
    """Return the type of an image by its content, as its name may be wrong."""
    kind = image_format(content[:START]) or "octet-stream"
    return f"image/{_MEDIA_TYPES.get(kind, kind.lower())}"


def make_thumbnail(content: bytes, size: int, ranges: Ranges) -> bytes:
    """Make a JPEG of an image that fits into a square of `size` pixels, in the ranges of the data set.

    Raises:
        UnreadableImageError: it can no longer be decoded.
    """
    with _ONE_AT_A_TIME:  # so that uploads do not wait for the pictures of a page
        picture = Image.fromarray(read_image(content, size, ranges))
    picture.thumbnail((size, size))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def require_room(folder: ImageFiles, images: Sequence[ImageRecord], max_bytes: int) -> None:
    """Check the files of images, as `read_image_bytes` does, and that they are not too large together (413)."""
    total = 0
    for each in images:
        total += len(read_image_bytes(folder, each))
        if total > max_bytes:
            message = f"These images are too large together: {max_bytes / 1e6:g} MB are allowed."
            raise Refusal(413, "too_many_bytes", message)


def pack(folder: ImageFiles, images: Sequence[ImageRecord]) -> Iterator[bytes]:
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
