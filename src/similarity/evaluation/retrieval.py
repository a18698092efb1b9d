"""How good a ranking is when images of the query's class are what was looked for."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from similarity.evaluation.likeness import Prepare
from similarity.vectors import normalize, rank, row_blocks

_SIMILARITIES_PER_BLOCK = 1 << 23
_BLOCKS_TOGETHER = 16

MAX_QUERIES = 10_000  # of more, a sample, with each class in it


class Scores(NamedTuple):
    """What was measured for each query, float64 (n,) each.

    Attributes:
        p_at_1: 1 if the most similar gallery image has the query's class, else 0.
        p_at_10: share of the query's class among the min(10, R) most similar, where the gallery holds R images of the
            class: a perfect ranking scores 1 for a class of any size.
        map_at_r: precision averaged over the ranks, up to the class's size R, that hold the query's class; in full
            "mean average precision at R" (Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020).
    """

    p_at_1: np.ndarray
    p_at_10: np.ndarray
    map_at_r: np.ndarray


class Evaluation(NamedTuple):
    """Scores of all queries, and the rows of the up to 10 gallery images nearest to each, int64 (n, 10), best first,
    with their cosines, float32 (n, 10).
    """

    scores: Scores
    nearest: np.ndarray
    cosines: np.ndarray


def sample_queries(rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws rows, each class in proportion to its size and with one row at least.

    Args:
        rows: to draw from, int64 (n,), ascending.
        labels: the class index of each of them, int (n,).
        count: how many to draw; all are given where there are no more, and one of each class where it is less.
        seed: of the draw; a larger `count` adds to what a smaller one drew.

    Returns:
        The rows drawn, int64, ascending.
    """
    drawn = np.random.default_rng(seed).permutation(len(rows))
    by_class = drawn[np.argsort(labels[drawn], kind="stable")]
    sizes = np.unique(labels, return_counts=True)[1]
    shares = np.concatenate([np.arange(size) / size for size in sizes])  # of its class that was drawn before a row
    chosen = by_class[np.argsort(shares, kind="stable")[: max(count, len(sizes))]]
    return np.sort(rows[chosen])


def evaluate_retrieval(
    vectors: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    gallery: np.ndarray,
    progress: Callable[[range], Iterable[int]] = iter,
    prepare: Prepare = np.asarray,
) -> Evaluation:
    """Ranks a gallery by cosine for each query and scores the rankings.

    Args:
        vectors: embeddings or descriptors of all images, (n, …); may be mapped from a file.
        labels: class indices, int (n,); each query's class must occur in the gallery.
        queries: rows of the queries.
        gallery: rows of the gallery.
        progress: wraps the iteration over blocks of queries.
        prepare: what is done to vectors before they are compared.
    """
    gallery_labels = labels[gallery]
    class_sizes = np.bincount(gallery_labels, minlength=labels.max() + 1)
    block = max(1, _SIMILARITIES_PER_BLOCK // len(gallery))
    compared = _compare(vectors, queries, gallery, prepare, block)
    parts = []
    for start, similarities in zip(progress(range(0, len(queries), block)), compared, strict=True):
        rows = queries[start : start + block]
        relevant_counts = class_sizes[labels[rows]]
        ranked = rank(similarities, min(len(gallery), max(10, relevant_counts.max())))
        scores = score(gallery_labels[ranked] == labels[rows, None], relevant_counts)
        top = ranked[:, :10]
        parts.append((scores, gallery[top], np.take_along_axis(similarities, top, axis=1)))
    blocks, nearest, cosines = zip(*parts, strict=True)
    merged = Scores(*(np.concatenate(values) for values in zip(*blocks, strict=True)))
    return Evaluation(merged, np.concatenate(nearest), np.concatenate(cosines))


def _compare(
    vectors: np.ndarray, queries: np.ndarray, gallery: np.ndarray, prepare: Prepare, block: int
) -> Iterator[np.ndarray]:
    """Gives the cosines of `block` queries at a time to the gallery, float32 (b, g).

    They are computed for several blocks together, since the gallery, which may be too large for that, is not kept.
    """
    together = _BLOCKS_TOGETHER * block
    for first in range(0, len(queries), together):
        units = normalize(prepare(vectors[queries[first : first + together]]))
        similarities, end = np.empty((len(units), len(gallery)), np.float32), 0
        for candidates in row_blocks(vectors, gallery):
            start, end = end, end + len(candidates)
            similarities[:, start:end] = units @ normalize(prepare(candidates)).T
        yield from (similarities[start : start + block] for start in range(0, len(units), block))


def score(relevant: np.ndarray, relevant_counts: np.ndarray) -> Scores:
    """Scores rankings.

    Args:
        relevant: whether the image at each rank is of the query's class, bool (n, m), best first.
        relevant_counts: how many images of the query's class there are, R, int (n,); m ≥ R.
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = np.cumsum(relevant, axis=1) / ranks
    within_r = relevant & (ranks <= relevant_counts[:, None])
    return Scores(
        relevant[:, 0].astype(float),
        precision[np.arange(len(relevant)), np.minimum(10, relevant_counts) - 1],
        (precision * within_r).sum(axis=1) / relevant_counts,
    )


def mean_scores(scores: Scores) -> dict[str, float]:
    """The means over all queries, by the names that the metrics files use."""
    return {name: float(values.mean()) for name, values in scores._asdict().items()}
