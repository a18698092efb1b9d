import numpy as np
import pytest

from similarity.data.confidence import mean_interval, paired_difference


@pytest.mark.parametrize(("share", "count", "together"), [(0.999, 1000, 1), (0.5, 60, 1), (0.7, 200, 5)])
def test_the_true_mean_lies_in_about_95_of_100_intervals(share: float, count: int, together: int) -> None:
    """Also where values come in groups, as those of near duplicates do; then they say less."""
    rng, groups = np.random.default_rng(1), np.repeat(np.arange(count), together)
    found = []
    for _ in range(200):
        centers = np.clip(rng.normal(share, 0.2 * (together > 1), count), 0, 1)
        found.append(mean_interval((rng.random(count * together) < centers[groups]).astype(float), groups))
    assert np.mean([low <= share <= high for low, high in found]) >= 0.9
    if 0.3 < share < 0.8:
        assert np.mean([low <= share <= high for low, high in found]) <= 0.99


@pytest.mark.parametrize(("gain", "trainings", "finds"), [(0, 2, (0, 0.06)), (0, 3, (0, 0.06)), (0.05, 3, (0.5, 1))])
def test_models_that_differ_by_chance_alone_show_a_difference_in_at_most_5_of_100_trials(
    gain: float, trainings: int, finds: tuple[float, float]
) -> None:
    """Trainings of one model differ as a whole, and query by query; the second model may be better by `gain`."""
    rng, rejected = np.random.default_rng(5), []
    for _ in range(400):
        difficulty, whole = rng.beta(6, 2, 250), rng.normal(0, 0.01, (2, trainings, 1))
        scores = difficulty + whole + rng.normal(0, 0.1, (2, trainings, 250))
        scores[1] += gain
        rejected.append(paired_difference(*scores.clip(0, 1)).p_value < 0.05)
    assert finds[0] <= np.mean(rejected) <= finds[1]


@pytest.mark.parametrize("count", [1, 1000])
def test_a_sample_without_an_error_does_not_promise_that_there_is_none(count: int) -> None:
    low, high = mean_interval(np.ones(count), np.arange(count))
    assert (low, high) == (pytest.approx(0.025 ** (1 / count)), 1)
    assert mean_interval(np.zeros(count), np.arange(count)) == (0, pytest.approx(1 - low))
