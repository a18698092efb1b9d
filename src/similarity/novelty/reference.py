"""Whether anything like an image is indexed: its distance, in the features, to the nearest indexed one."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from similarity.files import write_arrays
from similarity.vectors import multiply_rows, normalize

_DIMENSIONS = 256
_ROWS_PER_BLOCK = 1024
_MIN_DISTANCE = 1e-3  # what features that are computed twice, in other batches, differ by at most


@dataclass(frozen=True)
class Reference:
    """Where the indexed images are, or a sample of them, and how far from them an image may be.

    Attributes:
        columns: of the features in which distances are measured, int64 (c,), ascending.
        kernel: float32 (c, d), from these features, at length 1, to the space of the points.
        points: the indexed images there, float32 (m, d).
        max_distance: to the nearest point, up to which an image counts as similar to something.
    """

    columns: np.ndarray
    kernel: np.ndarray
    points: np.ndarray
    max_distance: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """The distance of each row of features, float32 (n, D), to the nearest point, float64 (n,)."""
        blocks = (self.project(features[start : start + _ROWS_PER_BLOCK]) for start in _starts(features))
        return np.concatenate([_nearest(block, self.points, self._squares) for block in blocks])

    def project(self, features: np.ndarray) -> np.ndarray:
        """Maps features, float32 (n, D), to the space of the points, float32 (n, d)."""
        blocks = (features[start : start + _ROWS_PER_BLOCK][:, self.columns] for start in _starts(features))
        return np.concatenate([multiply_rows(normalize(block), self.kernel) for block in blocks])

    @cached_property
    def _squares(self) -> np.ndarray:
        return _squared_lengths(self.points)


def fit_reference(
    features: np.ndarray, columns: np.ndarray, groups: np.ndarray, accepted: float, seed: int
) -> Reference:
    """Finds the distance within which nearly all indexed images have another one.

    An image with no neighbor near is unlike all that is known; the features are compared at length 1 (Sun, Ming, Zhu &
    Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022), and projected at random to 256
    dimensions, which preserves distances (Johnson & Lindenstrauss, 1984). Principal components do not: what is foreign
    differs in directions in which the indexed images hardly vary.

    Args:
        features: of the indexed images, or of a sample of them, float32 (m, D).
        columns: which of the features distances are measured in, int64 (c,), ascending.
        groups: images that are duplicates share a number, int64 (m,): the distance to a duplicate says nothing about
            that to a new image.
        accepted: share of the images that are to be similar to another one, 0…1.
        seed: of the projection.
    """
    projection = np.random.default_rng(seed).standard_normal((len(columns), _DIMENSIONS)) / np.sqrt(_DIMENSIONS)
    kernel = projection.astype(np.float32)
    reference = Reference(columns, kernel, np.empty((0, _DIMENSIONS), np.float32), 0)
    points = reference.project(features)
    return replace(reference, points=points, max_distance=calibrate(distances_to_others(points, groups), accepted))


def calibrate(distances: np.ndarray, accepted: float) -> float:
    """The distance within which the share `accepted` of some distances, float64 (n,), lies; infinite ones are left out.

    It is never quite 0, so that an image is similar to itself whatever batch its features are computed in.
    """
    finite = distances[np.isfinite(distances)]
    return max(_MIN_DISTANCE, float(np.quantile(finite, accepted, method="higher")) if len(finite) else 0)


def distances_to_others(points: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The distance of each point, float32 (m, d), to the nearest one of another group, float64 (m,).

    Args:
        points: float32 (m, d).
        groups: the number of each point's group, int (m,). If all are in one, each point counts as a group.

    Returns:
        Infinity for a point with no others.
    """
    if len(np.unique(groups)) == 1:
        groups = np.arange(len(points))
    return distances_across(points, groups, points, groups)


def distances_across(
    queries: np.ndarray, query_groups: np.ndarray, points: np.ndarray, point_groups: np.ndarray
) -> np.ndarray:
    """The distance of each query, float32 (n, d), to the nearest of the points, (m, d), that are not of its group.

    Returns:
        float64 (n,); infinity for a query whose group has all points.
    """
    squares, blocks = _squared_lengths(points), [slice(start, start + _ROWS_PER_BLOCK) for start in _starts(queries)]
    own = (query_groups[block, None] == point_groups for block in blocks)
    found = [_nearest(queries[block], points, squares, same) for block, same in zip(blocks, own, strict=True)]
    return np.concatenate(found)


def _nearest(
    queries: np.ndarray, points: np.ndarray, squares: np.ndarray, barred: np.ndarray | None = None
) -> np.ndarray:
    """The distance of each query to the nearest point that is not barred for it, float64 (n,); infinity without one."""
    scores = squares - 2 * (queries @ points.T)  # the squared distances, but for the query's own square
    if barred is not None:
        scores[barred] = np.inf
    nearest = scores.argmin(axis=1)
    # Computed from the differences: products of float32 leave nothing of a small distance.
    distances = np.linalg.norm((queries - points[nearest]).astype(np.float64), axis=1)
    return np.where(np.isinf(scores[np.arange(len(queries)), nearest]), np.inf, distances)


def _starts(rows: np.ndarray) -> range:
    return range(0, len(rows), _ROWS_PER_BLOCK)


def _squared_lengths(points: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", points, points)


def refused_shares_by_class(reference: Reference, labels: np.ndarray) -> np.ndarray:
    """The share of each class's points that would be too far if the class were not indexed, float64 (C,).

    Args:
        reference: of images of all classes.
        labels: the class index of each point, int (m,). With one class only, there is nothing to compare: its share
            is 0.
    """
    distances = distances_across(reference.points, labels, reference.points, labels)
    refused = np.isfinite(distances) & (distances > reference.max_distance)
    return np.bincount(labels, refused) / np.bincount(labels)


def area_under_roc(own: np.ndarray, foreign: np.ndarray) -> float:
    """The probability that a foreign image is further away than an own one, ties counting half; float64 (n,) each.

    It is the area under the curve of Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    own = np.sort(own)
    nearer = [np.searchsorted(own, foreign, side).mean() for side in ("left", "right")]
    return float(np.mean(nearer) / len(own))


def save_reference(reference: Reference, path: Path) -> None:
    """Writes a ``.npz`` file."""
    write_arrays(path, {field.name: getattr(reference, field.name) for field in fields(reference)})


def load_reference(path: Path) -> Reference:
    """Reads what `save_reference` wrote."""
    with np.load(path) as arrays:
        columns, kernel, points = (arrays[name] for name in ("columns", "kernel", "points"))
        return Reference(columns, kernel, points, float(arrays["max_distance"]))
