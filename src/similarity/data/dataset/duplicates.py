"""Duplicate images, with the same bytes or nearly the same pixels: finding, choosing, grouping and listing pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.data.dataset.manifest import Manifest
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


def identical_images(contents: np.ndarray) -> Pairs:
    """Pair each image with the first one of the same content; these are given as numbers, int64 (n,)."""
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[inverse] != np.arange(len(contents)))
    return Pairs(first[inverse][later], later, np.ones(len(later)))


def near_duplicates(thumbnails: np.ndarray, min_correlation: float) -> Pairs:
    """Find pairs of images whose thumbnails correlate, identical ones included.

    Candidates are each image's ten nearest in the principal components, so of a group of more than eleven images not
    all pairs are given; rotated and mirrored images are not found. Thumbnails are uint8 (n, size, size, 3), of at least
    two images, and may be mapped from a file.

    Patterns have length 1 or 0, so their squared distance is 2 − 2 · correlation, and components are never further
    apart than patterns.
    """
    components = _principal_components(thumbnails)
    nearest, _ = nearest_neighbors(components, _CANDIDATES)
    furthest, found = np.sqrt(2 - 2 * min_correlation) + _ROUNDING, list[np.ndarray]()
    for start in range(0, len(components), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        distances = np.linalg.norm(components[rows, None] - components[nearest[rows]], axis=2)
        near, places = np.nonzero(distances <= furthest)
        found.append(np.sort([start + near, nearest[rows][near, places]], axis=0))
    ends = np.unique(np.concatenate(found, axis=1), axis=1)
    correlations = np.empty(ends.shape[1], np.float32)
    for start in range(0, len(correlations), _ROWS_PER_BLOCK):
        rows = slice(start, start + _ROWS_PER_BLOCK)
        first, second = (contrast_pattern(thumbnails[each]) for each in ends[:, rows])
        correlations[rows] = np.einsum("pd,pd->p", first, second)
    kept = correlations >= min_correlation
    return Pairs(ends[0, kept], ends[1, kept], correlations[kept])


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
    labels, owners = manifest.labels, manifest.owners(group_rows(len(manifest.labels), identical, near))
    scarce = np.bincount(owners, minlength=len(manifest.folders)) < least
    apart = scarce[labels[near.first]] | scarce[labels[near.second]]
    return group_rows(len(labels), identical, Pairs(*(each[~apart] for each in near)))


def write_duplicates(path: Path, manifest: Manifest, identical: Pairs, near: Pairs) -> None:
    """Write pairs as CSV, identical ones first; see `_COLUMNS`."""
    rows = (
        (manifest.keys[second], manifest.keys[first], kind, f"{correlation:.6f}")
        for kind, pairs in zip(_KINDS, (identical, near), strict=True)
        for first, second, correlation in zip(*pairs, strict=True)
    )
    write_table(path, _COLUMNS, rows)


def read_duplicates(path: Path, manifest: Manifest) -> tuple[Pairs, Pairs]:
    """Read what `write_duplicates` wrote: the identical and the near pairs.

    Raises:
        UserError: the file names an image that is not in the manifest.
    """
    row_of, rows = {key: row for row, key in enumerate(manifest.keys)}, list(read_table(path, _COLUMNS))
    try:
        first, second = (np.array([row_of[row[end]] for row in rows], np.int64) for end in (1, 0))
    except KeyError as error:
        raise UserError(f"{path} does not fit the manifest ({error}): run `dvc repro`") from error
    pairs = Pairs(first, second, np.array([float(correlation) for *_, correlation in rows]))
    kinds = np.array([kind for _, _, kind, _ in rows], str)
    identical, near = (Pairs(*(each[kinds == kind] for each in pairs)) for kind in _KINDS)
    return identical, near
