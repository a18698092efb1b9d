"""The inverted index: every image's key with the keys of its neighbors and their cosines, best first."""

import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import orjson

from similarity.errors import UserError
from similarity.files import write_json_entries


def write_inverted_index(path: Path, keys: Sequence[str], neighbors: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Writes ``{key: [[key, cosine], …]}``, one image a line.

    Args:
        path: where to.
        keys: of all images.
        neighbors: for each image in turn, the rows of its neighbors, int64 (k,), and their cosines, float64 (k,).
    """
    rows = (
        (key, [[keys[row], cosine] for row, cosine in zip(found.tolist(), cosines.tolist(), strict=True)])
        for key, (found, cosines) in zip(keys, neighbors, strict=True)
    )
    write_json_entries(path, rows)


def read_inverted_index(path: Path) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Reads what `write_inverted_index` wrote, an image at a time.

    Raises:
        UserError: it is damaged.
    """
    try:
        with path.open("rb") as file:
            for line in file:
                entry = line.strip().rstrip(b",")
                if entry not in {b"{", b"}", b"{}"}:
                    yield from orjson.loads(b"{" + entry + b"}").items()
    except orjson.JSONDecodeError as error:
        raise _damaged(path) from error


def map_inverted_index(path: Path, copy: bool = False) -> mmap.mmap:
    """Opens what `write_inverted_index` wrote for `find_neighbors`, as it is: a later file is not seen.

    Args:
        path: where it is.
        copy: whether to hold it in memory, for a process that goes on whatever happens to the file.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it is empty or cut off.
    """
    with path.open("rb") as file:
        if size := file.seek(0, os.SEEK_END):
            content = mmap.mmap(-1, size) if copy else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            if copy:
                file.seek(0)
                file.readinto(content)
            if content[-2:] == b"}\n":
                return content
    raise _damaged(path)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: run `dvc checkout`, or `dvc repro`")


def find_neighbors(content: mmap.mmap, key: str) -> list[tuple[str, float]] | None:
    """Finds one image's neighbors in an inverted index, None if the image is not in it.

    The keys are sorted and each has a line, so the file is searched by halves: a million images take as long as a
    thousand, and nothing is held in memory.
    """
    low, high = content.find(b"\n") + 1, content.rfind(b"\n}") + 1
    while low < high:
        middle = content.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = content.find(b"\n", middle)
        ((found, neighbors),) = orjson.loads(b"{" + content[middle:end].rstrip(b",") + b"}").items()
        if found == key:
            return [(other, cosine) for other, cosine in neighbors]
        low, high = (end + 1, high) if found < key else (low, middle)
    return None
