"""Likeness: cosines on a scale that reads the same for every gallery."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import relu_clusters
from similarity.data.evaluation.likeness import Likeness, fit_likeness, words
from similarity.data.vectors import normalize

UNITS, GROUPS = normalize(relu_clusters(900) + np.float32(0.2)), np.arange(900)
LABELS = (UNITS @ UNITS[:3].T).argmax(axis=1)


def fitted(units: np.ndarray = UNITS, labels: np.ndarray = LABELS, groups: np.ndarray = GROUPS) -> Likeness:
    return fit_likeness({0.3: units}, 0.3, groups[: len(units)], labels[: len(units)], 0)


def test_strangers_neighbors_and_edited_pictures_have_their_places() -> None:
    likeness, cosines = fitted(), UNITS @ UNITS.T
    strangers = cosines[LABELS[:, None] != LABELS]
    nearest = np.sort(cosines, axis=1)[:, -2]
    assert likeness(float(np.median(strangers))) == 0
    assert words(likeness(float(np.quantile(strangers, 0.95)))) == "not similar"
    assert likeness(float(np.median(nearest))) == pytest.approx(70, abs=2)
    assert np.mean([likeness(cosine) >= 95 for cosine in nearest.tolist()]) == pytest.approx(0.01, abs=0.01)
    assert likeness(1.0) == 100


@given(st.lists(st.floats(-1, 1.000001), min_size=2, max_size=2), st.sampled_from([None, 0, 0.1, 0.3, 0.9, 1]))
def test_likeness_never_falls_as_the_cosine_rises_and_a_new_image_is_not_similar(
    cosines: list[float], look: float | None
) -> None:
    likeness = Likeness(0.3, [(0, [0.1, 0.6, 0.9, 0.95]), (0.3, [0, 0.4, 0.7, 0.9]), (1, [-0.1, 0.1, 0.3, 0.7])])
    low, high = sorted(cosines)
    assert 0 <= likeness(low, look) <= likeness(high, look) <= 100
    assert words(likeness(high, look, is_new=True)) == "not similar"
    assert likeness(0.65, 0.3) == likeness(0.65)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("units", [np.zeros((7, 4)), np.ones((7, 4)) / 2, normalize(np.eye(7, 4))])
def test_few_or_equal_images_give_a_scale(units: np.ndarray, rows: int) -> None:
    likeness = fitted(units[:rows].astype(np.float32), np.zeros(7, int), np.arange(7))
    [(_, anchors)] = likeness.cosines
    assert (np.diff([*anchors, 1]) > 0).all()
    assert likeness(1.0) == 100


def test_duplicates_do_not_count_as_the_nearest() -> None:
    doubled, groups = np.repeat(UNITS, 2, axis=0), np.repeat(GROUPS, 2)
    [(_, anchors)] = fitted(doubled, np.repeat(LABELS, 2), groups).cosines
    assert anchors[3] < 0.9999
    [(_, anchors)] = fitted(doubled, np.repeat(LABELS, 2), np.arange(1800)).cosines
    assert anchors[3] == 0.999
