from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from similarity.novelty.reference import (
    area_under_roc,
    calibrate,
    distances_across,
    distances_to_others,
    fit_reference,
    load_reference,
    refused_shares_by_class,
    save_reference,
)
from similarity.vectors import normalize

RNG = np.random.default_rng(0)
COLUMNS = np.arange(50, 300)
DIRECTIONS = RNG.standard_normal((5, 300))


def cluster(rows: int, direction: int) -> np.ndarray:
    """Features of one kind, of any length."""
    noisy = DIRECTIONS[direction] + 0.5 * RNG.standard_normal((rows, 300))
    return (noisy * RNG.uniform(0.1, 10, (rows, 1))).astype(np.float32)


def alone(rows: int) -> np.ndarray:
    return np.arange(rows)


def test_as_many_images_are_similar_to_another_one_as_are_to_be_and_foreign_ones_are_not() -> None:
    reference = fit_reference(cluster(500, 0), COLUMNS, alone(500), 0.98, 0)
    own = distances_to_others(reference.points, alone(500))
    assert (own <= reference.max_distance).mean() == pytest.approx(0.98, abs=0.003)
    assert (reference.distances(cluster(300, 0)) <= reference.max_distance).mean() > 0.95
    assert (reference.distances(cluster(300, 1)) > reference.max_distance).all()


def test_distances_are_about_those_of_the_chosen_features_at_length_1() -> None:
    features = np.concatenate([cluster(100, 0), cluster(100, 1)])
    reference = fit_reference(features, COLUMNS, alone(200), 0.98, 0)
    units = normalize(features[:, COLUMNS])
    true = np.linalg.norm(units[:, None] - units, axis=2)
    projected = np.linalg.norm(reference.points[:, None] - reference.points, axis=2)
    pairs = ~np.eye(200, dtype=bool)
    assert np.abs(projected[pairs] / true[pairs] - 1).mean() < 0.05


def test_distances_are_those_of_a_plain_comparison_and_never_to_the_own_group() -> None:
    queries, points = RNG.standard_normal((1500, 8)).astype(np.float32), RNG.standard_normal((90, 8)).astype(np.float32)
    own, others = np.arange(1500) % 7, np.arange(90) % 5
    every = np.linalg.norm(queries[:, None].astype(float) - points, axis=2)
    every[own[:, None] == others] = np.inf
    np.testing.assert_allclose(distances_across(queries, own, points, others), every.min(axis=1), rtol=1e-5)


def test_an_indexed_image_is_at_distance_0_and_a_little_noise_is_not_lost() -> None:
    features = cluster(400, 0)
    reference = fit_reference(features, COLUMNS, alone(400), 0.98, 0)
    assert reference.distances(features).max() < 1e-5
    noisy = features * (1 + 1e-4 * RNG.standard_normal(features.shape)).astype(np.float32)
    np.testing.assert_allclose(reference.distances(noisy), 1e-4, rtol=0.3)


def test_a_duplicate_does_not_count_as_another_image() -> None:
    features = np.repeat(cluster(100, 0), 20, axis=0)
    reference = fit_reference(features, COLUMNS, np.repeat(np.arange(100), 20), 0.98, 0)
    assert reference.max_distance > 0.1
    assert fit_reference(features, COLUMNS, alone(2000), 0.98, 0).max_distance < 0.01


def test_a_class_that_is_held_out_is_refused_if_it_is_like_no_other() -> None:
    features = np.concatenate([cluster(200, 0), cluster(200, 0), cluster(50, 4)])
    reference = fit_reference(features, COLUMNS, alone(450), 0.98, 0)
    shares = refused_shares_by_class(reference, np.repeat([0, 1, 2], [200, 200, 50]))
    assert shares[0] < 0.1 > shares[1]
    assert shares[2] == 1
    assert refused_shares_by_class(reference, np.zeros(450, int)).tolist() == [0]


@pytest.mark.parametrize("rows", [1, 2, 3, 6])
@pytest.mark.parametrize("groups", [alone(6), np.zeros(6, int)])
@pytest.mark.parametrize(
    "features",
    [np.zeros((6, 300)), np.ones((6, 300)), np.arange(6)[:, None].repeat(300, 1), RNG.standard_normal((6, 300))],
)
def test_few_images_and_constant_features_give_finite_distances_and_are_similar_to_themselves(
    features: np.ndarray, groups: np.ndarray, rows: int
) -> None:
    features = features.astype(np.float32)[:rows]
    reference = fit_reference(features, COLUMNS, groups[:rows], 0.98, 0)
    assert np.isfinite(reference.max_distance)
    assert (reference.distances(features * np.float32(1 + 1e-6)) <= reference.max_distance).all()
    assert np.isfinite(refused_shares_by_class(reference, np.arange(rows) // 3)).all()


def test_an_image_with_no_other_does_not_decide() -> None:
    assert calibrate(np.array([1.0, 2.0, np.inf]), 0.98) == 2
    assert 0 < calibrate(np.array([np.inf]), 0.98) < 0.01


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    reference = fit_reference(cluster(50, 0), COLUMNS, alone(50), 0.9, 3)
    save_reference(reference, tmp_path / "reference.npz")
    loaded = load_reference(tmp_path / "reference.npz")
    for field in fields(reference):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(reference, field.name))


@pytest.mark.parametrize("sizes", [(1, 1), (30, 7), (7, 200)])
def test_the_area_under_the_curve_is_that_of_scikit_learn_ties_included(sizes: tuple[int, int]) -> None:
    from sklearn.metrics import roc_auc_score

    own, foreign = (np.random.default_rng(size).integers(0, 6, size) / 6 for size in sizes)
    truth = np.repeat([0, 1], sizes)
    assert area_under_roc(own, foreign) == pytest.approx(roc_auc_score(truth, np.concatenate([own, foreign])))
