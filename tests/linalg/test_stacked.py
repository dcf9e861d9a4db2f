"""LAPACK on stacks of matrices is NumPy on each, in empty stacks and empty matrices too."""

import numpy as np
import pytest

from mixedfx.linalg import stacked


@pytest.mark.parametrize(("D", "n"), [(0, 3), (4, 0), (1, 1), (5, 12)])
def test_factors_solutions_and_inverses(D, n):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(D, n, 2 * n + 1))
    A, B = X @ X.transpose(0, 2, 1), rng.normal(size=(D, n, 3))
    factors, logdet = stacked.cholesky(A)
    assert len(factors) == D
    np.testing.assert_allclose(logdet, np.linalg.slogdet(A)[1], atol=1e-10)
    np.testing.assert_allclose(stacked.inverses(factors, n), np.linalg.inv(A), rtol=1e-8, atol=1e-10)
    if D and n:
        L = np.linalg.cholesky(A)
        np.testing.assert_allclose(np.tril(factors), L, rtol=1e-10)
        np.testing.assert_allclose(stacked.solved(factors, B), np.linalg.solve(A, B), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(
            stacked.half_solved(factors, B), np.linalg.solve(L.transpose(0, 2, 1), B), rtol=1e-8, atol=1e-10
        )


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        stacked.cholesky(np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))
