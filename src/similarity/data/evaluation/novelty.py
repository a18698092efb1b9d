"""Novelty: an image is new if even its nearest gallery image, compared by backbone features, is too far away."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

from similarity.data.files import write_arrays
from similarity.data.vectors import multiply_rows, normalize

_DIMENSIONS = 256
_ROWS_PER_BLOCK = 1024
_LEAST_LIMIT = 1e-3  # features that are computed again, in another batch, differ by less


@dataclass(frozen=True)
class Novelty:
    """A sample of the gallery, and the distance to it beyond which an image is new."""

    columns: np.ndarray  # the features in which distances are measured, int64 (c,), ascending
    kernel: np.ndarray  # float32 (c, d), maps these features, scaled to length 1, to the space of the points
    points: np.ndarray  # the sampled gallery images in that space, float32 (m, d)
    limit: float  # the novelty limit: an image further than this from the nearest point resembles nothing

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Measure the distance from each row of features, float32 (n, D), to the nearest point: float64 (n,)."""
        queries = self.project(features)
        return np.concatenate([_nearest(queries[block], self.points) for block in _blocks(len(queries))])

    def project(self, features: np.ndarray) -> np.ndarray:
        """Map features, float32 (n, D), to the space of the points, float32 (n, d)."""
        blocks = (features[block][:, self.columns] for block in _blocks(len(features)))
        return np.concatenate([multiply_rows(normalize(block), self.kernel) for block in blocks])


def fit_novelty(features: np.ndarray, columns: np.ndarray, groups: np.ndarray, accepted: float, seed: int) -> Novelty:
    """Set the novelty limit so that the share `accepted` of the gallery has another image within it.

    Features are compared at length 1 (Sun, Ming, Zhu & Li, "Out-of-Distribution Detection with Deep Nearest
    Neighbors", ICML 2022) after a random projection to 256 dimensions, which preserves distances (Johnson &
    Lindenstrauss, 1984). Principal components would not do: unrelated images differ in directions in which the gallery
    hardly varies.

    Args:
        features: of the gallery, or of a sample of it, float32 (m, D).
        columns: the features in which distances are measured, int64 (c,), ascending.
        groups: a number that duplicates share, int64 (m,): the distance to a duplicate says nothing about new images.
        accepted: 0…1.
        seed: seeds the projection.
    """
    projection = np.random.default_rng(seed).standard_normal((len(columns), _DIMENSIONS)) / np.sqrt(_DIMENSIONS)
    novelty = Novelty(columns, projection.astype(np.float32), np.empty((0, _DIMENSIONS), np.float32), 0)
    points = novelty.project(features)
    return replace(novelty, points=points, limit=novelty_limit(distances_to_others(points, groups), accepted))


def novelty_limit(distances: np.ndarray, accepted: float) -> float:
    """Find the distance within which the share `accepted` of the finite distances, float64 (n,), lies.

    It is never quite 0, so that an image is similar to itself whatever batch its features are computed in.
    """
    finite = distances[np.isfinite(distances)]
    return max(_LEAST_LIMIT, float(np.quantile(finite, accepted, method="higher")) if len(finite) else 0)


def distances_to_others(points: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Measure the distance from each point to the nearest one of another group; if all share one, of any other."""
    if len(np.unique(groups)) == 1:
        groups = np.arange(len(points))
    return distances_across(points, groups, points, groups)


def distances_across(
    queries: np.ndarray, query_groups: np.ndarray, points: np.ndarray, point_groups: np.ndarray
) -> np.ndarray:
    """Measure the distance from each query, float32 (n, d), to the nearest point, of (m, d), of another group.

    It is infinite, in float64 (n,), for a query whose group has all points.
    """
    blocks = ((queries[block], query_groups[block, None] == point_groups) for block in _blocks(len(queries)))
    return np.concatenate([_nearest(block, points, barred) for block, barred in blocks])


def refused_shares_by_class(novelty: Novelty, labels: np.ndarray) -> np.ndarray:
    """Measure which share of each class would be refused if the class were not in the gallery: float64 (C,).

    The novelty was fitted to images of all classes, and labels are those of its points, int (m,). A single class cannot
    be compared; its share is 0.
    """
    distances = distances_across(novelty.points, labels, novelty.points, labels)
    refused = np.isfinite(distances) & (distances > novelty.limit)
    return np.bincount(labels, refused) / np.bincount(labels)


def save_novelty(novelty: Novelty, path: Path) -> None:
    """Write a ``.npz`` file."""
    write_arrays(path, {field.name: getattr(novelty, field.name) for field in fields(novelty)})


def load_novelty(path: Path) -> Novelty:
    """Read a file that `save_novelty` wrote."""
    with np.load(path) as arrays:
        return Novelty(arrays["columns"], arrays["kernel"], arrays["points"], float(arrays["limit"]))


def _nearest(queries: np.ndarray, points: np.ndarray, barred: np.ndarray | Literal[False] = False) -> np.ndarray:
    """Measure the distance to the nearest point that is not barred for a query: float64 (n,), infinity without one."""
    # Squared distances without the query's own square.
    scores = np.where(barred, np.inf, np.square(points).sum(axis=1) - 2 * (queries @ points.T))
    nearest = scores.argmin(axis=1)
    # Computed from the differences: products of float32 leave nothing of a small distance.
    distances = np.linalg.norm((queries - points[nearest]).astype(np.float64), axis=1)
    return np.where(np.isinf(scores[np.arange(len(queries)), nearest]), np.inf, distances)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, count, _ROWS_PER_BLOCK)]
