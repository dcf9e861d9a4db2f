"""The compiled pass over the rows against the NumPy products that it stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfx.pls import crossproducts
from mixedfx.pls.crossproducts import cross_products


def rows(seed: int, n: int, p: int, k: int, n_levels: int, mean: float = 0.0):
    rng = np.random.default_rng(seed)
    X, z = rng.normal(size=(n, p)), rng.normal(size=(n, k))
    X[:, 0] = 1.0
    y = mean + X @ rng.normal(size=p) + rng.normal(size=n)
    return X, y, z, rng.integers(0, n_levels, n)


def assert_same(found, wanted, atol):
    np.testing.assert_array_equal(found.R, wanted.R)
    np.testing.assert_allclose(found.gamma, wanted.gamma, rtol=1e-10, atol=atol)
    np.testing.assert_allclose(found.ww, wanted.ww, rtol=1e-10, atol=atol)
    np.testing.assert_allclose(found.by_level, wanted.by_level, rtol=1e-10, atol=atol)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 300),
    p=st.integers(1, 6),
    k=st.integers(1, 4),
    n_levels=st.integers(1, 12),
)
def test_one_pass_forms_the_same_products(seed, n, p, k, n_levels):
    X, y, z, codes = rows(seed, n, p, k, n_levels)
    R, gram, inverse = crossproducts.triangle(X)
    if inverse is None:  # nearly collinear: the one pass is not used
        return
    found = crossproducts._one_pass(X, y, z, codes, n_levels, R, gram, inverse)
    wanted = crossproducts._by_columns(X, y, z, codes, n_levels, R, inverse)
    assert_same(found, wanted, atol=1e-11 * n)  # sums of n numbers of order one, of which some cancel


def test_a_large_mean_costs_no_digits_of_the_sums():
    """With y near 10^6 and sd 1 the sums of squares of the residual are those of the centred response.

    The residual of a row is then good to eps * 10^6 = 2e-10; the sum of its squares to that over root n.
    """
    X, y, z, codes = rows(1, 2_000, 3, 2, 40)
    R, gram, inverse = crossproducts.triangle(X)
    far = crossproducts._one_pass(X, y + 1e6, z, codes, 40, R, gram, inverse)
    near = crossproducts._one_pass(X, y, z, codes, 40, R, gram, inverse)
    assert far.ww[-1, -1] == pytest.approx(near.ww[-1, -1], rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_fit_is_that_of_the_products_by_column(monkeypatch, weighted):
    import pandas as pd

    import mixedfx as mx

    rng = np.random.default_rng(3)
    n = crossproducts.ONE_PASS_FROM
    g, x = rng.integers(0, 50, n), rng.normal(size=n)
    u = rng.normal(size=(50, 2)) * [2.0, 0.5]
    data = pd.DataFrame({"y": 10 + x + u[g, 0] + u[g, 1] * x + rng.normal(size=n), "x": x, "g": g})
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    passed = mx.lmer("y ~ x + (x | g)", data, weights=weights)
    monkeypatch.setattr(crossproducts, "ONE_PASS_FROM", 10 * n)
    by_columns = mx.lmer("y ~ x + (x | g)", data, weights=weights)
    assert passed.criterion == pytest.approx(by_columns.criterion, rel=1e-12)
    np.testing.assert_allclose(passed.theta, by_columns.theta, rtol=1e-7)  # the optimiser's own tolerance


def test_rows_are_kept_where_other_factors_need_them():
    X, y, z, codes = rows(2, 200, 2, 1, 10)
    kept = cross_products(X, y, z, codes, 10, with_rows=True).rows
    assert kept is not None
    np.testing.assert_allclose(kept[:, :2] @ crossproducts.triangle(X)[0], X, atol=1e-12)
