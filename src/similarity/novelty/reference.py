"""Whether anything like an image is indexed: its distance, in the features, to the nearest indexed one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from similarity.vectors import standardization

_DIMENSIONS = 256
_MAX_POINTS = 20_000
_CANDIDATES = 8  # nearest points of each, among which is one that is no duplicate of it
_ROWS_PER_BLOCK = 4096


class Reference(NamedTuple):
    """Where the indexed images are, or a sample of them, and how far from them an image may be.

    Attributes:
        kernel: float32 (D, d), from features to the space in which distances are measured.
        center: float32 (d,), where the mean of the indexed images is mapped to.
        points: the indexed images there, float32 (m, d).
        rows: which of the indexed images they are, int64 (m,), ascending.
        max_distance: to the nearest point, up to which an image counts as similar to something.
        origin: names what the reference was made from: the backbone and the images.
    """

    kernel: np.ndarray
    center: np.ndarray
    points: np.ndarray
    rows: np.ndarray
    max_distance: float
    origin: str

    def distances(self, features: np.ndarray) -> np.ndarray:
        """The Euclidean distance of each row of features, float32 (n, D), to the nearest point, float64 (n,)."""
        return distances_to(self.project(features), self.points)

    def project(self, features: np.ndarray) -> np.ndarray:
        """Maps features, float32 (n, D), to where distances are measured, float32 (n, d)."""
        blocks = (features[start : start + _ROWS_PER_BLOCK] for start in range(0, len(features), _ROWS_PER_BLOCK))
        return np.concatenate([block @ self.kernel - self.center for block in blocks])


def fit_reference(features: np.ndarray, groups: np.ndarray, accepted: float, origin: str, seed: int) -> Reference:
    """Finds the distance within which nearly all indexed images have another one.

    An image with no neighbor near is unlike all that is known (Sun, Ming, Zhu & Li, "Out-of-Distribution Detection with
    Deep Nearest Neighbors", ICML 2022). The features are standardized, and projected at random to 256 dimensions, which
    preserves distances (Johnson & Lindenstrauss, 1984); principal components do not: what is foreign differs in
    directions in which the indexed images hardly vary.

    Args:
        features: of the indexed images, float32 (n, D); of many, a sample is kept.
        groups: images that are duplicates share a number, int64 (n,): the distance to a duplicate says nothing about
            that to a new image.
        accepted: share of the indexed images that are to be similar to another one, 0…1.
        origin: what is kept as `Reference.origin`.
        seed: of the sample and the projection.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(features))[:_MAX_POINTS])
    projection = rng.standard_normal((features.shape[1], _DIMENSIONS)) / np.sqrt(_DIMENSIONS)
    mean, scale = standardization(features)
    kernel = (projection / scale[:, None]).astype(np.float32)
    reference = Reference(kernel, mean @ kernel, np.empty((0, _DIMENSIONS), np.float32), rows, 0, origin)
    reference = reference._replace(points=reference.project(np.asarray(features[rows])))
    distances = distances_to_others(reference, groups)
    return reference._replace(max_distance=float(np.quantile(distances, accepted, method="higher")))


def distances_to(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The Euclidean distance of each query, float32 (n, d), to the nearest of some points, (m, d): float64 (n,)."""
    import faiss

    return np.sqrt(np.maximum(faiss.knn(queries, points, 1)[0][:, 0].astype(np.float64), 0))


def distances_to_others(reference: Reference, groups: np.ndarray) -> np.ndarray:
    """The distance of each point of a reference to the nearest other one that is no duplicate of it, float64 (m,).

    Where the nearest few are all duplicates, the farthest of them stands for it.
    """
    import faiss

    points, own = reference.points, groups[reference.rows]
    squares, nearest = faiss.knn(points, points, min(_CANDIDATES, len(points)))
    is_other = own[nearest] != own[:, None]
    is_other[~is_other.any(axis=1), -1] = True
    return np.sqrt(np.maximum(squares[np.arange(len(points)), is_other.argmax(axis=1)].astype(np.float64), 0))


def refused_shares_by_class(reference: Reference, labels: np.ndarray) -> np.ndarray:
    """The share of each class's points that would be too far if the class were not indexed, float64 (C,).

    Args:
        reference: of images of at least two classes.
        labels: class indices of all indexed images, int (n,).
    """
    own = labels[reference.rows]
    shares = np.zeros(int(labels.max()) + 1)
    for label in np.unique(own):
        held_out = own == label
        if not held_out.all():
            distances = distances_to(reference.points[held_out], reference.points[~held_out])
            shares[label] = (distances > reference.max_distance).mean()
    return shares


def save_reference(reference: Reference, path: Path) -> None:
    """Writes a ``.npz`` file."""
    with path.open("wb") as file:
        np.savez(file, **reference._asdict())


def load_reference(path: Path) -> Reference:
    """Reads what `save_reference` wrote."""
    with np.load(path) as arrays:
        kernel, center, points, rows = (arrays[name] for name in Reference._fields[:4])
        return Reference(kernel, center, points, rows, float(arrays["max_distance"]), str(arrays["origin"]))
