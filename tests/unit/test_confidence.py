import numpy as np
import pytest

from similarity.evaluation.intervals import mean_interval


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many_values() -> None:
    values = np.random.default_rng(0).random(5000)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert mean_interval(values, 0) == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 10)


def test_the_true_mean_lies_in_nearly_all_intervals() -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval((rng.random(400) < 0.9).astype(float), seed) for seed in range(60)]
    assert sum(low <= 0.9 <= high for low, high in intervals) >= 52


@pytest.mark.parametrize("count", [1, 20])
def test_equal_values_give_no_width_and_no_nan(count: int) -> None:
    assert mean_interval(np.ones(count), 0) == (1, 1)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(50)
    assert mean_interval(values, 3) == mean_interval(values, 3)
