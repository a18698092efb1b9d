"""How probably each label is wrong, by a classifier that did not see the image and a model of wrong labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from similarity.findings.finding import Finding

FOLDS = 5  # parts of the images; the labels of each are judged by a classifier trained on the others
_SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity
_TEMPERATURES = np.geomspace(0.5, 50, 24)
_ROUNDS = 60  # of expectation maximization
_ROWS_PER_BLOCK = 1024
_PRIOR_CORRECT, _PRIOR_WRONG = 50, 0.5  # images that count as judged before any is: wrong labels are rare
_TIMES_SMALLER = 10  # than the median class


class Judgement(NamedTuple):
    """What speaks against the labels of n images.

    Attributes:
        judged: whether the label could be judged, bool (n,).
        wrong: probability that the label is wrong, 0 where it is not judged, float64 (n,).
        suggested: class index that is most likely instead, int64 (n,).
        noise: share of wrong labels among those that were judged.
    """

    judged: np.ndarray
    wrong: np.ndarray
    suggested: np.ndarray
    noise: float


def draw_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Assign each row to a fold, 0…FOLDS − 1, with classes spread evenly and groups kept together: int64 (n,).

    One image stands for each group. (`StratifiedGroupKFold` needs minutes for a million groups, and fails if every
    class is small.) Classes with fewer groups than folds get −1: their labels cannot be judged. Labels are class
    indices, int (n,); copies of an image share a group, int (n,).
    """
    from sklearn.model_selection import StratifiedKFold

    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    owner, folds = labels[first], np.full(len(first), -1, np.int64)
    spread = np.flatnonzero(np.bincount(owner)[owner] >= FOLDS)
    if len(spread):
        splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(spread, owner[spread])
        for fold, (_, held_out) in enumerate(splits):
            folds[spread[held_out]] = fold
    return folds[group]


def judge_labels(
    components: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Judgement:
    """Judge each label by a classifier trained on the other folds.

    A linear discriminant with a shrunken covariance gives each image probabilities of the classes. They are softened by
    a temperature, and a label is taken as drawn from them or, with a small probability, from all other classes alike;
    both numbers maximize the likelihood (mislabeling as in Lawrence & Schölkopf, "Estimating a kernel Fisher
    discriminant in the presence of label noise", ICML 2001). So classes that look alike explain a label that looks
    wrong, and in a clean data set the estimated noise is nearly 0.

    Args:
        components: principal components of the features, float32 (n, d).
        labels: class indices, int (n,).
        folds: from `draw_folds`, int64 (n,).
        progress: wraps the iteration over the folds.
    """
    classes = len(np.unique(labels[folds >= 0]))
    judged = (folds >= 0) & (classes > 1)
    wrong, suggested, noise = np.zeros(len(labels)), labels.astype(np.int64), 0.0
    if judged.any():
        right = np.ones((len(labels), len(_TEMPERATURES)))
        for fold in progress(range(FOLDS)):
            train, held_out = np.flatnonzero(judged & (folds != fold)), np.flatnonzero(judged & (folds == fold))
            if len(held_out):
                right[held_out], suggested[held_out] = _judge_fold(components, labels, train, held_out)
        wrong[judged], noise = _probability_wrong(right[judged], classes)
        wrong[suggested == labels] = 0
    return Judgement(judged, wrong, suggested, noise)


def small_classes(classes: Sequence[str], labels: np.ndarray, judged: np.ndarray) -> Iterator[Finding]:
    """Find classes without a judged label, and classes much smaller than the median one, if there are several.

    Labels are those of images that have one, int (n,), with whether each could be judged, bool (n,).
    """
    if len(classes) < 2:
        return
    sizes, with_judged = np.bincount(labels, minlength=len(classes)), np.isin(range(len(classes)), labels[judged])
    usual = float(np.median(sizes))
    for label in np.argsort(sizes, kind="stable").tolist():
        size = int(sizes[label])
        if not with_judged[label]:
            reason = f"{size} images, too few or too much alike to judge their labels"
            yield Finding("class_not_judged", "", classes[label], str(size), reason=reason)
        elif size * _TIMES_SMALLER <= usual:
            reason = f"{size} images, where the median class has {usual:g}"
            yield Finding("class_imbalance", "", classes[label], str(size), reason=reason)


def _judge_fold(
    components: np.ndarray, labels: np.ndarray, train: np.ndarray, held_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Classify the held-out rows, int64 (h,), by a discriminant fitted to the training rows, int64 (m,).

    Give the probability of each label at each temperature, float64 (h, T), and the most probable class, int64 (h,).
    """
    from scipy.special import logsumexp
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    classes = np.unique(labels[train])
    uniform = np.full(len(classes), 1 / len(classes))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=uniform)
    model.fit(components[train], labels[train])
    right, best = np.empty((len(held_out), len(_TEMPERATURES))), np.empty(len(held_out), np.int64)
    for start in range(0, len(held_out), _ROWS_PER_BLOCK):
        block = slice(start, start + _ROWS_PER_BLOCK)
        rows = held_out[block]
        scores = np.maximum(model.predict_log_proba(components[rows]), -1e4)
        given = np.arange(len(rows)), np.searchsorted(classes, labels[rows])
        softened = (scores / temperature for temperature in _TEMPERATURES)
        right[block] = np.stack([np.exp(each[given] - logsumexp(each, axis=1)) for each in softened], axis=1)
        best[block] = classes[scores.argmax(axis=1)]
    return right, best


def _probability_wrong(right: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """Fit temperature and noise to the probability of each label at each temperature, float64 (n, T).

    Give the probability that each label is wrong, float64 (n,), and the noise.
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
