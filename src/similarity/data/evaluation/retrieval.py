"""Which images are queries, and how well rankings find images of their class, or the original of an edited picture."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from similarity.data.parallel import ordered_map
from similarity.data.vectors import normalize, rank, row_blocks

SCORES = ("p_at_1", "p_at_10", "map_at_r")
MAX_QUERIES = 10_000  # of more test images, a sample with every class in it
_COMPARED_TOGETHER = 1 << 27  # similarities, for which the gallery is read once
_RANKED_TOGETHER = 1 << 20  # similarities: what is computed of them stays in the processor's cache
_ROUNDING = 1e-6  # of cosines that were computed in other blocks
_ROWS_PER_FOLD, _FOLDS_SEED = 2000, 0  # images to learn from, and to search among

Prepare = Callable[[np.ndarray], np.ndarray]
"""Maps vectors, (n, …), to those that are compared by cosine, float32 (n, d)."""


class Retrieval(NamedTuple):
    """What was found for each of n queries."""

    queries: np.ndarray  # their rows, int64 (n,)
    scores: dict[str, np.ndarray]  # float64 (n,) each, by the names in `SCORES`; see `score`
    nearest: np.ndarray  # rows of the up to ten nearest gallery images, int64 (n, 10), best first
    cosines: np.ndarray  # their cosines to the query, float32 (n, 10)


def sample_queries(rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw some rows, int64 (n,), of the classes in `labels`, int (n,), at random; see `take_proportionally`."""
    drawn = np.random.default_rng(seed).permutation(len(rows))
    return take_proportionally(rows[drawn], labels[drawn], count)


