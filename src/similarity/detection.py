"""Measures that speak against images and labels: outliers, odd sizes, near duplicates, and labels that look wrong."""

from collections.abc import Sequence

import numpy as np

from similarity.data.dataset.duplicates import Pairs
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.vectors import Progress, normalize, rank, row_blocks, standardization

FOLDS = 5  # parts of the images; the labels of each are judged by a classifier trained on the others
DOUBTFUL, _WRONG, _SURE = 0.2, 0.55, 0.8  # probability that a label is wrong
_LEAST_WRONG = 0.01  # of all labels: of right ones, on photographs, up to 0.4 % look wrong
VOTERS = 10  # nearest images that are asked
_ASKED_PER_BLOCK = 256
_JUDGED_PER_BLOCK = 1024
_SHRINKAGE = 0.3  # of the covariance towards a multiple of the identity
_TEMPERATURES = np.geomspace(0.5, 50, 24)
_ROUNDS = 60  # of expectation maximization
_PRIOR_CORRECT, _PRIOR_WRONG = 50, 0.5  # images that count as judged before any is: wrong labels are rare
_MOST = 0.99  # the highest probability: no classifier is surer than its labels
_FITTED_ROWS, _SAMPLED_NEIGHBORS, _TYPICAL_ROWS = 10_000, 20_000, 5000  # sizes of samples, which bound memory and time
_NEIGHBORS = 10
_FENCE = 2  # interquartile ranges above the upper quartile
_ODD_FACTOR = 4  # from which a size or shape is odd
_MAX_RATIO = 0.65  # of the distance between near duplicates to that between an image and its nearest other
_ALMOST_EQUAL = 0.995  # correlation of thumbnails


def principal_components(features: np.ndarray, count: int, seed: int, progress: Progress = iter) -> np.ndarray:
    """Project features, float32 (n, D), on their main directions: float32 (n, min(count, n, D)).

    The directions are those of a sample of at most 10,000 rows, so memory does not grow with the data set; random
    projections find 256 three times as fast as `PCA(svd_solver="covariance_eigh")` does. Features are standardized
    here, and may be mapped from a file; `progress` wraps the iteration over their blocks.
    """
    from sklearn.utils.extmath import randomized_svd

    mean, scale = standardization(features)
    sample = (features[_sample(len(features), _FITTED_ROWS, seed)] - mean) / scale
    axes = randomized_svd(sample, min(count, *sample.shape), random_state=seed)[2].T
    return np.concatenate([((block - mean) / scale) @ axes for block in row_blocks(features, progress=progress)])


