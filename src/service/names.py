"""Searching images by part of their file's name."""

import re
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np


class Names:
    """The file names of N images."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._names = [_folded(key.rpartition("/")[2]) for key in keys]

    def rank(self, rows: np.ndarray, part: str) -> np.ndarray:
        """Find those of some images whose names contain a text, ignoring case.

        Args:
            rows: of the images, int64 (n,).
            part: of a name.

        Returns:
            Their rows, int64 (m,): the whole name first (with or without its suffix), then names that begin with the
            text, then those with a word that does, then all others; equal ones in the given order.
        """
        part = _folded(part)
        at_word = re.compile(rf"(?<![^\W_]){re.escape(part)}")

        def order(row: int) -> tuple[bool, bool, bool]:
            name = self._names[row]
            is_whole = part in {name, name.rpartition(".")[0]}
            return not is_whole, not name.startswith(part), at_word.search(name) is None

        return np.array(sorted((row for row in rows.tolist() if part in self._names[row]), key=order), np.int64)


def _folded(text: str) -> str:
    return normalize("NFC", text).casefold()
