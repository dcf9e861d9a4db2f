"""Every registered structure keeps the contract par -> T, at sizes one, two and many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_canonical_keeps_the_digits_of_rows_that_are_nearly_parallel():
    """An intercept a million slopes from the data: T T' would keep none of the digits of the last pivot."""
    at_the_middle = np.array([[0.8, 0.0], [-0.3, 0.5]])
    far = np.array([[1.0, -1e6], [0.0, 1.0]]) @ at_the_middle
    L = structure_for(2, True).canonical(far)
    back = structure_for(2, True).canonical(np.array([[1.0, 1e6], [0.0, 1.0]]) @ L)
    # each way costs the six digits of the distance
    np.testing.assert_allclose(back, at_the_middle * np.sign(np.diag(at_the_middle)), atol=1e-9)


@pytest.mark.parametrize(("name", "k"), CASES)
def test_many_factors_at_once_are_the_factors_one_by_one(name, k):
    structure, rng = STRUCTURES[name](k), np.random.default_rng(k)
    par = rng.normal(size=(5, structure.n_parameters))
    T = factor(structure, par)
    T[3] = 0.0
    if k > 1:
        T[4, 1] = T[4, 0] if name == "unconstrained" else 0.0  # no pivot of its own
    together = structure.canonical(T)
    np.testing.assert_array_equal(together, [structure.canonical(one) for one in T])
    np.testing.assert_allclose(together @ together.transpose(0, 2, 1), T @ T.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_array_equal(factor(structure, parameters(structure, together)), together)


@given(seed=st.integers(0, 10_000), k=st.integers(2, 5), rank=st.integers(0, 4))
def test_a_factor_of_deficient_rank_keeps_its_covariance(seed, k, rank):
    """Any rank, any pivots: a column is zero wherever its pivot is."""
    T = np.zeros((k, k))
    T[:, : min(rank, k)] = np.random.default_rng(seed).integers(-2, 3, (k, min(rank, k)))
    L = structure_for(k, True).canonical(T)
    np.testing.assert_allclose(L @ L.T, T @ T.T, atol=1e-12)
    np.testing.assert_array_equal(L, np.tril(L))
    for j in range(k):
        assert L[j, j] > 0 or not L[:, j].any()
