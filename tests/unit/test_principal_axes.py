"""Principal axes: what is known of them by definition, on random vectors."""

import numpy as np
import pytest

from similarity.principal_axes import principal_axes


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
