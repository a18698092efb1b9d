"""Pairs of duplicate images, and the file that lists them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.dataset.manifest import Manifest
from similarity.errors import UserError
from similarity.files import read_table, write_table

IDENTICAL, NEAR = "identical", "near"


class DuplicatePair(NamedTuple):
    """A row of `data/scan/duplicates.csv`: an image, one before it in the manifest, and how alike they are.

    Attributes:
        kind: `IDENTICAL` bytes or `NEAR` duplicates.
        correlation: of the thumbnails, 1 for identical bytes.
    """

    path: str
    other: str
    kind: str
    correlation: str


class Pairs(NamedTuple):
    """Rows of images that are alike, int64 (p,) each, with `first` below `second`, and their correlation."""

    first: np.ndarray
    second: np.ndarray
    correlations: np.ndarray


def linked_to(rows: np.ndarray, count: int, *links: Pairs) -> np.ndarray:
    """Return which of `count` images are in a pair with one of some rows, int64 (n,): bool (count,)."""
    chosen, linked = np.zeros(count, bool), np.zeros(count, bool)
    chosen[rows] = True
    for pairs in links:
        linked[pairs.second[chosen[pairs.first]]] = True
        linked[pairs.first[chosen[pairs.second]]] = True
    return linked


def pairs_among(pairs: Pairs, rows: np.ndarray, count: int) -> Pairs:
    """Return the pairs within some rows of `count`, int64 (m,), ascending, and number their images as these."""
    place = np.full(count, -1, np.int64)
    place[rows] = np.arange(len(rows))
    among = (place[pairs.first] >= 0) & (place[pairs.second] >= 0)
    return Pairs(place[pairs.first[among]], place[pairs.second[among]], pairs.correlations[among])


def differing_pairs(pairs: Pairs, values: Sequence[object] | np.ndarray) -> Pairs:
    """Return those pairs whose images have different values, such as splits or contents; `values` has all images'."""
    each = np.asarray(values)
    return Pairs(*(end[each[pairs.first] != each[pairs.second]] for end in pairs))


def write_duplicates(path: Path, manifest: Manifest, identical: Pairs, near: Pairs) -> None:
    """Write pairs as CSV, identical ones first."""
    write_table(path, DuplicatePair._fields, [*_rows(manifest, IDENTICAL, identical), *_rows(manifest, NEAR, near)])


def _rows(manifest: Manifest, kind: str, pairs: Pairs) -> Iterable[DuplicatePair]:
    for first, second, value in zip(*(each.tolist() for each in pairs), strict=True):
        yield DuplicatePair(manifest.keys[second], manifest.keys[first], kind, f"{value:.6f}")


def read_duplicates(path: Path, manifest: Manifest) -> tuple[Pairs, Pairs]:
    """Read what `write_duplicates` wrote: the identical and the near pairs.

    Raises:
        UserError: the file names an image that is not in the manifest.
    """
    row_of = {key: row for row, key in enumerate(manifest.keys)}
    ends: dict[str, list[tuple[int, int]]] = {IDENTICAL: [], NEAR: []}
    correlations: dict[str, list[float]] = {IDENTICAL: [], NEAR: []}
    try:
        for pair in map(DuplicatePair._make, read_table(path, DuplicatePair._fields)):
            ends[pair.kind].append((row_of[pair.other], row_of[pair.path]))
            correlations[pair.kind].append(float(pair.correlation))
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} does not fit the manifest ({error}): run `dvc repro`") from error
    identical, near = (_pairs(ends[kind], correlations[kind]) for kind in (IDENTICAL, NEAR))
    return identical, near


def _pairs(ends: list[tuple[int, int]], correlations: list[float]) -> Pairs:
    rows = np.array(ends, np.int64).reshape(-1, 2)
    return Pairs(rows[:, 0], rows[:, 1], np.array(correlations))
