import numpy as np
import pytest

from similarity.data.evaluation.novelty import (
    KINDS,
    draw_foreign,
    fit_novelty,
    nearest_distances,
    novelty_limit,
    refused_shares_by_class,
)

RNG = np.random.default_rng(0)
COLUMNS = np.arange(50, 300)
DIRECTIONS = RNG.standard_normal((5, 300))


def cluster(rows: int, direction: int) -> np.ndarray:
    """Features of one kind, of any length."""
    noisy = DIRECTIONS[direction] + 0.5 * RNG.standard_normal((rows, 300))
    return (noisy * RNG.uniform(0.1, 10, (rows, 1))).astype(np.float32)


def test_the_accepted_share_has_another_image_within_the_limit_and_foreign_images_do_not() -> None:
    features = cluster(500, 0)
    novelty, own = fit_novelty(features, COLUMNS, np.arange(500), 0.98, 0)
    assert (own <= novelty.limit).mean() == pytest.approx(0.98, abs=0.003)
    assert (novelty.distances(cluster(300, 0)) <= novelty.limit).mean() > 0.95
    assert (novelty.distances(cluster(300, 1)) > novelty.limit).all()
    noisy = features * (1 + 1e-4 * RNG.standard_normal(features.shape)).astype(np.float32)
    np.testing.assert_allclose(novelty.distances(noisy), 1e-4, rtol=0.3)


def test_distances_are_those_of_a_plain_comparison_and_never_to_the_own_group() -> None:
    queries, points = RNG.standard_normal((1500, 8)).astype(np.float32), RNG.standard_normal((90, 8)).astype(np.float32)
    own, others = np.arange(1500) % 7, np.arange(90) % 5
    every = np.linalg.norm(queries[:, None].astype(float) - points, axis=2)
    every[own[:, None] == others] = np.inf
    np.testing.assert_allclose(nearest_distances(queries, own, points, others), every.min(axis=1), rtol=1e-5)


def test_a_duplicate_does_not_count_as_another_image_nor_does_an_image_without_one() -> None:
    features = np.repeat(cluster(100, 0), 20, axis=0)
    assert fit_novelty(features, COLUMNS, np.repeat(np.arange(100), 20), 0.98, 0)[0].limit > 0.1
    assert fit_novelty(features, COLUMNS, np.arange(2000), 0.98, 0)[0].limit < 0.01
    assert novelty_limit(np.array([1.0, 2.0, np.inf]), 0.98) == 2


def test_a_class_that_is_held_out_is_refused_if_it_is_like_no_other() -> None:
    features = np.concatenate([cluster(200, 0), cluster(200, 0), cluster(50, 4)])
    novelty, _ = fit_novelty(features, COLUMNS, np.arange(450), 0.98, 0)
    shares = refused_shares_by_class(novelty, np.repeat([0, 1, 2], [200, 200, 50]))
    assert shares[0] < 0.1 > shares[1]
    assert shares[2] == 1
    assert refused_shares_by_class(novelty, np.zeros(450, int)).tolist() == [0]


@pytest.mark.parametrize("rows", [1, 2, 6])
@pytest.mark.parametrize("groups", [np.arange(6), np.zeros(6, int)])
@pytest.mark.parametrize("features", [np.zeros((6, 300)), RNG.standard_normal((6, 300))])
def test_few_images_and_constant_features_give_finite_distances_and_are_similar_to_themselves(
    features: np.ndarray, groups: np.ndarray, rows: int
) -> None:
    features = features.astype(np.float32)[:rows]
    novelty, _ = fit_novelty(features, COLUMNS, groups[:rows], 0.98, 0)
    assert 0 < novelty.limit < np.inf
    assert (novelty.distances(features * np.float32(1 + 1e-6)) <= novelty.limit).all()
    assert np.isfinite(refused_shares_by_class(novelty, np.arange(rows) // 3)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_draws_different_images_of_the_size_and_the_same_ones_again(kind: str) -> None:
    images = [draw_foreign(kind, number, 61, 0) for number in (0, 1, 1)]
    assert all(image.shape == (61, 61, 3) and image.dtype == np.uint8 for image in images)
    assert (images[0] != images[1]).any()
    assert (images[1] == images[2]).all()
