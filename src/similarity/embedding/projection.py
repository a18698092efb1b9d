"""A map of all images in the plane: similar ones near each other."""

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from similarity.data.parallel import ordered_map
from similarity.data.vectors import COSINE_DECIMALS, normalize, rank

_ITERATIONS = 500  # after the 1000 of scikit-learn, neighbors in the plane are hardly more similar
_NEAREST_LANDMARKS = 5
_LEAST_DISTANCE = 10**-COSINE_DECIMALS
_VALUES_PER_BLOCK = 1 << 20


def project(several: Sequence[np.ndarray], landmarks: int, perplexity: float, seed: int) -> Iterator[np.ndarray]:
    """Place the rows of several arrays, float32 (n, d), in the plane, with the same bits for any number of threads.

    Some rows, the landmarks, are laid out by t-SNE (van der Maaten & Hinton, JMLR 2008), which takes seconds for
    thousands of rows and hours for a million. The perplexity is roughly how many neighbors of a landmark stay near it.
    Every other row goes to the mean of the landmarks nearest to it, weighted by 1 / (1 − cosine)² (Shepard, ACM
    1968). Rows of the same direction share a point, and so do all rows of zeros.

    The places of an array, float32 (n, 2), are in the unit square: one axis fills it, the other is centered.
    """

    def place_all(embeddings: np.ndarray) -> np.ndarray:
        with threadpool_limits(limits=1):  # again, as some libraries keep a limit for each thread
            return _project(embeddings, choose_landmarks(embeddings, landmarks, seed), perplexity, seed)

    # Threads of a library would add up in any order, and t-SNE turns the smallest difference into another map.
    with threadpool_limits(limits=1):
        yield from ordered_map(place_all, several)


def choose_landmarks(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw `count` rows of float32 (n, d), and add the first one of zeros, if any: int64 (m,), ascending."""
    drawn = np.random.default_rng(seed).permutation(len(embeddings))[:count]
    return np.union1d(drawn, np.flatnonzero(~embeddings.any(axis=1))[:1])


def _project(embeddings: np.ndarray, chosen: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    others = np.setdiff1d(np.arange(len(embeddings)), chosen)
    directions, copies = np.unique(_directions(embeddings[chosen]), axis=0, return_inverse=True)
    points, layout = np.empty((len(embeddings), 2), np.float32), np.zeros((1, 2), np.float32)
    if len(directions) > 1:  # cosines as distances
        feasible = max(1, min(perplexity, (len(directions) - 1) / 3))
        t_sne = TSNE(perplexity=feasible, max_iter=_ITERATIONS, init="pca", random_state=seed)
        layout = t_sne.fit_transform(directions)
    points[chosen] = layout[copies]
    block = max(1, _VALUES_PER_BLOCK // max(directions.shape))
    for start in range(0, len(others), block):
        rows = others[start : start + block]
        points[rows] = _place(_directions(embeddings[rows]), directions, layout)
    lowest, extents = points.min(axis=0), np.ptp(points, axis=0)
    scale = extents.max() or 1
    return (points - lowest) / scale + (1 - extents / scale) / 2


def _directions(embeddings: np.ndarray) -> np.ndarray:
    """Scale rows, (n, d), to length 1, float32 (n, d + 1); zeros get a direction of their own, with cosine 0 to all."""
    units = normalize(embeddings).round(COSINE_DECIMALS)
    return np.column_stack([units, ~units.any(axis=1)]).astype(np.float32)


def _place(directions: np.ndarray, landmarks: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """Place unit vectors, float32 (b, d), among landmarks, float32 (m, d), laid out at float32 (m, 2): (b, 2)."""
    similarities = directions @ landmarks.T
    nearest = rank(similarities, min(_NEAREST_LANDMARKS, len(landmarks)))
    cosines = np.take_along_axis(similarities, nearest, axis=1).astype(np.float64)
    weights = np.maximum(1 - cosines, _LEAST_DISTANCE) ** -2
    return np.einsum("bk,bkd->bd", weights / weights.sum(axis=1, keepdims=True), layout[nearest])
