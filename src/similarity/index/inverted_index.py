"""The inverted index: the key of every image with the keys and cosines of its neighbors, best first."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from similarity.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def write_inverted_index(path: Path, keys: Sequence[str], neighbors: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write ``{key: [[key, cosine], …]}``, one image per line, from rows, int64 (k,), and cosines, float64 (k,)."""
    from similarity.data.files import write_json_entries

    rows = (
        (key, [[keys[row], cosine] for row, cosine in zip(found.tolist(), cosines.tolist(), strict=True)])
        for key, (found, cosines) in zip(keys, neighbors, strict=True)
    )
    write_json_entries(path, rows)


def read_cosines(path: Path, keys: Sequence[str], top_k: int) -> np.ndarray:
    """Read the cosines of all neighbors, float64 (n, k) with k = min(top_k, n − 1), best first.

    Raises:
        UserError: it is damaged, or lists other images or another number of neighbors.
    """
    import numpy as np

    count = min(top_k, len(keys) - 1)
    cosines = np.empty((len(keys), count))
    try:
        with path.open("rb") as file:
            entries = (line for line in file if line.strip() not in {b"{", b"}"})
            for row, (key, line) in enumerate(zip(keys, entries, strict=True)):
                cosines[row] = [cosine for _, cosine in _parse(line)[key]]
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path} does not list {count} neighbors of each image of the manifest: run `dvc repro`"
        ) from error
    return cosines


def map_inverted_index(path: Path) -> mmap.mmap:
    """Map an inverted index into memory for `find_neighbors`; a file that replaces it later is not seen."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def find_neighbors(content: mmap.mmap, key: str) -> list[tuple[str, float]] | None:
    """Find the neighbors of one image in an inverted index; None if the image is not in it.

    The keys are sorted, one per line, so that bisection of the file finds one among millions without loading it.
    """
    low, high = content.find(b"\n") + 1, content.rfind(b"\n}") + 1
    while low < high:
        middle = content.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = content.find(b"\n", middle)
        ((found, neighbors),) = _parse(content[middle:end]).items()
        if found == key:
            return [(other, cosine) for other, cosine in neighbors]
        low, high = (end + 1, high) if found < key else (low, middle)
    return None


def _parse(line: bytes) -> dict[str, list[list]]:
    return orjson.loads(b"{" + line.strip().rstrip(b",") + b"}")
