import numpy as np
import pytest

from similarity.data import confidence
from similarity.data.confidence import mean_interval, mean_lower_bound, paired_difference


@pytest.mark.parametrize(
    ("share", "count", "most"), [(0.999, 1000, 1), (0.9, 60, 1), (0.5, 30, 1), (0.5, 2000, 0.97), (0.98, 5000, 0.97)]
)
def test_the_true_share_lies_in_95_of_100_intervals_or_more_where_values_are_few(
    share: float, count: int, most: float
) -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval((rng.random(count) < share).astype(float)) for _ in range(2000)]
    assert 0.94 <= np.mean([low <= share <= high for low, high in intervals]) <= most


@pytest.mark.parametrize(("gain", "loss"), [(0.1, 0.1), (0.15, 0.05)])
def test_the_true_difference_of_pairs_lies_in_95_of_100_intervals(gain: float, loss: float) -> None:
    """Of two models that are right or wrong; the second one gains some of the queries and loses others."""
    rng, first = np.random.default_rng(5), np.zeros(200)
    draws = rng.choice([1.0, -1.0, 0.0], (300, 200), p=[gain, loss, 1 - gain - loss])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence, "_DRAWS", 999)  # of so many intervals
        found = [paired_difference(first, pairs, seed) for seed, pairs in enumerate(draws)]
    assert 0.91 <= np.mean([each.low <= gain - loss <= each.high for each in found]) <= 0.98
    rejected = np.mean([each.p_value < 0.05 for each in found])
    assert rejected <= 0.08 if gain == loss else rejected > 0.3


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_a_sample_without_an_error_does_not_promise_that_there_is_none(count: int) -> None:
    low, high = mean_interval(np.ones(count))
    assert (low, high) == (pytest.approx(0.025 ** (1 / count)), 1)
    assert mean_interval(np.zeros(count)) == (0, pytest.approx(1 - low))
    assert mean_lower_bound(np.ones(count)) == pytest.approx(0.05 ** (1 / count))


@pytest.mark.parametrize("count", [72, 5000])
@pytest.mark.parametrize("lost", [0.1, 1])
@pytest.mark.parametrize("recall", [0.99, 0.999])
def test_a_lower_bound_of_recall_has_the_coverage_that_it_claims(count: int, lost: float, recall: float) -> None:
    """The recalls of queries for ten neighbors, of which each miss loses one or all."""
    rng = np.random.default_rng(3)
    draws = 1 - lost * (rng.random((400, count)) < (1 - recall) / lost)
    assert np.mean([mean_lower_bound(values) <= recall for values in draws]) >= 0.94


def test_pairs_show_a_difference_that_overlapping_intervals_do_not() -> None:
    """As in the documents: 0.9778 and 0.9812 of 6,000, with the errors of the better among those of the other."""
    first, second = ((np.arange(6000) >= errors).astype(float) for errors in (133, 113))
    assert mean_interval(first).high > mean_interval(second).low
    difference = paired_difference(first, second, 0)
    assert difference.mean == pytest.approx(20 / 6000)
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p_value < 0.001


def test_pairs_without_a_difference_show_none() -> None:
    values = np.random.default_rng(0).random(200)
    assert paired_difference(values, values, 0) == (0, 0, 0, 1)
    noise = 0.1 * np.random.default_rng(1).standard_normal(200)
    assert paired_difference(values, values + noise - noise.mean(), 0).p_value > 0.9
