"""Near duplicates that a second, finer look confirms."""

import numpy as np

from similarity.duplication.pairs import Pairs
from similarity.vectors import standardization

_MAX_RATIO = 0.65  # of the distance of two near duplicates to that of an image to its nearest other
_ALMOST_EQUAL = 0.995  # correlation of thumbnails
_SAMPLE = 5000
_PAIRS_PER_BLOCK = 4096


def confirm(near: Pairs, features: np.ndarray, seed: int) -> Pairs:
    """Keeps the pairs that are almost equal, and those whose features are much nearer than is usual for neighbors.

    Thumbnails of different things correlate where all have one background, or where most of an image is smooth.
    Features alone would part copies of fine textures that were compressed again.

    Args:
        near: what correlates.
        features: of all images, float32 (n, D).
        seed: of the sample of images that tell what is usual.
    """
    mean, scale = standardization(features)
    sample = np.sort(np.random.default_rng(seed).permutation(len(features))[:_SAMPLE])
    usual = _usual_distance((features[sample] - mean) / scale)
    blocks = [slice(start, start + _PAIRS_PER_BLOCK) for start in range(0, len(near.first), _PAIRS_PER_BLOCK)]
    differences = ((features[near.first[pairs]] - features[near.second[pairs]]) / scale for pairs in blocks)
    distances = np.concatenate([np.linalg.norm(each, axis=1) for each in differences] or [np.empty(0)])
    kept = (distances <= _MAX_RATIO * usual) | (near.correlations >= _ALMOST_EQUAL)
    return Pairs(*(values[kept] for values in near))


def _usual_distance(vectors: np.ndarray) -> float:
    """The median distance of a vector, of float32 (n, D), to the nearest other one."""
    import faiss

    squares = faiss.knn(vectors, vectors, min(2, len(vectors)))[0][:, -1]
    return float(np.sqrt(np.maximum(np.median(squares), 0)))
