"""Reading arrays that earlier stages made, which are of other images or settings where a stage was run alone."""

from pathlib import Path

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.errors import DataError, UserError
from similarity.layout import EDITS, MANIFEST


def load_rows(path: Path, manifest: Manifest, width: int | None = None) -> np.ndarray:
    """Maps an array with a row for each image from its file, (n, …).

    Args:
        path: of the ``.npy`` file.
        manifest: lists the images.
        width: of each row, unless any is right.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is damaged, or of another number of images, or the rows have another width.
    """
    rows = _load_array(path)
    check_rows(path, len(rows), manifest)
    return _check_width(path, rows, width)


def check_rows(path: Path, count: int, manifest: Manifest) -> None:
    """Raises a `UserError` if what is in a file or folder is of another number of images than the manifest."""
    if count != len(manifest.records):
        raise UserError(f"{path} is of {count} images, {MANIFEST} of {len(manifest.records)}: run `dvc repro`")


def load_edits(name: str, manifest: Manifest, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Load vectors of edited test images: the rows of the originals, int64 (n,), and the vectors, (n, width).

    Raises:
        FileNotFoundError: there are none.
        UserError: they are damaged, belong to other images, or have another width.
    """
    path = EDITS / f"{name}.npy"
    rows, edited = _load_array(EDITS / "rows.npy"), _load_array(path)
    if len(rows) != len(edited) or rows.max(initial=0) >= len(manifest.records):
        raise UserError(f"{EDITS} belongs to other images than {MANIFEST}: run `dvc repro`")
    return np.repeat(rows, edited.shape[1]), _check_width(path, np.concatenate(edited), width)


def check_finite(path: Path, rows: np.ndarray, manifest: Manifest) -> None:
    """Raises a `DataError` that names the images with numbers that are not finite; `rows`, int64 (m,), are theirs."""
    if len(rows):
        problems = [f"{manifest.keys[row]} has numbers that are not finite" for row in rows]
        raise DataError(problems, f"nothing can be compared with them, so {path} is not written")


def _load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error


def _check_width(path: Path, rows: np.ndarray, width: int | None) -> np.ndarray:
    if width is not None and rows.shape[1:] != (width,):
        raise UserError(f"{path} has rows of {rows.shape[1]} numbers, where {width} are expected: run `dvc repro`")
    return rows
