"""Every registered structure keeps the contract par -> T, at sizes one, two and many."""

import numpy as np
import pytest

from mixedfx.covariance.structures import STRUCTURES, factor, parameters, structure_for

CASES = [(name, k) for name in STRUCTURES for k in (1, 2, 3, 6)]


@pytest.mark.parametrize(("name", "k"), CASES)
def test_parameters_and_factor_are_inverse(name, k):
    structure = STRUCTURES[name](k)
    par = np.random.default_rng(k).normal(size=structure.n_parameters)
    T = factor(structure, par)
    assert np.array_equal(T, np.tril(T))
    np.testing.assert_array_equal(parameters(structure, T), par)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_canonical_keeps_the_covariance_and_makes_the_diagonal_positive(name, k):
    structure = STRUCTURES[name](k)
    T = factor(structure, np.random.default_rng(k).normal(size=structure.n_parameters))
    canonical = structure.canonical(T)
    np.testing.assert_allclose(canonical @ canonical.T, T @ T.T, atol=1e-12)
    assert np.all(np.diag(canonical) >= 0)
    assert np.array_equal(canonical, np.tril(canonical))


def test_canonical_of_a_factor_with_a_zero_pivot():
    """A zero first row leaves a rotation free; the canonical factor puts the variance on the diagonal."""
    T = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(structure_for(2, True).canonical(T), [[0.0, 0.0], [0.0, 5.0]], atol=1e-12)


def test_theta_is_the_column_major_lower_triangle():
    """lme4's order of theta for a 3 x 3 term."""
    rows, cols = structure_for(3, True).entries
    assert list(zip(rows, cols, strict=True)) == [(0, 0), (1, 0), (2, 0), (1, 1), (2, 1), (2, 2)]
