import numpy as np
import pytest

from similarity.data.vectors import normalize
from similarity.embedding.model import EmbeddingModel, Head, embed, fit_visual_part

RNG = np.random.default_rng(0)
FEATURES = (RNG.standard_normal((400, 4)) @ RNG.standard_normal((4, 30)) * 10.0 ** RNG.uniform(-1, 2, 30) + 7).astype(
    np.float32
)
HEAD = Head(*(RNG.standard_normal(shape).astype(np.float32) for shape in ((30, 5), 5, (5, 3), 3)))
ROWS, COLUMNS = np.arange(0, 400, 2), np.arange(3, 27)


def test_components_are_centered_uncorrelated_and_as_large_as_the_formula_says() -> None:
    components = fit_visual_part(FEATURES, ROWS, COLUMNS, 3, 0)(FEATURES[ROWS])
    np.testing.assert_allclose(components.mean(axis=0), 0, atol=1e-3)
    standardized = (FEATURES - FEATURES[ROWS].mean(axis=0)) / FEATURES[ROWS].std(axis=0)
    variances = np.linalg.svd(standardized[ROWS][:, COLUMNS], compute_uv=False)[:3] ** 2 / len(ROWS)
    expected = np.diag(variances / (variances + 0.3))  # the mean variance of standardized features is 1
    np.testing.assert_allclose(components.T @ components / len(components), expected, atol=1e-2)


def test_few_images_are_not_all_as_far_from_each_other() -> None:
    kinds = np.repeat(np.arange(4), 10)
    features = (RNG.standard_normal((4, 300))[kinds] + 0.5 * RNG.standard_normal((40, 300))).astype(np.float32)
    units = normalize(fit_visual_part(features, np.arange(40), np.arange(300), 256, 0)(features))
    cosines = units @ units.T - 2 * np.eye(40)
    assert (kinds[cosines.argmax(axis=1)] == kinds).all()


@pytest.mark.parametrize(("rows", "components"), [(1, 0), (2, 1), (200, 4)])
def test_there_are_finite_components_of_the_columns_asked_for_and_no_more_than_the_images_span(
    rows: int, components: int
) -> None:
    part = fit_visual_part(FEATURES, ROWS[:rows], COLUMNS, 20, 0)
    assert part.kernel.shape == (30, components)
    assert np.isfinite(part(FEATURES)).all()
    assert not part.kernel[[0, 1, 2, 27, 28, 29]].any()


@pytest.mark.parametrize("weight", [0, 0.3])
def test_the_cosine_of_embeddings_is_the_weighted_mean_of_the_parts_cosines(weight: float) -> None:
    visual = fit_visual_part(FEATURES, ROWS, COLUMNS, 4, 0)
    embeddings = EmbeddingModel(HEAD, visual, weight)(FEATURES[:50])
    classes, looks = (normalize(part) for part in (embed(FEATURES[:50], HEAD), visual(FEATURES[:50])))
    rows = np.flatnonzero(classes.any(axis=1))
    expected = (1 - weight) * (classes @ classes.T) + weight * (looks @ looks.T)
    np.testing.assert_allclose((embeddings @ embeddings.T)[np.ix_(rows, rows)], expected[np.ix_(rows, rows)], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings[rows], axis=1), 1, atol=1e-5)


def test_without_one_part_the_embedding_is_the_other_one_and_not_nan() -> None:
    alone = EmbeddingModel(HEAD, fit_visual_part(FEATURES, ROWS, COLUMNS, 0, 0), 0.3)
    np.testing.assert_allclose(alone(FEATURES), embed(FEATURES, HEAD), rtol=1e-4)
    silent = HEAD._replace(bias=np.full(5, -1e9, np.float32))
    embeddings = EmbeddingModel(silent, fit_visual_part(FEATURES, ROWS, COLUMNS, 4, 0), 0.25)(FEATURES)
    assert not embeddings[:, :5].any()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 0.5, atol=1e-5)
