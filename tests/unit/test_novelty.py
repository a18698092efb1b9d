from pathlib import Path

import numpy as np
import pytest

from similarity.novelty import reference as module
from similarity.novelty.reference import (
    distances_to,
    distances_to_others,
    fit_reference,
    load_reference,
    refused_shares_by_class,
    save_reference,
)

RNG = np.random.default_rng(0)
SCALES = 10.0 ** RNG.uniform(0, 2, 300)


def cluster(rows: int, center: float) -> np.ndarray:
    """Features on very unequal scales."""
    return ((center + RNG.standard_normal((rows, 300))) * SCALES + 5).astype(np.float32)


def alone(rows: int) -> np.ndarray:
    return np.arange(rows)


def test_as_many_images_are_similar_to_another_one_as_are_to_be_and_foreign_ones_are_not() -> None:
    reference = fit_reference(cluster(500, 0), alone(500), 0.98, "here", 0)
    assert (distances_to_others(reference, alone(500)) <= reference.max_distance).mean() == pytest.approx(
        0.98, abs=0.003
    )
    assert (reference.distances(cluster(300, 0)) <= reference.max_distance).mean() > 0.95
    assert (reference.distances(cluster(300, 2)) > reference.max_distance).all()


def test_distances_are_about_those_of_the_standardized_features() -> None:
    features = cluster(200, 0)
    reference = fit_reference(features, alone(200), 0.98, "here", 0)
    standardized = (features - features.mean(0)) / features.std(0)
    true = np.linalg.norm(standardized[:, None] - standardized, axis=2)
    projected = np.linalg.norm(reference.points[:, None] - reference.points, axis=2)
    pairs = ~np.eye(200, dtype=bool)
    assert np.abs(projected[pairs] / true[pairs] - 1).mean() < 0.05


def test_a_duplicate_does_not_count_as_another_image() -> None:
    features = np.repeat(cluster(100, 0), 2, axis=0)
    reference = fit_reference(features, np.repeat(np.arange(100), 2), 0.98, "here", 0)
    assert reference.max_distance > 1
    assert fit_reference(features, alone(200), 0.98, "here", 0).max_distance < 0.1


def test_a_class_that_is_held_out_is_refused_if_it_is_like_no_other() -> None:
    features = np.concatenate([cluster(200, 0), cluster(200, 0), cluster(50, 4)])
    reference = fit_reference(features, alone(450), 0.98, "here", 0)
    shares = refused_shares_by_class(reference, np.repeat([0, 1, 2], [200, 200, 50]))
    assert shares[0] < 0.1 > shares[1]
    assert shares[2] == 1


def test_of_many_images_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_POINTS", 60)
    features = cluster(200, 0)
    reference = fit_reference(features, alone(200), 0.98, "here", 0)
    assert reference.points.shape == (60, 256)
    np.testing.assert_allclose(
        distances_to(reference.project(features[reference.rows]), reference.points), 0, atol=0.05
    )


@pytest.mark.parametrize(
    "features", [np.ones((6, 4), np.float32), np.arange(6, dtype=np.float32)[:, None].repeat(4, 1)]
)
def test_constant_features_and_few_images_give_finite_distances(features: np.ndarray) -> None:
    for rows in (2, 3, 6):
        reference = fit_reference(features[:rows], alone(rows), 0.98, "here", 0)
        assert np.isfinite(reference.max_distance)
        assert np.isfinite(reference.distances(features)).all()
        assert np.isfinite(distances_to_others(reference, np.zeros(rows, np.int64))).all()


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    reference = fit_reference(cluster(50, 0), alone(50), 0.9, "backbone x, images y", 3)
    save_reference(reference, tmp_path / "reference.npz")
    loaded = load_reference(tmp_path / "reference.npz")
    assert (loaded.origin, loaded.max_distance) == (reference.origin, reference.max_distance)
    for written, read in zip(reference[:4], loaded[:4], strict=True):
        np.testing.assert_array_equal(written, read)
