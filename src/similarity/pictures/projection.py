"""A map of all images in the plane: similar ones near each other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from io import StringIO

import numpy as np

from similarity.vectors import COSINE_DECIMALS, normalize, rank

_ITERATIONS = 500  # after the 1000 of scikit-learn, neighbors in the plane are hardly more similar
_ITERATIONS_PER_ROUND = 50  # of scikit-learn, which reports that often
_NEAREST_LANDMARKS = 5
_LEAST_DISTANCE = 10**-COSINE_DECIMALS
_VALUES_PER_BLOCK = 1 << 20


def project(
    embeddings: np.ndarray,
    landmarks: int,
    perplexity: float,
    seed: int,
    progress: Callable[[range], Iterable[int]] = iter,
    layout_progress: Callable[[range], Iterable[int]] = iter,
) -> np.ndarray:
    """Places every row in the plane, to the same bits whatever the number of threads.

    Some rows, the landmarks, are laid out by t-SNE (van der Maaten & Hinton, JMLR 2008), which takes seconds for
    thousands of rows and hours for a million. Every other row goes to the mean of the landmarks nearest to it, weighted
    by 1 / (1 − cosine)² (Shepard, ACM 1968). Rows of the same direction share a point, and so do all rows of zeros.

    Args:
        embeddings: float32 (n, d); rows need not have length 1.
        landmarks: how many rows t-SNE lays out; all where there are no more.
        perplexity: roughly how many neighbors of a landmark t-SNE keeps near; lowered where landmarks are few.
        seed: of the choice of landmarks, and of t-SNE.
        progress: wraps the iteration over blocks of the other rows, after t-SNE.
        layout_progress: wraps the rounds of t-SNE.

    Returns:
        float32 (n, 2), in the unit square: one axis fills it, the other, on the same scale, is centered.
    """
    from threadpoolctl import threadpool_limits

    chosen = choose_landmarks(embeddings, landmarks, seed)
    directions, copies = np.unique(_directions(embeddings[chosen]), axis=0, return_inverse=True)
    layout = _lay_out(directions, perplexity, seed, layout_progress)
    points = np.empty((len(embeddings), 2), np.float32)
    points[chosen] = layout[copies]
    others = np.setdiff1d(np.arange(len(embeddings)), chosen)
    block = max(1, _VALUES_PER_BLOCK // max(directions.shape))
    with threadpool_limits(limits=1):
        for start in progress(range(0, len(others), block)):
            rows = others[start : start + block]
            points[rows] = _place(_directions(embeddings[rows]), directions, layout)
    return _fit_square(points)


def choose_landmarks(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws rows of float32 (n, d), and adds the first row of zeros, if any: no other row can stand for it.

    Returns:
        Row numbers, int64 (m,), ascending, min(count, n) or one more.
    """
    drawn = np.random.default_rng(seed).permutation(len(embeddings))[:count]
    return np.union1d(drawn, np.flatnonzero(~embeddings.any(axis=1))[:1])


def _directions(embeddings: np.ndarray) -> np.ndarray:
    """Unit vectors, float32 (n, d + 1), of rows, (n, d): those of zeros get one of their own, with cosine 0 to all."""
    units = normalize(embeddings).round(COSINE_DECIMALS)
    return np.column_stack([units, ~units.any(axis=1)]).astype(np.float32)


class _Rounds(StringIO):
    """Goes on by a round with each that scikit-learn reports: it has no callback, but writes a line."""

    def __init__(self, rounds: Iterator[int]) -> None:
        super().__init__()
        self._rounds = rounds

    def write(self, text: str) -> int:
        for _ in range(text.count(": error = ")):
            next(self._rounds, None)
        return len(text)


def _lay_out(
    directions: np.ndarray, perplexity: float, seed: int, progress: Callable[[range], Iterable[int]]
) -> np.ndarray:
    """Places different unit vectors, float32 (m, d), by t-SNE; float32 (m, 2)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # knows only libraries that are loaded already, so it comes second

    if len(directions) == 1:
        return np.zeros((1, 2), np.float32)
    feasible = max(1, min(perplexity, (len(directions) - 1) / 3))
    # Euclidean distances order unit vectors as the cosine does. Threads would add up in any order, and t-SNE turns the
    # smallest difference into another map.
    layout = TSNE(perplexity=feasible, max_iter=_ITERATIONS, init="pca", random_state=seed, verbose=2)
    rounds = iter(progress(range(_ITERATIONS // _ITERATIONS_PER_ROUND)))
    with threadpool_limits(limits=1), redirect_stdout(_Rounds(rounds)):
        points = layout.fit_transform(directions)
    deque(rounds, maxlen=0)  # it may have come to its end before
    return points


def _place(directions: np.ndarray, landmarks: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """Places unit vectors among landmarks.

    Args:
        directions: unit vectors, float32 (b, d).
        landmarks: unit vectors, float32 (m, d).
        layout: the landmarks' places, float32 (m, 2).

    Returns:
        float32 (b, 2).
    """
    similarities = directions @ landmarks.T
    nearest = rank(similarities, min(_NEAREST_LANDMARKS, len(landmarks)))
    return place_beside(np.take_along_axis(similarities, nearest, axis=1).astype(np.float64), layout[nearest])


def place_beside(cosines: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Places rows that came later at the weighted mean of those that they are most similar to, as `project` does.

    Args:
        cosines: to some others, float64 (b, k).
        places: of these others, float32 (b, k, 2).

    Returns:
        float32 (b, 2).
    """
    weights = np.maximum(1 - cosines, _LEAST_DISTANCE) ** -2
    return np.einsum("bk,bkd->bd", weights / weights.sum(axis=1, keepdims=True), places).astype(np.float32)


def _fit_square(points: np.ndarray) -> np.ndarray:
    """Moves and scales points, float32 (n, 2), into the unit square, both axes by the same factor."""
    lowest, extents = points.min(axis=0), np.ptp(points, axis=0)
    scale = extents.max() or 1
    return (points - lowest) / scale + (1 - extents / scale) / 2
