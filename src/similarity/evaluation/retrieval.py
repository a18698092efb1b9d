"""How good a ranking is when images of the query's class are wanted."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from similarity.evaluation.likeness import Prepare
from similarity.vectors import normalize, rank, row_blocks

MAX_QUERIES = 10_000  # of more test images, a sample with every class in it
_SIMILARITIES_PER_BLOCK = 1 << 23
_BLOCKS_TOGETHER = 16


class Scores(NamedTuple):
    """The scores of each query, float64 (n,) each.

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
    """The scores of all queries, and the up to ten gallery images nearest to each, best first.

    Attributes:
        scores: of n queries.
        nearest: rows of the nearest images, int64 (n, 10).
        cosines: their cosines to the query, float32 (n, 10).
    """

    scores: Scores
    nearest: np.ndarray
    cosines: np.ndarray


def sample_queries(rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows, each class in proportion to its size and with one row at least.

    Args:
        rows: rows to draw from, int64 (n,), ascending.
        labels: the class index of each, int (n,).
        count: how many to draw; all are given if there are no more, and one of each class if there are more classes.
        seed: seeds the draw; a larger `count` adds to what a smaller one drew.

    Returns:
        The rows drawn, int64, ascending.
    """
    drawn = np.random.default_rng(seed).permutation(len(rows))
    by_class = drawn[np.argsort(labels[drawn], kind="stable")]
    sizes = np.unique(labels, return_counts=True)[1]
    drawn_before = np.concatenate([np.arange(size) / size for size in sizes])  # share of a row's class
    chosen = by_class[np.argsort(drawn_before, kind="stable")[: max(count, len(sizes))]]
    return np.sort(rows[chosen])


def evaluate_retrieval(
    vectors: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    gallery: np.ndarray,
    prepare: Prepare = np.asarray,
    progress: Callable[[range], Iterable[int]] = iter,
) -> Evaluation:
    """Rank a gallery by cosine for each query, and score the rankings.

    Args:
        vectors: embeddings or descriptors of all images, (n, …); may be mapped from a file.
        labels: class indices, int (n,); each query's class must occur in the gallery.
        queries: rows of the queries, int64 (q,).
        gallery: rows of the gallery, int64 (g,).
        prepare: applied to vectors before they are compared.
        progress: wraps the iteration over blocks of queries.
    """
    gallery_labels = labels[gallery]
    class_sizes = np.bincount(gallery_labels, minlength=labels.max() + 1)
    block = max(1, _SIMILARITIES_PER_BLOCK // len(gallery))
    compared = _compare(vectors, queries, gallery, prepare, block)
    parts = []
    for start, similarities in zip(progress(range(0, len(queries), block)), compared, strict=True):
        wanted = labels[queries[start : start + block]]
        ranked = rank(similarities, min(len(gallery), max(10, class_sizes[wanted].max())))
        scores = score(gallery_labels[ranked] == wanted[:, None], class_sizes[wanted])
        top = ranked[:, :10]
        parts.append((*scores, gallery[top], np.take_along_axis(similarities, top, axis=1)))
    *values, nearest, cosines = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Evaluation(Scores(*values), nearest, cosines)


def _compare(
    vectors: np.ndarray, queries: np.ndarray, gallery: np.ndarray, prepare: Prepare, block: int
) -> Iterator[np.ndarray]:
    """Give the cosines between `block` queries at a time and the gallery, float32 (b, g).

    The gallery, which may be too large to keep, is read once for several blocks.
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
    """Score rankings.

    Args:
        relevant: whether the image at each rank has the query's class, bool (n, m), best first.
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
    """Average over all queries, by the names used in the metrics files."""
    return {name: float(values.mean()) for name, values in scores._asdict().items()}
