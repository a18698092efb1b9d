import numpy as np
import pytest

from similarity import confidence
from similarity.confidence import mean_interval, mean_lower_bound, paired_difference


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many_values() -> None:
    values = (np.random.default_rng(0).random(50_000) < 0.4).astype(float)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert mean_interval(values) == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 50)


@pytest.mark.parametrize(("share", "count"), [(0.999, 1000), (0.99, 237), (0.9, 60), (0.5, 30)])
def test_the_true_share_lies_in_nearly_all_intervals(share: float, count: int) -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval((rng.random(count) < share).astype(float)) for _ in range(2000)]
    assert np.mean([low <= share <= high for low, high in intervals]) >= 0.945


@pytest.mark.parametrize(("share", "count"), [(0.5, 2000), (0.9, 2000), (0.98, 5000)])
def test_with_many_values_an_interval_is_no_wider_than_it_must_be(share: float, count: int) -> None:
    rng = np.random.default_rng(4)
    intervals = [mean_interval((rng.random(count) < share).astype(float)) for _ in range(2000)]
    assert 0.94 <= np.mean([low <= share <= high for low, high in intervals]) <= 0.97


@pytest.mark.parametrize("count", [60, 200])
@pytest.mark.parametrize(("gain", "loss"), [(0.1, 0.1), (0.15, 0.05)])
def test_the_true_difference_of_pairs_lies_in_95_of_100_intervals(count: int, gain: float, loss: float) -> None:
    """Of two models that are right or wrong; the second one gains some of the queries and loses others."""
    rng, first = np.random.default_rng(5), np.zeros(count)
    draws = rng.choice([1.0, -1.0, 0.0], (300, count), p=[gain, loss, 1 - gain - loss])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence, "_DRAWS", 999)  # of so many intervals
        found = [paired_difference(first, pairs, seed) for seed, pairs in enumerate(draws)]
    assert 0.91 <= np.mean([each.low <= gain - loss <= each.high for each in found]) <= 0.98
    rejected = np.mean([each.p_value < 0.05 for each in found])
    assert rejected <= 0.08 if gain == loss else rejected > 0.3


def test_means_of_values_in_between_are_on_the_safe_side() -> None:
    rng = np.random.default_rng(2)
    intervals = [mean_interval(rng.beta(9, 1, 100)) for _ in range(500)]
    assert np.mean([low <= 0.9 <= high for low, high in intervals]) >= 0.99


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_a_sample_without_an_error_does_not_promise_that_there_is_none(count: int) -> None:
    low, high = mean_interval(np.ones(count))
    assert (low, high) == (pytest.approx(0.025 ** (1 / count)), 1)
    assert mean_interval(np.zeros(count)) == (0, pytest.approx(1 - low))


@pytest.mark.parametrize("count", [72, 600, 5000])
@pytest.mark.parametrize("misses", ["one neighbor", "all neighbors"])
@pytest.mark.parametrize("recall", [0.99, 0.999])
def test_a_lower_bound_of_recall_has_the_coverage_that_it_claims(count: int, misses: str, recall: float) -> None:
    """The recalls of queries for ten neighbors, of which each miss loses one or all."""
    rng, lost = np.random.default_rng(3), 0.1 if misses == "one neighbor" else 1
    draws = 1 - lost * (rng.random((400, count)) < (1 - recall) / lost)
    assert np.mean([mean_lower_bound(values) <= recall for values in draws]) >= 0.94


def test_a_lower_bound_is_near_the_mean_of_many_values_and_far_from_that_of_few() -> None:
    assert mean_lower_bound(np.ones(72)) == pytest.approx(0.05 ** (1 / 72))
    assert mean_lower_bound(np.repeat([1, 0.9], [4000, 1000])) == pytest.approx(0.98, abs=0.006)


def test_pairs_tell_a_difference_that_intervals_side_by_side_do_not() -> None:
    """As in the documents: 0.9778 and 0.9812 of 6,000, with the errors of the better among those of the other."""
    first, second = (np.arange(6000) >= errors for errors in (133, 113))
    assert mean_interval(first.astype(float)).high > mean_interval(second.astype(float)).low
    difference = paired_difference(first.astype(float), second.astype(float), 0)
    assert difference.mean == pytest.approx(20 / 6000)
    assert 0 < difference.low < difference.mean < difference.high
    assert difference.p_value < 0.001


def test_pairs_without_a_difference_tell_none() -> None:
    values = np.random.default_rng(0).random(200)
    assert paired_difference(values, values, 0) == (0, 0, 0, 1)
    noise = 0.1 * np.random.default_rng(1).standard_normal(200)
    assert paired_difference(values, values + noise - noise.mean(), 0).p_value > 0.9
