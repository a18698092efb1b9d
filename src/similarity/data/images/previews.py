"""Small pictures of all images in one file, so that drawing one does not decode the original again."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from similarity.data.files import write_array
from similarity.data.images.decoding import UnreadableImageError, read_image
from similarity.errors import UserError

PREVIEW_SIZE = 112  # pixels, side of the square that a preview fits into
_QUALITY = 90
_CONTENT, _ENDS = "previews.bin", "ends.npy"


def encode_preview(pixels: np.ndarray) -> bytes:
    """Encode RGB pixels, uint8 (height, width, 3), as a JPEG, shrunk to the size of a preview if they are larger."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


@contextmanager
def open_previews(folder: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield a function that adds a preview to the JPEGs in a folder, and to their table of ends, int64 (n + 1,)."""
    ends = [0]
    with (folder / _CONTENT).open("wb") as file:
        yield lambda preview: ends.append(ends[-1] + file.write(preview))
    write_array(folder / _ENDS, [np.array(ends, np.int64)])


class Previews:
    """The previews of all images, read one at a time by row."""

    def __init__(self, folder: Path) -> None:
        """Open the folder that `open_previews` filled.

        Raises:
            FileNotFoundError: a file is not there.
        """
        self._path, self._ends = folder, np.load(folder / _ENDS)
        self._content = np.memmap(folder / _CONTENT, np.uint8, "r")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the preview of a row's image: RGB, uint8 (height, width, 3).

        Raises:
            UserError: the file is damaged.
        """
        start, end = self._ends[row : row + 2].tolist()
        try:
            return read_image(self._content[start:end].tobytes())
        except UnreadableImageError as error:
            raise UserError(f"{self._path} is damaged: run `dvc checkout`, or `dvc repro`") from error
