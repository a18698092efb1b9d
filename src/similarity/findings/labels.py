"""How probably each label is wrong, by a classifier that did not see the image and a model of wrong labels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np

from similarity.data.vectors import normalize, rank, row_blocks, standardization
from similarity.findings.finding import Finding

FOLDS = 5  # parts of the images; the labels of each are judged by a classifier trained on the others
_SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity
_TEMPERATURES = np.geomspace(0.5, 50, 24)
_ROUNDS = 60  # of expectation maximization
_ROWS_PER_BLOCK = 1024
_PRIOR_CORRECT, _PRIOR_WRONG = 50, 0.5  # images that count as judged before any is: wrong labels are rare
_TIMES_SMALLER = 10  # than the median class
_MOST = 0.99  # the highest probability: no classifier is surer than its labels
DOUBTFUL, _WRONG = 0.2, 0.8  # probability of a wrong label, from which it is called so
_MAJORITY = 2  # more neighbors have the suggested label than the given one, if that is called wrong
VOTERS = 10  # nearest images that are asked
_ASKED_PER_BLOCK = 256


class Judgement(NamedTuple):
    """What speaks against the labels of n images.

    Attributes:
        judged: whether the label could be judged, bool (n,).
        wrong: probability that the label is wrong, 0 where it is not judged, float64 (n,).
        suggested: class index that is most likely instead, int64 (n,).
    """

    judged: np.ndarray
    wrong: np.ndarray
    suggested: np.ndarray


def draw_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Assign each row to a fold, 0…FOLDS − 1, with classes spread evenly and groups kept together: int64 (n,).

    One image stands for each group: `StratifiedGroupKFold` needs minutes for a million groups. Classes with fewer
    groups than folds get −1: their labels cannot be judged. Copies of an image share a group, int (n,).
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

    Components are the features' principal ones, float32 (n, d), labels class indices, int (n,); folds are from
    `draw_folds`, int64 (n,), and `progress` wraps the iteration over them.
    """
    classes = len(np.unique(labels[folds >= 0]))
    judged = (folds >= 0) & (classes > 1)
    wrong, suggested = np.zeros(len(labels)), labels.astype(np.int64)
    if judged.any():
        right = np.ones((len(labels), len(_TEMPERATURES)))
        for fold in progress(range(FOLDS)):
            train, held_out = np.flatnonzero(judged & (folds != fold)), np.flatnonzero(judged & (folds == fold))
            if len(held_out):
                right[held_out], suggested[held_out] = _judge_fold(components, labels, train, held_out)
        wrong[judged] = np.minimum(_probability_wrong(right[judged], classes), _MOST)
        wrong[suggested == labels] = 0
    return Judgement(judged, wrong, suggested)


def ask_neighbors(
    features: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    doubted: np.ndarray,
    suggested: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Ask the ten images nearest to each doubted one by their standardized features, of which no label has a part.

    Args:
        features: of all images, float32 (N, D); may be mapped from a file.
        rows: the n images that have a class, int64 (n,), with their class indices, `labels`, int (n,).
        groups: int (n,), the same for copies, which do not speak for each other.
        doubted: which of the n, int64 (m,), with another class for each, `suggested`, int64 (m,).

    Returns:
        How many have the label of the image, int64 (m,), and how many the suggested one, int64 (m,).
    """
    mean, scale = standardization(features, rows)
    own, other = np.zeros(len(doubted), np.int64), np.zeros(len(doubted), np.int64)
    for start in range(0, len(doubted), _ASKED_PER_BLOCK):
        block = slice(start, start + _ASKED_PER_BLOCK)
        asked = doubted[block]
        units = normalize((features[rows[asked]] - mean) / scale)
        blocks = (units @ normalize((each - mean) / scale).T for each in row_blocks(features, rows))
        cosines = np.concatenate(list(blocks), axis=1)
        cosines[groups == groups[asked, None]] = -2  # below all others
        voters = labels[rank(cosines, min(VOTERS, len(rows)))]
        own[block] = (voters == labels[asked, None]).sum(axis=1)
        other[block] = (voters == suggested[block, None]).sum(axis=1)
    return own, other


def weigh(probability: float, own: int, suggested: int) -> Literal["wrong_label", "doubtful_label"] | None:
    """Weigh both witnesses: the probability that a label is wrong, and the neighbors with it and the suggested one.

    A label is called wrong if both say so clearly, and doubtful if one of them is less sure.
    """
    if probability >= _WRONG and suggested >= own + _MAJORITY:
        return "wrong_label"
    if suggested > own or (suggested == own and probability >= _WRONG):
        return "doubtful_label" if probability >= DOUBTFUL else None
    return None


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

    Return the probability of each label at each temperature, float64 (h, T), and the most probable class, int64 (h,).
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


def _probability_wrong(right: np.ndarray, classes: int) -> np.ndarray:
    """Fit temperature and noise to the probability of each label at each temperature, float64 (n, T).

    Return the probability that each label is wrong, float64 (n,).
    """
    most, found = -np.inf, np.zeros(len(right))
    for column in right.T:
        other = (1 - column) / (classes - 1)
        noise = 0.01
        for _ in range(_ROUNDS):
            wrong = noise * other / (noise * other + (1 - noise) * column + 1e-300)
            noise = (wrong.sum() + _PRIOR_WRONG) / (len(right) + _PRIOR_CORRECT)
        likelihood = np.log(noise * other + (1 - noise) * column + 1e-300).sum()
        if likelihood > most:
            most, found = likelihood, wrong
    return found
