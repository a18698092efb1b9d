"""What an audit lists: a row for each thing that is probably wrong with an image."""

from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest


class Finding(NamedTuple):
    """A row of `data/audit.csv`: what was found of which image, and the other image that it was found by, if any.

    Attributes:
        score: by which the findings of a kind are sorted, the worst first; what it is, `reason` says.
        suggested: the class that it rather seems to be of, if the finding is about that.
    """

    finding: str
    path: str
    label: str
    split: str
    score: str
    suggested: str
    other: str
    other_label: str
    other_split: str
    reason: str

    @property
    def crosses_classes(self) -> bool:
        """Whether the other image has another class."""
        return self.label != self.other_label

    @property
    def crosses_splits(self) -> bool:
        """Whether the other image is in another split."""
        return self.split != self.other_split


class Audited:
    """The images by their rows, and the findings that are made of them."""

    def __init__(self, manifest: Manifest, splits: dict[str, np.ndarray]) -> None:
        self.manifest = manifest
        self.split_of = {row: name for name, rows in splits.items() for row in rows.tolist()}

    def find(
        self, finding: str, row: int, score: float, reason: str, other: int | None = None, suggested: str = ""
    ) -> Finding:
        """A finding about the image of a row, and about another one, if that is part of it."""
        return Finding(finding, *self._about(row), f"{score:.6f}", suggested, *self._about(other), reason)

    def _about(self, row: int | None) -> tuple[str, str, str]:
        if row is None:
            return "", "", ""
        record = self.manifest.records[row]
        return record.path, record.label, self.split_of[row]
