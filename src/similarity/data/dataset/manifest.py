"""The list of images that all other files follow: row i of any array is row i of the manifest."""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.files import read_table
from similarity.errors import UserError

SPLIT_NAMES = ("train", "valid", "test")
UNLABELED = "unlabeled"
"""The folder of images without a class."""
SPLIT_COLUMNS = ("path", "split")


class ImageRecord(NamedTuple):
    """One readable image. `path` is its key: ``<class>/<name>``, POSIX, below ``data/images``; sizes are in pixels.

    Without a class, it is ``unlabeled/<name>``, and the label `UNLABELED`.
    """

    path: str
    label: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Manifest:
    """All readable images, sorted by key."""

    records: list[ImageRecord]

    @cached_property
    def keys(self) -> list[str]:
        return [record.path for record in self.records]

    @cached_property
    def classes(self) -> list[str]:
        """The classes' names, sorted."""
        return sorted({record.label for record in self.records} - {UNLABELED})

    @cached_property
    def folders(self) -> list[str]:
        """The classes, then `UNLABELED` if there are images without a class."""
        return self.classes + [UNLABELED] * any(record.label == UNLABELED for record in self.records)

    @cached_property
    def labels(self) -> np.ndarray:
        """The index in `folders` of each image's label, int32 (n,); it is the highest for images without a class."""
        index = {label: i for i, label in enumerate(self.folders)}
        return np.array([index[record.label] for record in self.records], np.int32)

    @cached_property
    def contents(self) -> np.ndarray:
        """A number for the content of each image, the same for identical ones: int64 (n,)."""
        return np.unique([record.sha256 for record in self.records], return_inverse=True)[1]

    def owners(self, groups: np.ndarray) -> np.ndarray:
        """Return the index in `folders` of the class that each group counts for, int32 (g,): the smallest one in it.

        Of each image, `groups` has the number of its group, 0…g − 1, int64 (n,).
        """
        sizes = np.bincount(self.labels, minlength=len(self.folders))
        sizes[len(self.classes) :] = len(self.labels) + 1  # no class at all
        order = np.lexsort((self.labels, sizes[self.labels], groups))
        return self.labels[order][np.unique(groups[order], return_index=True)[1]]

    @property
    def can_teach(self) -> bool:
        """Whether there are several classes; otherwise labels are not used, neither for learning nor for metrics."""
        return len(self.classes) > 1

    def labeled(self, rows: np.ndarray) -> np.ndarray:
        """Return those rows, of int64 (n,), whose images have a class."""
        return rows[self.labels[rows] < len(self.classes)]


def read_manifest(path: Path) -> Manifest:
    """Read the manifest, a CSV file with the fields of `ImageRecord`."""
    rows = read_table(path, ImageRecord._fields)
    return Manifest([ImageRecord(key, sys.intern(label), sha256, int(w), int(h)) for key, label, sha256, w, h in rows])


def read_splits(path: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """Read the manifest rows of each split, int64 (n,), ascending.

    Raises:
        UserError: the file lists other images than the manifest.
    """
    rows = list(read_table(path, SPLIT_COLUMNS))
    if [key for key, _ in rows] != manifest.keys:
        raise UserError(f"{path} does not list the images of the manifest: run `dvc repro`")
    splits = np.array([split for _, split in rows])
    return {split: np.flatnonzero(splits == split) for split in SPLIT_NAMES}
