"""Finding images by a part of their file's name."""

import re
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np

_WHOLE, _BEGINNING, _WORD, _ANYWHERE = range(4)


class Names:
    """The file names of some images."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Takes the images' keys, N of them."""
        self._names = [_folded(key.rpartition("/")[2]) for key in keys]

    def rank(self, rows: np.ndarray, part: str) -> np.ndarray:
        """Those of some images, by their rows, int64 (n,), whose names have a part, in capitals or not.

        The best match comes first: the whole name, with its ending or without, then its beginning, the beginning of a
        word in it, any place.

        Returns:
            int64 (m,); those of equal rank in the order that they are given in.
        """
        part = _folded(part)
        found = [row for row in rows.tolist() if part in self._names[row]]
        at_word = re.compile(rf"(?<![^\W_]){re.escape(part)}")
        found.sort(key=lambda row: _rank(self._names[row], part, at_word))
        return np.array(found, np.int64)


def _rank(name: str, part: str, at_word: re.Pattern[str]) -> int:
    if part in {name, name.rpartition(".")[0]}:
        return _WHOLE
    if name.startswith(part):
        return _BEGINNING
    return _WORD if at_word.search(name) else _ANYWHERE


def _folded(text: str) -> str:
    return normalize("NFC", text).casefold()
