"""How far a measured mean can be trusted."""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
_FEW = 10  # cases off the majority, below which their variance says too little


class Interval(NamedTuple):
    """Bounds that hold the true mean with a probability of at least `LEVEL`."""

    low: float
    high: float


class Difference(NamedTuple):
    """A mean difference, its interval, and how probable one as large is by chance."""

    mean: float
    low: float
    high: float
    p_value: float


def mean_interval(values: np.ndarray, groups: np.ndarray) -> Interval:
    """Compute the interval of the mean of values, float (n,) in 0…1, which depend on each other within a group.

    Such as the scores of near duplicates, or of the edits of one picture; `groups` numbers them, int (n,). The variance
    is the cluster-robust one (Liang & Zeger, "Longitudinal data analysis using generalized linear models", Biometrika
    1986); a bootstrap of the groups gives the same interval in a thousand times the time. Near 0 and 1, where values
    hardly differ, it is the exact interval of Clopper & Pearson ("The Use of Confidence or Fiducial Limits", Biometrika
    1934) for as many independent values as there are groups; for values between 0 and 1 it is on the safe side.
    """
    from scipy.special import stdtrit

    tail, mean = (1 - LEVEL) / 2, float(values.mean())
    group = np.unique(groups, return_inverse=True)[1]
    count = int(group.max()) + 1
    if min(values.sum(), (1 - values).sum()) < _FEW:
        return Interval(_bound(mean * count, count, tail), 1 - _bound((1 - mean) * count, count, tail))
    residuals = np.bincount(group, values - mean)
    half = float(-stdtrit(count - 1, tail)) * (count / (count - 1) * np.square(residuals).sum()) ** 0.5 / len(values)
    return Interval(max(0.0, mean - half), min(1.0, mean + half))


def _bound(total: float, count: int, risk: float) -> float:
    """Compute the bound below which the true mean lies with at most the given risk."""
    from scipy.special import betaincinv  # what `scipy.stats.beta.ppf` gives; that module takes 0.3 s to load

    return float(betaincinv(total, count - total + 1, risk)) if total > 0 else 0.0


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare the scores of the same queries by trainings of two models, float (trainings, queries): second − first.

    Two things are random: which queries were asked, and how a training went. The variance of the mean difference is
    the sum of both: that of the queries' differences, averaged over the trainings, and that of each model's mean score
    over its trainings, of which there are at least two. The interval and the p-value are those of Welch's t-test with
    these two terms (Satterthwaite's degrees of freedom).
    """
    from scipy.stats import t as student

    mean = float(second.mean() - first.mean())
    pairs = second.mean(axis=0) - first.mean(axis=0)
    terms = [(pairs.var(ddof=1) / len(pairs), len(pairs) - 1)]
    terms += [(each.mean(axis=1).var(ddof=1) / len(each), len(each) - 1) for each in (first, second)]
    variance = sum(term for term, _ in terms)
    if not variance:
        return Difference(mean, mean, mean, float(not mean))
    freedom = variance**2 / sum(term**2 / degrees for term, degrees in terms)
    half = float(student.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5
    return Difference(mean, mean - half, mean + half, 2 * float(student.sf(abs(mean) / variance**0.5, freedom)))