def take_proportionally(rows: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Take the first rows of each class, in proportion to its size, but one at least.

    Rows, int64 (n,), have the class indices `labels`, int (n,). Up to `count` are taken, or as many as there are
    classes, and returned in ascending order. A larger count adds to what a smaller one takes.
    """
    if not len(rows):
        return rows
    by_class, sizes = rows[np.argsort(labels, kind="stable")], np.unique(labels, return_counts=True)[1]
    shares_before = np.concatenate([np.arange(size) / size for size in sizes])
    return np.sort(by_class[np.argsort(shares_before, kind="stable")[: max(count, len(sizes))]])


class Fold(NamedTuple):
    """Classes held out, to measure what to expect of kinds of images without a label, as rows, int64 (n,)."""

    train: np.ndarray  # training images of the other classes
    valid: np.ndarray  # validation images of the other classes
    novel: np.ndarray  # images of the classes held out, which are searched
    queries: np.ndarray  # which of these, by their place in `novel`, are queries: test images with another of the class


def hold_out_classes(labels: np.ndarray, classes: int, splits: dict[str, np.ndarray]) -> list[Fold]:
    """Hold out each third of the classes, or each half of four or five; there are no folds of fewer classes.

    All images have a label, int (N,), and a split lists the rows of its labeled images, int64 (n,). Folds without
    queries or without validation images, as the source may have given the splits, are left out.
    """
    order, folds = np.random.default_rng(_FOLDS_SEED).permutation(classes), []
    parts = min(3, classes // 2)
    for part in range(parts if parts > 1 else 0):
        is_novel = np.isin(labels, order[part::parts])
        chosen = [rows[~is_novel[rows]] for rows in (splits["train"], splits["valid"])]
        train, valid, novel = (
            sample_queries(rows, labels[rows], _ROWS_PER_FOLD, _FOLDS_SEED)
            for rows in (*chosen, np.flatnonzero(is_novel))
        )
        has_others = np.bincount(labels[novel])[labels[novel]] > 1
        queries = np.flatnonzero(np.isin(novel, splits["test"]) & has_others)
        if len(queries) and len(valid):
            folds.append(Fold(train, valid, novel, queries))
    return folds


def evaluate_retrieval(
    vectors: np.ndarray, labels: np.ndarray, queries: np.ndarray, gallery: np.ndarray, prepare: Prepare = np.asarray
) -> Retrieval:
    """Rank a gallery by cosine for each query, which is not its own neighbor, and score the rankings.

    All images have vectors, (n, …), which may be mapped from a file, and a label, int (n,). Queries and gallery are
    rows, int64 (q,) and (g,); another image of each query's class must be in the gallery.
    """
    gallery_labels = labels[gallery]
    class_sizes = np.bincount(gallery_labels, minlength=labels.max() + 1)
    block = max(1, _RANKED_TOGETHER // len(gallery))

    def evaluate_block(start_and_similarities: tuple[int, np.ndarray]) -> tuple[np.ndarray, ...]:
        start, similarities = start_and_similarities
        rows = queries[start : start + block]
        own = gallery == rows[:, None]
        similarities[own] = -2  # below all cosines
        wanted = labels[rows]
        ranked = rank(similarities, min(len(gallery), max(10, class_sizes[wanted].max())))
        relevant = (gallery_labels[ranked] == wanted[:, None]) & (gallery[ranked] != rows[:, None])
        scores = score(relevant, class_sizes[wanted] - own.any(axis=1))
        top = ranked[:, :10]
        return *scores, gallery[top], np.take_along_axis(similarities, top, axis=1)

    compared = _compare(vectors, queries, gallery, prepare, block)
    blocks = zip(range(0, len(queries), block), compared, strict=True)
    *values, nearest, cosines = (
        np.concatenate(each) for each in zip(*ordered_map(evaluate_block, blocks, ahead=2), strict=True)
    )
    return Retrieval(queries, dict(zip(SCORES, values, strict=True)), nearest, cosines)


def _compare(
    vectors: np.ndarray, queries: np.ndarray, gallery: np.ndarray, prepare: Prepare, block: int
) -> Iterator[np.ndarray]:
    """Give the cosines between `block` queries at a time and the gallery, float32 (b, g)."""
    together = block * max(1, _COMPARED_TOGETHER // (block * len(gallery)))
    for first in range(0, len(queries), together):
        units = normalize(prepare(vectors[queries[first : first + together]]))
        similarities, end = np.empty((len(units), len(gallery)), np.float32), 0
        for candidates in row_blocks(vectors, gallery):
            start, end = end, end + len(candidates)
            np.matmul(units, normalize(prepare(candidates)).T, out=similarities[:, start:end])
        yield from (similarities[start : start + block] for start in range(0, len(units), block))


def score(relevant: np.ndarray, relevant_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score rankings, of which `relevant`, bool (n, m), has whether the image at each rank has the query's class.

    There are R images of the query's class, `relevant_counts`, int (n,); m ≥ R. The scores are, float64 (n,):

    p_at_1: 1 if the most similar gallery image has the query's class, else 0.
    p_at_10: share of the query's class among the min(10, R) most similar: 1 for a perfect ranking of any class.
    map_at_r: precision averaged over the ranks, up to R, that hold the query's class; in full "mean average precision
        at R" (Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020).
    """
    ranks = np.arange(1, relevant.shape[1] + 1)
    precision = np.cumsum(relevant, axis=1) / ranks
    within_r = relevant & (ranks <= relevant_counts[:, None])
    return (
        relevant[:, 0].astype(float),
        precision[np.arange(len(relevant)), np.minimum(10, relevant_counts) - 1],
        (precision * within_r).sum(axis=1) / relevant_counts,
    )


def means(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Average scores over the queries that have them; others are NaN."""
    return {name: float(np.nanmean(values)) for name, values in scores.items() if not np.isnan(values).all()}


def ranks_of_originals(
    queries: np.ndarray, originals: np.ndarray, gallery: np.ndarray, contents: np.ndarray, prepare: Prepare = np.asarray
) -> np.ndarray:
    """Find the rank, by cosine, of each edited picture's original: int64 (n,), 1 is the first.

    Vectors of edited pictures, (n, …), whose originals are rows of the gallery, int64 (n,), are compared with those of
    all indexed images, (m, …), which may be mapped from a file. Images of the same content have the same number in
    `contents`, int64 (m,): identical copies of the original do not push it back. Other images that are as near do, all
    of them: vectors that are the same for many images, or zeros, find none of these.
    """
    units = normalize(prepare(queries))
    own = (units * normalize(prepare(gallery[originals]))).sum(axis=1) - _ROUNDING
    ranks, end = np.ones(len(queries), np.int64), 0
    for block in row_blocks(gallery):
        start, end = end, end + len(block)
        is_other = contents[start:end, None] != contents[originals]
        ranks += ((normalize(prepare(block)) @ units.T >= own) & is_other).sum(axis=0)
    return ranks


def shares_found(ranks: np.ndarray) -> dict[str, float]:
    """Compute the shares of ranks, int (n,), that are 1 and at most 10, by the names used in the metrics files."""
    return {f"same_image_at_{count}": float((ranks <= count).mean()) for count in (1, 10)}
