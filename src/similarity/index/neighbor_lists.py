"""The neighbors of all images by their rows, as one stage leaves them to the next."""

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from similarity.errors import UserError
from similarity.files import write_arrays


class NeighborLists(NamedTuple):
    """The neighbors' rows of each row, int64 (n, k), best first, and their cosines, rounded, float64 (n, k)."""

    rows: np.ndarray
    cosines: np.ndarray


def save_neighbors(lists: NeighborLists, path: Path) -> None:
    """Writes a ``.npz`` file."""
    write_arrays(path, lists._asdict())


def load_neighbors(path: Path, images: int, top_k: int) -> NeighborLists:
    """Reads what `save_neighbors` wrote.

    Args:
        path: of the file.
        images: how many there are, n.
        top_k: neighbors of each; fewer where there are no more.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is damaged, or of another number of images or of neighbors.
    """
    try:
        with np.load(path) as arrays:
            lists = NeighborLists(*(arrays[name] for name in NeighborLists._fields))
    except (BadZipFile, ValueError, EOFError, KeyError) as error:
        raise UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`") from error
    count = min(top_k, images - 1)
    if lists.rows.shape != (images, count):
        raise UserError(
            f"{path} holds {lists.rows.shape[1]} neighbors of each of {len(lists.rows)} images, where {count} of each "
            f"of {images} are needed for neighbors.top_k {top_k}: run `dvc repro`"
        )
    return lists
