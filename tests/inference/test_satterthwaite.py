"""Satterthwaite's method: exact pieces, boundaries, invariance, and its limits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import DegreesOfFreedomWarning
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.covariance_derivatives import products, theta_directions
from mixedfx.inference.satterthwaite import assembled, combined_df, satterthwaite, second_derivatives
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem
from mixedfx.reml.solve import solve
from tests.oracles import dense_inference
from tests.oracles.dense_lmm import diagonal_of_theta, solution_at
from tests.oracles.random_designs import make_design, shapes


@given(shapes, st.integers(0, 10_000), st.booleans(), st.booleans())
def test_the_derivatives_of_the_covariance_are_exact(shapes, seed, weighted, REML):
    """Against central differences of the dense covariance, at any theta, sigma held."""
    design = make_design(seed, shapes, n=40, p=2, weighted=weighted)
    rng = np.random.default_rng(seed)
    theta = rng.uniform(0.2, 1.0, len(diagonal_of_theta(design)))
    problem = build_problem(design, REML)
    par = problem.parameters(theta)
    at = evaluate(problem, par)
    found, dresidual = theta_directions(problem, at, products(problem, at))
    for k in range(len(par)):
        step = 1e-5 * np.eye(len(par))[k]
        high, low = (solution_at(design, problem.theta(par + sign * step), REML) for sign in (1, -1))
        vcov = [at.sigma2 * s.vcov / s.sigma**2 for s in (high, low)]
        residual = [s.sigma**2 * s.dof for s in (high, low)]
        # a central difference of 1e-5 is good for about 1e-7 of the largest entry
        numeric = (vcov[0] - vcov[1]) / 2e-5
        np.testing.assert_allclose(found[k], numeric, rtol=1e-5, atol=1e-5 * np.abs(vcov).max())
        assert dresidual[k] == pytest.approx((residual[0] - residual[1]) / 2e-5, rel=1e-5, abs=1e-5 * residual[0])


@settings(max_examples=30)  # a second derivative by n x n matrices takes a twentieth of a second
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_the_second_derivatives_are_those_of_the_dense_criterion(seed, weighted, REML):
    """In (theta, sigma) by the chain rule from the analytical ones in the (co)variances, sigma eliminated."""
    design = make_design(seed, [(8, 2, True, "g"), (6, 1, True, "h")], n=80, p=2, weighted=weighted)
    problem = build_problem(design, REML)
    theta = np.array([0.9, 0.2, 0.7, 0.8])
    par = problem.parameters(theta)
    at = evaluate(problem, par)
    found = second_derivatives(problem, at, np.arange(4))

    sigma = np.sqrt(at.sigma2)
    H = dense_inference.observed_second_derivatives(design, theta, sigma, REML)
    # the chain rule, with the gradient's part: gammas are quadratic in (theta, sigma)
    inverse, _, P, G = dense_inference.pieces(design, theta, sigma)
    first = P if REML else inverse
    Py = P @ (design.y - design.offset)
    gradient = np.array([np.sum(first * A) - Py @ A @ Py for A in G])
    x = np.append(par, sigma)

    def gammas(x):
        return dense_inference.gammas(design, problem.theta(x[:-1]), x[-1])

    step = 1e-4
    eye = step * np.eye(5)
    J = np.array([(gammas(x + e) - gammas(x - e)) / (2 * step) for e in eye]).T
    curved = np.array(
        [[gammas(x + a + b) - gammas(x + a - b) - gammas(x - a + b) + gammas(x - a - b) for b in eye] for a in eye]
    ) / (4 * step**2)
    full = J.T @ H @ J + curved @ gradient
    profiled = full[:4, :4] - np.outer(full[:4, 4], full[4, :4]) / full[4, 4]
    # the package's central differences are good for 1e-6, those of the polynomial gammas for 1e-7
    np.testing.assert_allclose(found, profiled, rtol=2e-5, atol=2e-5 * np.abs(profiled).max())


def dyestuff2():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 5), "y": rng.normal(size=30), "x": np.tile(np.arange(5.0), 6)})
    data["y"] -= data.groupby("g")["y"].transform("mean")
    return data


def test_a_variance_on_zero_is_left_out_and_the_residual_df_remain():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.SingularFitWarning)
        fit = mx.lmer("y ~ x + (1 | g)", dyestuff2())
    assert fit.theta.iloc[0] == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        df = fit.tidy()["df"]
    np.testing.assert_allclose(df, 28.0, rtol=1e-12)


def test_a_correlation_of_one_leaves_finite_df_near_those_of_the_model_without_the_null_direction():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 8)
    x = np.tile(np.arange(8.0), 12)
    u = rng.normal(size=12)
    data = pd.DataFrame({"g": g.astype(str), "x": x, "y": 3 * u[g] + u[g] * x + rng.normal(size=96)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.SingularFitWarning)
        fit = mx.lmer("y ~ x + (x | g)", data)
    df = fit.tidy()["df"]
    assert np.isfinite(df).all()
    # the slopes of 12 groups: 11 df, the only between-group information there is
    np.testing.assert_allclose(df, 11.0, rtol=0.15)


def test_a_model_without_random_terms_has_its_residual_df():
    fit = mx.lmer("y ~ x", dyestuff2())
    for ddf in ("satterthwaite", "kenward-roger", "residual"):
        assert fit.tidy(ddf=ddf)["df"].tolist() == [28.0, 28.0]


@given(st.integers(0, 10_000))
def test_f_of_a_single_row_is_t_squared_and_the_scale_of_rows_does_not_matter(seed):
    design = make_design(seed, [(6, 1, True, "g")], n=40, p=3)
    problem = build_problem(design)
    used = satterthwaite(problem, np.array([max(0.1, float(solve(design).par[0]))]))
    rng = np.random.default_rng(seed)
    L, difference = rng.normal(size=(2, 3)), rng.normal(size=2)
    F, q, df = used.f_test(L[:1], difference[:1])
    assert q == 1.0
    assert pytest.approx(difference[0] ** 2 / (L[0] @ used.vcov @ L[0])) == F
    assert df == pytest.approx(used.t_df(L[:1])[0])
    both = used.f_test(L, difference)
    assume(np.isfinite(both[2]))
    doubled = used.f_test(np.vstack([L, L[0] + L[1]]), np.append(difference, difference.sum()))
    assert doubled[:2] == pytest.approx(both[:2], rel=1e-6)
    wald = difference @ np.linalg.solve(L @ used.vcov @ L.T, difference) / 2
    assert both[0] == pytest.approx(wald, rel=1e-8)


def test_combined_df_is_continuous_and_defined_everywhere():
    assert combined_df(np.array([12.0])) == 12.0
    assert combined_df(np.array([12.0, 12.0 + 1e-6])) == pytest.approx(12.0, rel=1e-6)
    assert combined_df(np.array([1.5, 30.0])) == 2.0
    assert combined_df(np.array([np.inf, np.inf])) == np.inf
    assert 10 < combined_df(np.array([10.0, np.inf])) < np.inf
    # with huge and unequal df no digit is lost
    assert combined_df(np.array([1e9, 2e9])) == pytest.approx(4e9 / 3, rel=1e-6)


def test_rows_of_very_different_scales_keep_their_rank():
    L = np.array([[1e-8, 0.0], [0.0, 1e8]])
    rows, t2 = independent_contrasts(L, np.eye(2), np.array([2e-8, 3e8]))
    assert rows.shape == (2, 2)
    np.testing.assert_allclose(np.sort(t2), [4.0, 9.0])


def test_a_criterion_that_ends_beside_the_estimate_leaves_degrees_of_freedom_unknown():
    """As where the model reproduces the response exactly, and rounding says whether a step from there has a value."""
    rng = np.random.default_rng(3)
    u, x = rng.integers(0, 30, 600), rng.normal(size=600)
    frame = pd.DataFrame({"y": 2 * x + u, "x": x, "u": u, "i": rng.integers(0, 20, 600)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mx.lmer("y ~ x + (1 | u) + (1 | i)", frame)
        assert "Satterthwaite" in fit.summary().text()
    problem = fit.solution.problem
    at = evaluate(problem, fit.solution.par)

    def ends(which):
        raise np.linalg.LinAlgError

    with pytest.warns(DegreesOfFreedomWarning, match="has no value beside the estimate"):
        found = assembled(problem, at, products(problem, at), ends, fit.design)
    assert np.isnan(found.t_df(np.eye(2))).all()
    F, m, df = found.f_test(np.eye(2), fit.fixef.to_numpy())
    assert np.isfinite(F)
    assert m == 2
    assert np.isnan(df)