def find_outliers(components: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the images that are far from all others, by their components, float32 (n, d).

    The distance of an image is the mean one to its ten nearest of a sample. Outliers are above Q3 + 2 · (Q3 − Q1) on a
    logarithmic scale; the fences of Tukey, "Exploratory Data Analysis", 1977, are at 1.5 (outside) and 3 (far out).

    Returns:
        Their rows, the furthest first, int64 (m,), and their distances, float64 (m,).
    """
    import faiss

    sample = _sample(len(components), _SAMPLED_NEIGHBORS, seed)
    count = min(_NEIGHBORS, len(sample) - 1)
    squares = faiss.knn(components, components[sample], count + 1)[0].astype(np.float64)
    nearest = np.sqrt(np.maximum(squares, 0))
    is_sampled = np.isin(np.arange(len(components)), sample)  # its nearest one is itself
    distances = np.where(is_sampled, nearest[:, 1:].mean(axis=1), nearest[:, :-1].mean(axis=1))
    logs = np.log(np.maximum(distances, np.finfo(np.float32).eps))
    low, high = np.quantile(logs, (0.25, 0.75))
    rows = np.flatnonzero(logs > high + _FENCE * (high - low))
    rows = rows[np.argsort(-distances[rows], kind="stable")]
    return rows, distances[rows]


def odd_sizes(records: Sequence[ImageRecord]) -> list[str]:
    """Describe what is odd about the size of each image, "" if nothing."""
    width, height = np.array([(each.width, each.height) for each in records], float).T
    side, ratio = np.sqrt(width * height), width / height
    small = side < np.median(side) / _ODD_FACTOR
    shaped = np.abs(np.log(ratio / np.median(ratio))) > np.log(_ODD_FACTOR)
    smaller, other = "much smaller than most", "of another shape than most"
    reasons = np.select([small & shaped, small, shaped], [f"{smaller}, and {other}", smaller, other], "")
    pairs = zip(records, reasons.tolist(), strict=True)
    return [f"{each.width} × {each.height} pixels, {reason}" if reason else "" for each, reason in pairs]


def confirm(near: Pairs, features: np.ndarray, seed: int) -> Pairs:
    """Keep pairs that are almost equal, and pairs whose features are much nearer than neighbors usually are.

    Thumbnails of different things correlate where all have one background, or where most of an image is smooth.
    Features alone, float32 (n, D), would part copies of fine textures that were compressed again.
    """
    import faiss

    mean, scale = standardization(features)
    sample = (features[_sample(len(features), _TYPICAL_ROWS, seed)] - mean) / scale
    squares = faiss.knn(sample, sample, min(2, len(sample)))[0][:, -1]
    usual = float(np.sqrt(np.maximum(np.median(squares), 0)))
    ends = zip(row_blocks(features, near.first), row_blocks(features, near.second), strict=True)
    distances = [np.linalg.norm((first - second) / scale, axis=1) for first, second in ends]
    is_near = np.concatenate([np.empty(0), *distances]) <= _MAX_RATIO * usual
    kept = is_near | (near.correlations >= _ALMOST_EQUAL)
    return Pairs(*(values[kept] for values in near))


def draw_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Assign each row to a fold, 0…FOLDS − 1, with classes spread evenly and groups kept together: int64 (n,).

    One image stands for each group: `StratifiedGroupKFold` needs minutes for a million groups. Classes with fewer
    groups than folds get −1, and so does a class that is the only one with enough: their labels cannot be judged.
    Copies of an image share a group, int (n,).
    """
    from sklearn.model_selection import StratifiedKFold

    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    owner, folds = labels[first], np.full(len(first), -1, np.int64)
    spread = np.flatnonzero(np.bincount(owner)[owner] >= FOLDS)
    if len(np.unique(owner[spread])) > 1:
        splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(spread, owner[spread])
        for fold, (_, held_out) in enumerate(splits):
            folds[spread[held_out]] = fold
    return folds[group]


def judge_labels(
    components: np.ndarray, labels: np.ndarray, folds: np.ndarray, progress: Progress = iter
) -> tuple[np.ndarray, np.ndarray]:
    """Judge each label by a classifier trained on the other folds.

    A linear discriminant with a shrunken covariance gives each image probabilities of the classes. They are softened by
    a temperature, and a label is taken as drawn from them or, with a small probability, from all other classes alike;
    both numbers maximize the likelihood (mislabeling as in Lawrence & Schölkopf, "Estimating a kernel Fisher
    discriminant in the presence of label noise", ICML 2001). So classes that look alike explain a label that looks
    wrong, and in a clean data set the estimated noise is nearly 0.

    Components are the features' principal ones, float32 (n, d), labels class indices, int (n,); folds are from
    `draw_folds`, int64 (n,), and `progress` wraps the iteration over them.

    Returns:
        The probability that each label is wrong, 0 where it cannot be judged, float64 (n,), and the index of the class
        that is most likely instead, int64 (n,).
    """
    judged = folds >= 0
    wrong, suggested = np.zeros(len(labels)), labels.astype(np.int64)
    if judged.any():
        right = np.ones((len(labels), len(_TEMPERATURES)))
        for fold in progress(range(FOLDS)):
            train, held_out = judged & (folds != fold), folds == fold
            right[held_out], suggested[held_out] = _classify(components, labels, train, held_out)
        wrong[judged] = np.minimum(_probability_wrong(right[judged], len(np.unique(labels[judged]))), _MOST)
        wrong[suggested == labels] = 0
    return wrong, suggested


def nearest_labels(
    features: np.ndarray, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Find the labels of the ten images nearest by their standardized features, of which no label has a part.

    Args:
        features: of all images, float32 (N, D); may be mapped from a file.
        rows: the n images that have a class, int64 (n,), with their class indices, `labels`, int (n,).
        groups: int (n,), the same for copies, which do not speak for each other.
        asked: those of the n whose neighbors are wanted, int64 (m,).

    Returns:
        Class indices, int (m, min(10, n)).
    """
    mean, scale = standardization(features, rows)
    found = np.empty((len(asked), min(VOTERS, len(rows))), labels.dtype)
    for start in range(0, len(asked), _ASKED_PER_BLOCK):
        block = asked[start : start + _ASKED_PER_BLOCK]
        units = normalize((features[rows[block]] - mean) / scale)
        blocks = [units @ normalize((each - mean) / scale).T for each in row_blocks(features, rows)]
        cosines = np.concatenate(blocks, axis=1)
        cosines[groups == groups[block, None]] = -2  # below all others
        found[start : start + _ASKED_PER_BLOCK] = labels[rank(cosines, found.shape[1])]
    return found


def weigh(wrong: np.ndarray, own: np.ndarray, suggested: np.ndarray, judged: int) -> np.ndarray:
    """Weigh both witnesses against m labels: the probabilities that they are wrong, and the votes of neighbors.

    A label is called wrong if both say so, and doubtful if one of them is less sure. Where fewer than 1 % of the labels
    look wrong, most of those that do are right ones of odd pictures, so they are called doubtful.

    Args:
        wrong: float64 (m,), at least `DOUBTFUL`.
        own: how many neighbors have the label, int (m,).
        suggested: how many have the suggested one, int (m,).
        judged: how many labels were judged in all.

    Returns:
        ``wrong_label``, ``doubtful_label`` or nothing, str (m,).
    """
    is_wrong = (wrong >= _WRONG) & (suggested > own)
    is_doubtful = (suggested > own) | ((suggested == own) & (wrong >= _SURE))
    if is_wrong.sum() < _LEAST_WRONG * judged:
        is_wrong[:] = False
    return np.select([is_wrong, is_doubtful], ["wrong_label", "doubtful_label"], "")


def _classify(
    components: np.ndarray, labels: np.ndarray, train: np.ndarray, held_out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Classify the held-out rows by a discriminant fitted to the training rows, both bool (n,).

    Return the probability of each label at each temperature, float64 (h, T), and the most probable class, int64 (h,).
    """
    from scipy.special import log_softmax
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    classes = np.unique(labels[train])
    uniform = np.full(len(classes), 1 / len(classes))
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE, priors=uniform)
    model.fit(components[train], labels[train])
    rows, right, best = np.flatnonzero(held_out), [], []
    for start in range(0, len(rows), _JUDGED_PER_BLOCK):
        block = rows[start : start + _JUDGED_PER_BLOCK]
        scores = np.maximum(model.predict_log_proba(components[block]), -1e4)
        given = np.arange(len(block)), np.searchsorted(classes, labels[block])
        softened = (log_softmax(scores / temperature, axis=1) for temperature in _TEMPERATURES)
        right.append(np.stack([np.exp(each[given]) for each in softened], axis=1))
        best.append(classes[scores.argmax(axis=1)])
    return np.concatenate(right), np.concatenate(best)


def _probability_wrong(right: np.ndarray, classes: int) -> np.ndarray:
    """Fit temperature and noise to the probability of each label at each temperature, float64 (n, T).

    Return the probability that each label is wrong, float64 (n,).
    """
    most, found = -np.inf, np.zeros(len(right))
    for given in right.T:
        other, noise = (1 - given) / (classes - 1), 0.01
        for _ in range(_ROUNDS):
            wrong = noise * other / (noise * other + (1 - noise) * given + 1e-300)
            noise = (wrong.sum() + _PRIOR_WRONG) / (len(right) + _PRIOR_CORRECT)
        likelihood = np.log(noise * other + (1 - noise) * given + 1e-300).sum()
        if likelihood > most:
            most, found = likelihood, wrong
    return found


def _sample(count: int, size: int, seed: int) -> np.ndarray:
    """Draw up to `size` of `count` rows: int64, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:size])
