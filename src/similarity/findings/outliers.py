"""Images that are far from all others."""

import numpy as np

_NEIGHBORS = 10
_FENCE = 2  # interquartile ranges above the upper quartile
_SAMPLE = 20_000  # images


def mean_distances(components: np.ndarray, seed: int) -> np.ndarray:
    """How far each image is from its ten nearest, mean Euclidean distance of float32 (n, d): float64 (n,).

    Of many images, the nearest are looked for among a sample.
    """
    import faiss

    sample = np.sort(np.random.default_rng(seed).permutation(len(components))[:_SAMPLE])
    count = min(_NEIGHBORS, len(sample) - 1)
    squares = faiss.knn(components, components[sample], count + 1)[0].astype(np.float64)
    distances = np.sqrt(np.maximum(squares, 0))
    is_itself = np.isin(np.arange(len(components)), sample)
    return np.where(is_itself, distances[:, 1:].mean(axis=1), distances[:, :-1].mean(axis=1))


def are_outliers(values: np.ndarray) -> np.ndarray:
    """Tells which positive values are outliers on a logarithmic scale, bool (n,): above Q3 + 2 · (Q3 − Q1).

    The fences of Tukey, "Exploratory Data Analysis", 1977, are at 1.5 (outside) and 3 (far out).
    """
    logs = np.log(np.maximum(values, np.finfo(np.float32).eps))
    low, high = np.quantile(logs, (0.25, 0.75))
    return logs > high + _FENCE * (high - low)
