"""Aliased columns: the fast check and the full one agree, and both follow R's rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixedfx.design import rank
from mixedfx.design.rank import combination, independent_columns


def greedy(X):
    """The definition: keep a column if it raises the rank of those kept before."""
    kept = []
    for j in range(X.shape[1]):
        if np.linalg.matrix_rank(X[:, [*kept, j]], tol=1e-6) > len(kept):
            kept.append(j)
    return kept


@given(arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(0, 6)), elements=st.integers(-3, 3)))
def test_small_integer_matrices_follow_the_definition(X):
    # Integer matrices this small are either exactly singular or far from it, so that no tolerance decides.
    assert independent_columns(X.astype(float)).tolist() == greedy(X.astype(float))


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1.0, 1e8, 1e150])
def test_scale_does_not_matter(scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 5))
    X[:, 3] = X[:, 0] - 2 * X[:, 2]
    X = X * np.array([1.0, scale, 1.0, 1.0, scale])
    assert independent_columns(X).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(("noise", "kept"), [(1e-6, [0, 1, 2]), (1e-8, [0, 1])])
def test_the_tolerance_is_1e_7_of_the_length_of_the_column(noise, kept):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    X[:, 2] = X[:, 0] + X[:, 1] + noise * rng.normal(size=200)
    assert independent_columns(X).tolist() == kept


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_check_is_not_trusted_near_the_tolerance(seed):
    """Distances of 3e-8 and 1e-8 are below the tolerance, yet the Cholesky factor of X'X may show noise of 1e-8."""
    rng = np.random.default_rng(seed)
    for noise in (3e-8, 1e-8):
        X = rng.normal(size=(50, 4))
        X[:, 3] = X[:, 0] + noise * X[:, 3]
        assert independent_columns(X).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_combinations_of_nearly_collinear_columns_are_found(seed):
    """Eight columns 1e-6 apart are kept; random combinations of them, and differences, are not."""
    rng = np.random.default_rng(seed)
    near = rng.normal(size=(100, 1)) + 1e-6 * rng.normal(size=(100, 8))
    X = np.column_stack([near, near @ rng.normal(size=(8, 6)), near[:, 0] - near[:, 1]])
    assert independent_columns(X).tolist() == list(range(8))


def test_more_columns_than_rows():
    assert independent_columns(np.vander(np.arange(1.0, 4.0), 6, increasing=True)).tolist() == [0, 1, 2]


def test_zero_columns_and_none():
    assert independent_columns(np.zeros((4, 2))).tolist() == []
    assert independent_columns(np.empty((4, 0))).tolist() == []


def test_a_matrix_far_from_singular_needs_no_qr(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("QR called")

    X = np.random.default_rng(2).normal(size=(100, 6))
    monkeypatch.setattr(rank.np.linalg, "qr", refuse)
    assert independent_columns(X).tolist() == list(range(6))
    X[:, 5] = X[:, 0]
    with pytest.raises(AssertionError, match="QR called"):
        independent_columns(X)


def test_combination_names_the_columns_that_take_part():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(20, 5))
    X[:, 4] = 3 * X[:, 1] - X[:, 2]
    assert combination(X, np.array([0, 1, 2, 3]), 4).tolist() == [1, 2]
    X[:, 4] = 0
    assert combination(X, np.array([0, 1, 2, 3]), 4).tolist() == []


@pytest.mark.parametrize("shift", [0.0, 2017.0, 1e6, -1e8])
def test_a_covariate_far_from_zero_is_no_intercept(shift):
    """What it varies about its mean is what counts; another column of the same line is still seen to be one."""
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(2, 80))
    far = x + shift
    X = np.column_stack([np.ones(80), far, w + 0.9 * x - shift, 2 * far + 1, np.full(80, 0.1) * 3])
    assert independent_columns(X).tolist() == [0, 1, 2]
    dummies = np.eye(3)[rng.integers(0, 3, 80)]
    assert independent_columns(np.column_stack([dummies, far])).tolist() == [0, 1, 2, 3]
    assert independent_columns(np.column_stack([dummies, np.ones(80), far])).tolist() == [0, 1, 2, 4]


def test_rounding_is_no_variation():
    """Columns that are constant but for the last bit, and copies that were computed in another way."""
    x = np.random.default_rng(4).normal(size=60) + 1e6
    noisy = 1.0 + np.finfo(float).eps * np.arange(60)
    celsius = (x * 1.8 + 32.0 - 32.0) / 1.8
    assert independent_columns(np.column_stack([np.ones(60), x, noisy, celsius])).tolist() == [0, 1]
