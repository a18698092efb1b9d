"""How probably a label is wrong, by a classifier that did not learn from the image, and a model of wrong labels."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

_SHRINKAGE = 0.3  # of the covariance to a multiple of the identity
_MIN_EXAMPLES = 4  # of a class, in the other folds, without which its labels are not judged
_TEMPERATURES = np.geomspace(0.5, 50, 24)
_ROUNDS = 60  # of expectation maximization
_ROWS_PER_BLOCK = 1024
_PRIOR_CORRECT, _PRIOR_WRONG = 50, 0.5  # images that count as judged before any is: wrong labels are rare


class Judgement(NamedTuple):
    """What speaks against the labels of n images.

    Attributes:
        judged: whether the label could be judged, bool (n,).
        wrong: probability that the label is wrong, 0 where it is not judged, float64 (n,).
        suggested: class index that is most likely instead, int64 (n,).
        noise: share of wrong labels in all that were judged.
    """

    judged: np.ndarray
    wrong: np.ndarray
    suggested: np.ndarray
    noise: float


def judge_labels(
    components: np.ndarray,
    labels: np.ndarray,
    fold_of: np.ndarray,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Judgement:
    """Judges each label by what was learned from the other folds.

    A linear discriminant with a shrunken covariance gives each image probabilities of the classes. They are softened by
    a temperature, and a label is taken for drawn from them, or, with a small probability, from all other classes alike;
    both numbers are those of the highest likelihood (mislabeling as in Lawrence & Schölkopf, "Estimating a kernel
    Fisher discriminant in the presence of label noise", ICML 2001). So classes that look alike explain a label that
    looks wrong, and in a set without wrong labels the noise is estimated as nearly none.

    Args:
        components: of the features, float32 (n, d).
        labels: class indices, int (n,).
        fold_of: int64 (n,); images that are copies of each other share a fold.
        progress: wraps the iteration over the folds.
    """
    folds, classes = np.unique(fold_of), labels.max(initial=0) + 1
    learned = np.array([np.bincount(labels[fold_of != fold], minlength=classes) for fold in folds])
    has_examples = learned.reshape(-1, classes).min(axis=0, initial=len(labels)) >= _MIN_EXAMPLES
    judged = has_examples[labels] & (has_examples.sum() > 1)
    right, suggested = np.ones((len(labels), len(_TEMPERATURES))), labels.astype(np.int64)
    for fold in progress(folds) if judged.any() else ():
        train, held_out = (np.flatnonzero(judged & chosen) for chosen in (fold_of != fold, fold_of == fold))
        if len(held_out):
            right[held_out], suggested[held_out] = _judge_fold(components, labels, train, held_out)
    wrong, noise = np.zeros(len(labels)), 0.0
    if judged.any():
        wrong[judged], noise = _probability_wrong(right[judged], int(has_examples.sum()))
        wrong[suggested == labels] = 0
    return Judgement(judged, wrong, suggested, noise)


def draw_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Gives each row a fold, int64 (n,), 0…folds − 1: each class spread evenly, each group in one of them.

    Args:
        labels: class indices, int (n,).
        groups: of which the rows must not be parted, int (n,).
        folds: how many.
        seed: of the draw.
    """
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(first))
    drawn = drawn[np.argsort(labels[first[drawn]], kind="stable")]
    fold_of_group = np.empty(len(first), np.int64)
    fold_of_group[drawn] = np.arange(len(first)) % folds
    return fold_of_group[number]


def _judge_fold(
    components: np.ndarray, labels: np.ndarray, train: np.ndarray, held_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What images that were not learned from seem to be.

    Args:
        components: of all images, float32 (n, d).
        labels: class indices, int (n,).
        train: rows to learn from, int64 (m,).
        held_out: rows to judge, int64 (h,).

    Returns:
        The probability of each label at each temperature, float64 (h, T), and the most probable class, int64 (h,).
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    classes = np.unique(labels[train])
    uniform = np.full(len(classes), 1 / len(classes))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=uniform)
    model.fit(components[train], labels[train])
    right, best = [], []
    for start in range(0, len(held_out), _ROWS_PER_BLOCK):
        rows = held_out[start : start + _ROWS_PER_BLOCK]
        scores = np.maximum(model.predict_log_proba(components[rows]), -1e4)
        right.append(_softened(scores, np.searchsorted(classes, labels[rows])))
        best.append(classes[scores.argmax(axis=1)])
    return np.concatenate(right), np.concatenate(best)


def _softened(log_probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The probability of the given class at each temperature, float64 (n, T), from logarithms, float64 (n, C)."""
    from scipy.special import logsumexp

    rows, softened = np.arange(len(given)), (log_probabilities / temperature for temperature in _TEMPERATURES)
    return np.stack([np.exp(each[rows, given] - logsumexp(each, axis=1)) for each in softened], axis=1)


def _probability_wrong(right: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """Fits temperature and noise, and gives the probability that each label is wrong, and the noise.

    Args:
        right: the probability of each label at each temperature, float64 (n, T).
        classes: that were told apart.
    """
    best = (-np.inf, np.zeros(len(right)), 0.0)
    for column in right.T:
        other = (1 - column) / (classes - 1)
        noise = 0.01
        for _ in range(_ROUNDS):
            wrong = noise * other / (noise * other + (1 - noise) * column + 1e-300)
            noise = (wrong.sum() + _PRIOR_WRONG) / (len(right) + _PRIOR_CORRECT)
        likelihood = np.log(noise * other + (1 - noise) * column + 1e-300).sum()
        if likelihood > best[0]:
            best = (likelihood, wrong, noise)
    return best[1], float(best[2])
