"""Principal axes: what is known of them by definition, on random vectors."""

import numpy as np
import pytest

from similarity.principal_axes import axes_of_rows, principal_axes


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_axes_are_the_leading_directions_of_the_variance_with_definite_signs(count: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)) * (1, 6, 2, 5, 4, 3)
    covariance = np.cov(vectors.T)
    variances, axes = principal_axes(covariance, count)
    assert (variances.shape, axes.shape) == ((count,), (6, count))
    np.testing.assert_allclose(axes.T @ axes, np.eye(count), atol=1e-12)
    np.testing.assert_allclose(covariance @ axes, variances * axes, atol=1e-9)
    np.testing.assert_allclose(variances, np.sort(np.linalg.eigvalsh(covariance))[::-1][:count])
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(count)] > 0).all()


@pytest.mark.parametrize("shape", [(50, 6), (6, 50), (7, 7), (1, 5), (5, 1)])
def test_axes_of_rows_are_those_of_their_covariance_whichever_way_is_shorter(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape) * np.linspace(1, 3, shape[1])
    rows = (rows - rows.mean(axis=0)).astype(np.float32)
    count = min(shape)
    (squares, axes), (expected, directions) = (
        axes_of_rows(rows, count),
        principal_axes(rows.T.astype(float) @ rows, count),
    )
    np.testing.assert_allclose(squares, expected, rtol=1e-4, atol=1e-4)
    rank = min(shape[0] - 1, shape[1])
    np.testing.assert_allclose(axes[:, :rank], directions[:, :rank], atol=1e-4)
    lengths = np.linalg.norm(axes, axis=0)
    np.testing.assert_allclose(np.minimum(np.abs(lengths - 1), lengths), 0, atol=1e-6)
    assert np.isfinite(axes).all()
