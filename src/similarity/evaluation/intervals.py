"""How far a measured mean can be trusted."""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
_RESAMPLES = 2000
_RESAMPLES_PER_BLOCK = 100


class Interval(NamedTuple):
    """Bounds that hold the true mean with the probability `LEVEL`."""

    low: float
    high: float


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """The percentile bootstrap interval of a mean (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993).

    Values that are all the same, of which more would have to be measured, give an interval without width.

    Args:
        values: what was measured of each of n independent queries, float (n,), at least one.
        seed: of the resampling.
    """
    from scipy.stats import bootstrap

    if len(values) == 1:
        return Interval(float(values[0]), float(values[0]))
    result = bootstrap(
        (values,), np.mean, confidence_level=LEVEL, n_resamples=_RESAMPLES, batch=_RESAMPLES_PER_BLOCK,
        method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))
