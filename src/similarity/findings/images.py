"""Images that differ from most by features or size, and near duplicates that their features confirm."""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress

import numpy as np

from similarity.data.dataset.duplicates import Pairs
from similarity.data.dataset.manifest import ImageRecord
from similarity.data.vectors import count_blocks, row_blocks, standardization

_FITTED_ROWS = 10_000  # a sample of the images, which bounds memory
_NEIGHBORS, _SAMPLED_NEIGHBORS = 10, 20_000
_FENCE = 2  # interquartile ranges above the upper quartile
_ODD_FACTOR = 4  # from which a size or shape is odd
_MAX_RATIO = 0.65  # of the distance between near duplicates to that between an image and its nearest other
_ALMOST_EQUAL = 0.995  # correlation of thumbnails
_TYPICAL_ROWS = 5000
_PAIRS_PER_BLOCK = 4096


def principal_components(
    features: np.ndarray, count: int, seed: int, progress: Callable[[range], Iterable[int]] = iter
) -> np.ndarray:
    """Project features, float32 (n, D), on their main directions: float32 (n, min(count, n, D)).

    The directions are those of a sample of at most 10,000 rows, so memory does not grow with the data set; random
    projections find 256 three times as fast as `PCA(svd_solver="covariance_eigh")` does. Features are standardized
    here, and may be mapped from a file; `progress` wraps the iteration over their blocks.
    """
    from sklearn.utils.extmath import randomized_svd

    if not len(features):
        return np.empty((0, 0), np.float32)
    mean, scale = standardization(features)
    sample = (features[_sample(len(features), _FITTED_ROWS, seed)] - mean) / scale
    axes = randomized_svd(sample, min(count, *sample.shape), random_state=seed)[2].T
    blocks = zip(progress(range(count_blocks(features))), row_blocks(features), strict=True)
    return np.concatenate([((block - mean) / scale) @ axes for _, block in blocks])


def mean_distances(components: np.ndarray, seed: int) -> np.ndarray:
    """Measure how far each image, of float32 (n, d), is from its ten nearest of a sample, on average: float64 (n,)."""
    import faiss

    sample = _sample(len(components), _SAMPLED_NEIGHBORS, seed)
    count = min(_NEIGHBORS, len(sample) - 1)
    squares = faiss.knn(components, components[sample], count + 1)[0].astype(np.float64)
    distances = np.sqrt(np.maximum(squares, 0))
    is_itself = np.isin(np.arange(len(components)), sample)
    return np.where(is_itself, distances[:, 1:].mean(axis=1), distances[:, :-1].mean(axis=1))


def are_outliers(values: np.ndarray) -> np.ndarray:
    """Mark positive values, (n,), that are outliers on a logarithmic scale, above Q3 + 2 · (Q3 − Q1): bool (n,).

    The fences of Tukey, "Exploratory Data Analysis", 1977, are at 1.5 (outside) and 3 (far out).
    """
    logs = np.log(np.maximum(values, np.finfo(np.float32).eps))
    low, high = np.quantile(logs, (0.25, 0.75))
    return logs > high + _FENCE * (high - low)


def odd_sizes(records: Sequence[ImageRecord]) -> list[str]:
    """Describe what is odd about the size of each image, "" if nothing."""
    width, height = (np.array([getattr(each, side) for each in records], float) for side in ("width", "height"))
    side, ratio = np.sqrt(width * height), width / height
    small = side < np.median(side) / _ODD_FACTOR
    shaped = np.abs(np.log(ratio / np.median(ratio))) > np.log(_ODD_FACTOR)
    found = []
    for each, *flags in zip(records, small, shaped, strict=True):
        reasons = compress(("much smaller than most", "of another shape than most"), flags)
        found.append("; ".join(f"{each.width} × {each.height} pixels, {reason}" for reason in reasons))
    return found


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
    distances = np.empty(len(near.first))
    for start in range(0, len(distances), _PAIRS_PER_BLOCK):
        block = slice(start, start + _PAIRS_PER_BLOCK)
        differences = (features[near.first[block]] - features[near.second[block]]) / scale
        distances[block] = np.linalg.norm(differences, axis=1)
    kept = (distances <= _MAX_RATIO * usual) | (near.correlations >= _ALMOST_EQUAL)
    return Pairs(*(values[kept] for values in near))


def _sample(count: int, size: int, seed: int) -> np.ndarray:
    """Draw up to `size` of `count` rows: int64, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:size])
