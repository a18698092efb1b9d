"""Classes that are held out in turn, to measure what to expect of kinds of images that have no label."""

from typing import NamedTuple

import numpy as np

from similarity.data.evaluation.retrieval import sample_queries

_MOST_ROWS = 2000  # images to learn from, and to search among, for each third of the classes
_SEED = 0


class Fold(NamedTuple):
    """A third of the classes that is held out, and the others; all as rows, int64 (n,)."""

    train: np.ndarray  # training images of the other classes
    valid: np.ndarray  # validation images of the other classes
    novel: np.ndarray  # images of the classes held out, which are searched
    queries: np.ndarray  # which of these, by their place in `novel`, are queries: test images with another of the class


def hold_out_classes(labels: np.ndarray, classes: int, splits: dict[str, np.ndarray]) -> list[Fold]:
    """Hold out each third of the classes, or each half of four or five; there are no folds of fewer classes.

    Folds without queries or without validation images, as the source may have given the splits, are left out.

    Args:
        labels: of all images, int (N,).
        classes: how many there are.
        splits: rows of the labeled images by split, int64 (n,).
    """

    def sample(rows: np.ndarray) -> np.ndarray:
        return sample_queries(rows, labels[rows], _MOST_ROWS, _SEED) if len(rows) else rows

    parts = min(3, classes // 2)
    if parts < 2:
        return []
    order, folds = np.random.default_rng(_SEED).permutation(classes), []
    for part in range(parts):
        is_novel = np.isin(labels, order[part::parts])
        train, valid = (sample(splits[name][~is_novel[splits[name]]]) for name in ("train", "valid"))
        novel = sample(np.flatnonzero(is_novel))
        has_others = np.bincount(labels[novel])[labels[novel]] > 1
        queries = np.flatnonzero(np.isin(novel, splits["test"]) & has_others)
        if len(queries) and len(valid):
            folds.append(Fold(train, valid, novel, queries))
    return folds
