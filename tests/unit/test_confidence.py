import numpy as np
import pytest

from similarity.evaluation.intervals import mean_interval


def test_the_interval_is_that_of_the_normal_distribution_where_there_are_many_values() -> None:
    values = (np.random.default_rng(0).random(50_000) < 0.4).astype(float)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert mean_interval(values) == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 50)


@pytest.mark.parametrize(("share", "count"), [(0.999, 1000), (0.99, 237), (0.9, 60), (0.5, 30)])
def test_the_true_share_lies_in_nearly_all_intervals(share: float, count: int) -> None:
    rng = np.random.default_rng(1)
    intervals = [mean_interval((rng.random(count) < share).astype(float)) for _ in range(2000)]
    assert np.mean([low <= share <= high for low, high in intervals]) >= 0.945


def test_means_of_values_in_between_are_on_the_safe_side() -> None:
    rng = np.random.default_rng(2)
    intervals = [mean_interval(rng.beta(9, 1, 100)) for _ in range(500)]
    assert np.mean([low <= 0.9 <= high for low, high in intervals]) >= 0.99


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_a_sample_without_an_error_does_not_promise_that_there_is_none(count: int) -> None:
    low, high = mean_interval(np.ones(count))
    assert (low, high) == (pytest.approx(0.025 ** (1 / count)), 1)
    assert mean_interval(np.zeros(count)) == (0, pytest.approx(1 - low))
