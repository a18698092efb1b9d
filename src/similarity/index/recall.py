"""Recall of approximate neighbors, and the number of candidates that a recall takes."""

from collections.abc import Callable

import numpy as np

from similarity.evaluation.confidence import mean_lower_bound
from similarity.vectors import COSINE_DECIMALS

_TIE = 1.5 * 10**-COSINE_DECIMALS


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the exact neighbors that were found; ties count as found.

    As in Aumüller, Bernhardsson & Faithfull, "ANN-Benchmarks" (2017), a neighbor counts if it is as similar as the
    k-th true one.

    Args:
        found: cosines of the neighbors that were found, float64 (n, k).
        exact: cosines of the true neighbors, float64 (n, k), best first.
    """
    return float(_is_found(found, exact).mean())


def recall_lower_bound(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the lower end of a one-sided 95 % confidence interval for the recall, from a sample of queries.

    It depends on the number of queries: 72 queries without a miss prove 0.959. See `recall` for the arguments.
    """
    return mean_lower_bound(_is_found(found, exact).mean(axis=1))


def divide_queries(count: int, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the queries that choose search_k; the others, at least half of all, measure the recall that is reported.

    Returns:
        The rows of the former, at most `most`, and of the latter, int64, ascending.
    """
    order = np.random.default_rng([seed, 1]).permutation(count)
    chosen = min(most, count // 2)
    return np.sort(order[:chosen]), np.sort(order[chosen:])


def smallest_search_k(recall_with: Callable[[int], float], target: float, highest: int) -> int | None:
    """Find the fewest candidates that reach a recall, by doubling and then by bisection.

    Args:
        recall_with: returns the recall for a search_k; it should not fall as search_k rises.
        target: the recall to reach, in 0…1.
        highest: the most candidates to try.

    Returns:
        The smallest search_k, or None if not even `highest` reaches the target.
    """
    lowest = enough = 1
    while recall_with(enough) < target:
        if enough >= highest:
            return None
        lowest, enough = enough + 1, min(2 * enough, highest)
    while lowest < enough:
        middle = (lowest + enough) // 2
        if recall_with(middle) >= target:
            enough = middle
        else:
            lowest = middle + 1
    return enough


def _is_found(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    return found >= exact[:, -1:] - _TIE
