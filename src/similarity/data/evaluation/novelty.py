"""Novelty: an image is new if even its nearest gallery image, compared by backbone features, is too far away."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

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
        queries = project(features, self.columns, self.kernel)
        return nearest_distances(queries, np.zeros(len(queries)), self.points, np.ones(len(self.points)))


def project(features: np.ndarray, columns: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Map some columns of features, float32 (n, D), to the space in which novelty is measured, float32 (n, d)."""
    blocks = (features[block][:, columns] for block in _blocks(len(features)))
    return np.concatenate([multiply_rows(normalize(block), kernel) for block in blocks])


def fit_novelty(
    features: np.ndarray, columns: np.ndarray, groups: np.ndarray, accepted: float, seed: int
) -> tuple[Novelty, np.ndarray]:
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

    Returns:
        Also the distance of each image to the nearest one of another group, float64 (m,); if all share one, of any.
    """
    normal = np.random.default_rng(seed).standard_normal((len(columns), _DIMENSIONS))
    kernel = (normal / np.sqrt(_DIMENSIONS)).astype(np.float32)
    points = project(features, columns, kernel)
    groups = groups if len(np.unique(groups)) > 1 else np.arange(len(groups))
    distances = nearest_distances(points, groups, points, groups)
    return Novelty(columns, kernel, points, novelty_limit(distances, accepted)), distances


def novelty_limit(distances: np.ndarray, accepted: float) -> float:
    """Find the distance within which the share `accepted` of the finite distances, float64 (n,), lies.

    It is never quite 0, so that an image is similar to itself whatever batch its features are computed in.
    """
    finite = distances[np.isfinite(distances)]
    return max(_LEAST_LIMIT, float(np.quantile(finite, accepted, method="higher")) if len(finite) else 0)


def nearest_distances(
    queries: np.ndarray, query_groups: np.ndarray, points: np.ndarray, point_groups: np.ndarray
) -> np.ndarray:
    """Measure the distance from each query, float32 (n, d), to the nearest point, of (m, d), of another group.

    It is infinite, in float64 (n,), for a query whose group has all points.
    """
    squares, distances = np.square(points).sum(axis=1), np.empty(len(queries))
    for block in _blocks(len(queries)):
        scores = (-2 * queries[block]) @ points.T  # will be the squared distances without the query's own square
        scores += squares
        scores[query_groups[block, None] == point_groups] = np.inf
        nearest = scores.argmin(axis=1)
        # Computed from the differences: products of float32 leave nothing of a small distance.
        exact = np.linalg.norm((queries[block] - points[nearest]).astype(np.float64), axis=1)
        distances[block] = np.where(np.isinf(scores[np.arange(len(nearest)), nearest]), np.inf, exact)
    return distances


def refused_shares_by_class(novelty: Novelty, labels: np.ndarray) -> np.ndarray:
    """Measure which share of each class would be refused if the class were not in the gallery: float64 (C,).

    The novelty was fitted to images of all classes, and labels are those of its points, int (m,). A single class cannot
    be compared; its share is 0.
    """
    distances = nearest_distances(novelty.points, labels, novelty.points, labels)
    refused = np.isfinite(distances) & (distances > novelty.limit)
    return np.bincount(labels, refused) / np.bincount(labels)


def save_novelty(novelty: Novelty, path: Path) -> None:
    """Write a ``.npz`` file."""
    write_arrays(path, vars(novelty))


def load_novelty(path: Path) -> Novelty:
    """Read a file that `save_novelty` wrote."""
    with np.load(path) as arrays:
        return Novelty(arrays["columns"], arrays["kernel"], arrays["points"], float(arrays["limit"]))


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + _ROWS_PER_BLOCK) for start in range(0, count, _ROWS_PER_BLOCK)]


def draw_foreign(kind: str, number: int, size: int, seed: int) -> np.ndarray:
    """Draw an image, of one of the `KINDS`, that shows nothing a data set is about; each number gives another one.

    The same arguments give the same RGB pixels, uint8 (size, size, 3), of a size of at least 16.
    """
    return KINDS[kind](np.random.default_rng([seed, list(KINDS).index(kind), number]), size)


def _checkerboard(rng: np.random.Generator, size: int) -> np.ndarray:
    cells = np.arange(size) // max(1, int(size * rng.uniform(0.05, 0.3)))
    return np.where(((cells[:, None] + cells) % 2)[..., None], *_colors(rng, 2)).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    position = np.arange(size) / (size - 1) - 0.5
    along = (np.cos(angle) * position[:, None] + np.sin(angle) * position)[..., None] / np.sqrt(2) + 0.5
    first, second = _colors(rng, 2)
    return (first * (1 - along) + second * along).astype(np.uint8)


def _noise(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def _plain(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.broadcast_to(_colors(rng, 1)[0], (size, size, 3)).astype(np.uint8)


def _colors(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 256, (count, 3))


_DRAWINGS = (_checkerboard, _clouds, _gradient, _noise, _plain)
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {each.__name__[1:]: each for each in _DRAWINGS}
