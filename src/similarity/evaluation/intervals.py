"""How far a measured mean can be trusted."""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Interval(NamedTuple):
    """Bounds that hold the true mean with a probability of at least `LEVEL`."""

    low: float
    high: float


def mean_interval(values: np.ndarray) -> Interval:
    """The exact interval of Clopper & Pearson ("The Use of Confidence or Fiducial Limits", Biometrika 1934).

    It is made for shares (values of 0 and 1), and holds near 0 and 1, where a bootstrap does not: a sample without any
    error says little about how rare errors are. For values in between, such as precisions, it is on the safe side:
    of all values in 0…1 with a given mean, those of 0 and 1 vary most.

    Args:
        values: what was measured of each of n independent queries, 0…1, float (n,), at least one.
    """
    from scipy.stats import beta

    count, total, tail = len(values), float(values.sum()), (1 - LEVEL) / 2
    low = beta.ppf(tail, total, count - total + 1) if total > 0 else 0
    high = beta.ppf(1 - tail, total + 1, count - total) if total < count else 1
    return Interval(float(low), float(high))
