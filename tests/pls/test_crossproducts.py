"""Products of rows in chunks, and by the compiled pass, against products of whole columns."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.pls import crossproducts
from mixedfx.pls.crossproducts import accumulated, triangle
from mixedfx.pls.factors import group_factors
from mixedfx.pls.problem import build_problem
from mixedfx.pls.second_products import sparse_z
from mixedfx.reml.solve import solve

TERMS = ("(1 | g)", "(x | g)", "(1 | g) + (1 | h)", "(x || g) + (x | h) + (1 | g:h)", "(1 | gr(g, cov=A)) + (1 | h)")


def made(seed: int, n: int, terms: str, weighted: bool = False, mean: float = 0.0):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 6, n), rng.integers(0, 4, n)
    x, w = rng.normal(size=n), rng.normal(size=n) + 3.0
    y = mean + x + rng.normal(size=6)[g] + rng.normal(size=4)[h] + rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "w": w, "g": g.astype(str), "h": h.astype(str)})
    A = pd.DataFrame(np.exp(-abs(np.subtract.outer(range(6), range(6)))), index=list("012345"), columns=list("012345"))
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    return build_design(f"y ~ x + w + {terms}", data, weights=weights, env={"A": A})


def brute_force(design):
    """R, y's coefficients in Q, and all products of [Z1 Z2] and W, from matrices with every row."""
    root = np.ones(len(design.y)) if design.weights is None else np.sqrt(design.weights)
    X, y = design.X * root[:, None], (design.y - design.offset) * root
    R = np.linalg.qr(X, mode="r")
    R *= np.sign(np.diag(R))[:, None]
    Q = np.linalg.solve(R.T, X.T).T
    W = np.column_stack([Q, y - Q @ (Q.T @ y)])
    factors = group_factors(design)
    Z = [sparse_z((factor,)).toarray() * root[:, None] for factor in factors]
    return R, W, Z


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000), n=st.integers(60, 200), terms=st.sampled_from(TERMS), size=st.integers(1, 90),
    weighted=st.booleans(), compiled=st.booleans(),
)  # fmt: skip
def test_chunks_of_any_size_form_the_products_of_whole_columns(seed, n, terms, size, weighted, compiled):
    design = made(seed, n, terms, weighted)
    factors = group_factors(design)
    found = crossproducts.Accumulator(crossproducts.fixed_part(design, size), factors)
    for chunk in crossproducts.chunks(design, size):
        found.add(chunk, factors, compiled)
    R, W, Z = brute_force(design)
    close = {"rtol": 1e-9, "atol": 1e-9 * n}  # sums of n numbers of order one, of which some cancel
    np.testing.assert_allclose(found.fixed.R, R, **close)
    np.testing.assert_allclose(found.ww, W.T @ W, **close)
    q, k = factors[0].n_levels, factors[0].k
    blocks = (Z[0].T @ np.hstack([W, Z[0]])).reshape(q, k, -1)
    own = np.stack([blocks[j, :, W.shape[1] + j * k : W.shape[1] + (j + 1) * k] for j in range(q)])
    np.testing.assert_allclose(found.by_level[:, :, : W.shape[1]], blocks[:, :, : W.shape[1]], **close)
    np.testing.assert_allclose(found.by_level[:, :, W.shape[1] :], own, **close)
    if found.second is not None:
        Z2 = np.hstack(Z[1:])
        np.testing.assert_allclose(found.second.zw, Z2.T @ W, **close)
        np.testing.assert_allclose(found.second.gram.toarray(), Z2.T @ Z2, **close)
        cross = np.zeros((q * k, Z2.shape[1]))
        assert found.second.pattern is not None
        level = np.repeat(np.arange(q), np.diff(found.second.pattern.indptr))
        for a in range(k):
            cross[level * k + a, found.second.pattern.indices] = found.second.values[:, a]
        np.testing.assert_allclose(cross, Z[0].T @ Z2, **close)


@pytest.mark.parametrize("terms", TERMS)
def test_a_fit_in_chunks_is_the_fit(monkeypatch, terms):
    design = made(3, 400, terms)
    whole = solve(design)
    monkeypatch.setattr(crossproducts, "CHUNK", 37)
    chunked = solve(design)
    assert chunked.criterion == pytest.approx(whole.criterion, rel=1e-12)
    np.testing.assert_allclose(chunked.theta, whole.theta, rtol=1e-5, atol=1e-8)  # the optimiser's own tolerance


def test_columns_that_are_nearly_collinear_are_reduced_in_chunks():
    """x and x + 1e-6 w: the Cholesky factor of X'X has few digits, the QR decomposition of chunks has all."""
    design = made(5, 300, "(1 | g)")
    X = np.column_stack([design.X[:, 0], design.X[:, 1], design.X[:, 1] + 1e-6 * design.X[:, 2]])
    R, inverse = triangle(X)
    assert inverse is None
    pieces = crossproducts.triangle_of(X.T @ X, lambda: np.array_split(X, 7))[0]
    np.testing.assert_allclose(pieces, R, rtol=1e-9, atol=1e-9 * np.abs(R).max())


def test_correlated_errors_are_one_chunk():
    design = made(7, 60, "(1 | g)")
    V = np.eye(60) + 0.3 * (np.arange(60)[:, None] // 5 == np.arange(60) // 5)
    design = build_design("y ~ x + w + (1 | g)", design.frame, V=V)
    assert len(list(crossproducts.chunks(design, 10))) == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_a_large_mean_costs_no_digits_of_the_sums(compiled):
    """With y near 10^6 and sd 1 the sums of squares of the residual are those of the centred response.

    The residual of a row is then good to eps * 10^6 = 2e-10; the sum of its squares to that over root n.
    """
    sums = []
    for mean in (0.0, 1e6):
        design = made(1, 2_000, "(1 | g)", mean=mean)
        factors = group_factors(design)
        found = crossproducts.Accumulator(crossproducts.fixed_part(design), factors)
        for chunk in crossproducts.chunks(design):
            found.add(chunk, factors, compiled)
        sums.append(found.ww[-1, -1])
    assert sums[1] == pytest.approx(sums[0], rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_fit_is_that_of_the_products_by_column(monkeypatch, weighted):
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


def test_a_problem_keeps_no_rows_of_its_own():
    """Arrays as long as the data are the design's own, without a copy."""
    design = made(2, 500, "(x | g) + (1 | h)")
    problem = build_problem(design)
    theirs = [design.y, design.X, *(t.codes for t in design.random), *(t.z for t in design.random)]
    for group in problem.factors:
        for rows in (group.codes, *group.given):
            assert any(np.shares_memory(rows, own) for own in theirs)
    long = [
        name for name, value in vars(problem).items() if isinstance(value, np.ndarray) and len(design.y) in value.shape
    ]
    assert long == []


def test_both_passes_are_those_of_a_problem():
    design = made(4, 200, "(x | g)")
    found, problem = accumulated(design, group_factors(design)), build_problem(design)
    np.testing.assert_array_equal(found.ww, problem.ww)
