"""How far a measured mean can be trusted."""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
_DRAWS, _DRAWS_AT_A_TIME = 10_000, 200


class Interval(NamedTuple):
    """Bounds that hold the true mean with a probability of at least `LEVEL`."""

    low: float
    high: float


class Difference(NamedTuple):
    """The mean difference of pairs, its interval, and how probable one as large is by chance."""

    mean: float
    low: float
    high: float
    p_value: float


def mean_interval(values: np.ndarray) -> Interval:
    """Compute the exact interval of Clopper & Pearson ("The Use of Confidence or Fiducial Limits", Biometrika 1934).

    It is made for shares (values of 0 and 1), and holds near 0 and 1, where a bootstrap does not: a sample without any
    error says little about how rare errors are. For values in between, such as precisions, it is on the safe side:
    of all values in 0…1 with a given mean, those of 0 and 1 vary most. Values, float (n,), are of independent queries.
    """
    tail = (1 - LEVEL) / 2
    return Interval(_bound(values, tail), 1 - _bound(1 - values, tail))


def mean_lower_bound(values: np.ndarray) -> float:
    """Compute what the true mean exceeds with a probability of at least `LEVEL`; see `mean_interval`."""
    return _bound(values, 1 - LEVEL)


def _bound(values: np.ndarray, risk: float) -> float:
    """Compute the quantile of the beta distribution that the true mean is below with at most the given risk."""
    from scipy.special import betaincinv  # what `scipy.stats.beta.ppf` gives; that module takes 0.3 s to load

    total = float(values.sum())
    return float(betaincinv(total, len(values) - total + 1, risk)) if total > 0 else 0.0


def paired_difference(first: np.ndarray, second: np.ndarray, seed: int) -> Difference:
    """Compare two scores of the same queries, float (n,) each: second − first.

    The interval is a bootstrap of the pairs (Efron & Tibshirani, 1993), the p-value that of a two-sided permutation
    test of the signs, both with 10,000 draws.
    """
    from scipy.stats import bootstrap, permutation_test

    pairs, mean = second - first, float((second - first).mean())
    if not pairs.any() or len(pairs) < 2:
        return Difference(mean, mean, mean, 1.0)
    draws = {"n_resamples": _DRAWS, "batch": _DRAWS_AT_A_TIME, "rng": np.random.default_rng(seed)}
    interval = bootstrap((pairs,), np.mean, confidence_level=LEVEL, method="percentile", **draws).confidence_interval
    test = permutation_test((pairs,), np.mean, permutation_type="samples", **draws)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))
