"""Pairs of images that are alike and in different splits, which makes figures look better than they are."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.duplication.pairs import Pairs
from similarity.files import write_table


class Leak(NamedTuple):
    """A row of `data/leaks.csv`: two images, their splits, and how alike they are, as in `DuplicatePair`."""

    path: str
    split: str
    other: str
    other_split: str
    kind: str
    correlation: str


def find_leaks(pairs: Pairs, splits: Sequence[str]) -> Pairs:
    """Those pairs whose images are in different splits; `splits` has that of each image."""
    split_of = np.array(splits)
    parted = split_of[pairs.first] != split_of[pairs.second]
    return Pairs(*(each[parted] for each in pairs))


def write_leaks(path: Path, manifest: Manifest, splits: Sequence[str], leaks: Mapping[str, Pairs]) -> None:
    """Writes pairs as CSV, given by their kind; the second image of each comes first, as in `data/duplicates.csv`."""
    write_table(path, Leak._fields, _rows(manifest, splits, leaks))


def _rows(manifest: Manifest, splits: Sequence[str], leaks: Mapping[str, Pairs]) -> Iterable[Leak]:
    for kind, pairs in leaks.items():
        for first, second, correlation in zip(*(each.tolist() for each in pairs), strict=True):
            ends = manifest.keys[second], splits[second], manifest.keys[first], splits[first]
            yield Leak(*ends, kind, f"{correlation:.6f}")
