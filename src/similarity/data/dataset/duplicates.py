"""Duplicate images, with the same bytes or nearly the same pixels: finding, choosing, grouping and listing pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.dataset.manifest import ImageRecord, Manifest
from similarity.data.files import read_table, write_table
from similarity.data.images.pixels import contrast_pattern
from similarity.data.vectors import nearest_neighbors, row_blocks
from similarity.errors import UserError

_COMPONENTS = 32  # of the PCA in which candidates are searched
_SAMPLE = 1000  # images that the principal components are computed from: 20,000 find as many pairs in twice the time
_CANDIDATES = 10  # per image
_ROWS_PER_BLOCK = 4096
_ROUNDING = 1e-3  # of distances of components
_KINDS = ("identical", "near")
_COLUMNS = ("path", "other", "kind", "correlation")  # an image, one before it in the manifest, and how alike they are


class Pairs(NamedTuple):
    """Rows of images that are alike, int64 (p,) each, with `first` below `second`, and their correlation."""

    first: np.ndarray
    second: np.ndarray
    correlations: np.ndarray


def identical_images(records: Sequence[ImageRecord]) -> Pairs:
    """Pair each image that has the bytes of an earlier one with the first of these."""
    first: dict[str, int] = {}
    rows = enumerate(record.sha256 for record in records)
    found = [(first[digest], row) for row, digest in rows if first.setdefault(digest, row) != row]
    ends = np.array(found, np.int64).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1], np.ones(len(ends)))


def near_duplicates(thumbnails: np.ndarray, min_correlation: float) -> Pairs:
    """Find pairs of images whose thumbnails correlate, identical ones included.

    Candidates are each image's ten nearest in the principal components, so of a group of more than eleven images not
    all pairs are given; rotated and mirrored images are not found. Thumbnails are uint8 (n, size, size, 3), of at least
    two images, and may be mapped from a file.
    """
    components = _principal_components(thumbnails)
    nearest, _ = nearest_neighbors(components, _CANDIDATES)
    ends = _close_pairs(components, nearest, min_correlation)
    correlations = np.empty(len(ends), np.float32)
    for start in range(0, len(ends), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        first, second = (contrast_pattern(thumbnails[end]) for end in ends[rows].T)
        correlations[rows] = np.einsum("pd,pd->p", first, second)
    kept = correlations >= min_correlation
    return Pairs(ends[kept, 0], ends[kept, 1], correlations[kept])


def _principal_components(thumbnails: np.ndarray) -> np.ndarray:
    """Return the leading principal components of the contrast patterns, float32 (n, up to 32).

    Of many images, the directions are those of evenly chosen ones.
    """
    from sklearn.utils.extmath import randomized_svd

    sample = np.unique(np.linspace(0, len(thumbnails) - 1, min(len(thumbnails), _SAMPLE)).astype(int))
    patterns = contrast_pattern(thumbnails[sample])
    mean = patterns.mean(axis=0)
    axes = randomized_svd(patterns - mean, min(_COMPONENTS, *patterns.shape), random_state=0)[2].T
    return np.concatenate([contrast_pattern(block) @ axes - mean @ axes for block in row_blocks(thumbnails)])


def _close_pairs(components: np.ndarray, nearest: np.ndarray, min_correlation: float) -> np.ndarray:
    """Return the pairs of images and their candidates, int64 (n, m), that may correlate: int64 (p, 2), lower row first.

    Patterns have length 1 or 0, so their squared distance is 2 − 2 · correlation, and components are never further
    apart than patterns.
    """
    furthest = np.sqrt(2 - 2 * min_correlation) + _ROUNDING
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(components), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        distances = np.linalg.norm(components[rows, None] - components[nearest[rows]], axis=2)
        close, places = np.nonzero(distances <= furthest)
        others = nearest[rows][close, places]
        found.append(np.sort(np.stack([start + close, others], axis=1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def differing_pairs(pairs: Pairs, values: Sequence[object] | np.ndarray) -> Pairs:
    """Return those pairs whose images have different values, such as splits or contents; `values` has all images'."""
    each = np.asarray(values)
    return Pairs(*(end[each[pairs.first] != each[pairs.second]] for end in pairs))


def group_rows(count: int, *links: Pairs) -> np.ndarray:
    """Assign a group number to each row; pairs connect rows, directly or not: int64 (count,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.concatenate([pairs[end] for pairs in links]) for end in (0, 1))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def bounded_groups(manifest: Manifest, identical: Pairs, near: Pairs, least: int) -> np.ndarray:
    """Group identical images, and nearly identical ones unless a class would be left with fewer than `least` groups.

    A group counts for one class; see `Manifest.owners`. Return the number of each image's group, int64 (n,).
    """
    labels = manifest.labels
    groups = group_rows(len(labels), identical, near)
    scarce = np.bincount(manifest.owners(groups), minlength=len(manifest.folders)) < least
    apart = scarce[labels[near.first]] | scarce[labels[near.second]]
    if not apart.any():
        return groups
    return group_rows(len(labels), identical, Pairs(*(each[~apart] for each in near)))


def write_duplicates(path: Path, manifest: Manifest, identical: Pairs, near: Pairs) -> None:
    """Write pairs as CSV, identical ones first; see `_COLUMNS`."""
    rows = (
        (manifest.keys[second], manifest.keys[first], kind, f"{correlation:.6f}")
        for kind, pairs in zip(_KINDS, (identical, near), strict=True)
        for first, second, correlation in zip(*(each.tolist() for each in pairs), strict=True)
    )
    write_table(path, _COLUMNS, rows)


def read_duplicates(path: Path, manifest: Manifest) -> tuple[Pairs, Pairs]:
    """Read what `write_duplicates` wrote: the identical and the near pairs.

    Raises:
        UserError: the file names an image that is not in the manifest.
    """
    row_of = {key: row for row, key in enumerate(manifest.keys)}
    found: dict[str, list[tuple[int, int, float]]] = {kind: [] for kind in _KINDS}
    try:
        for key, other, kind, correlation in read_table(path, _COLUMNS):
            found[kind].append((row_of[other], row_of[key], float(correlation)))
    except KeyError as error:
        raise UserError(f"{path} does not fit the manifest ({error}): run `dvc repro`") from error
    columns = (np.reshape(found[kind], (-1, 3)).T for kind in _KINDS)
    identical, near = (
        Pairs(first.astype(np.int64), second.astype(np.int64), correlations) for first, second, correlations in columns
    )
    return identical, near
