"""The collapsed likelihood against the dense normal density, its gradient against differences, its draws against
moments.

The dense oracle writes the model down as y ~ N(X m, sigma^2 (W^-1 + Z D Z') + X S X') and shares nothing with the
blocks.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from mixedfx.design.build import build_design
from mixedfx.pls.collapsed import CoefficientPrior, Collapsed
from mixedfx.pls.collapsed_batch import batch
from mixedfx.pls.problem import build_problem
from tests.oracles.dense_lmm import dense_Z, factors_of
from tests.oracles.natural import used_factors

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ 0 + (1 | g)",
    "y ~ x + w + (x | g) + (1 | h)",
    "y ~ x + (1 | g) + (w | h) + (0 + x | h)",
]


def data(balanced=False):
    rng = np.random.default_rng(5)
    n = 60
    g = np.arange(n) % 6 if balanced else rng.integers(6, size=n)
    x = (np.arange(n) // 6 % 5 if balanced else rng.normal(size=n)) * 1.0
    frame = pd.DataFrame({"x": x, "w": rng.normal(size=n), "g": g, "h": rng.integers(4, size=n)})
    frame["weight"] = rng.uniform(0.5, 2, n)
    return frame.assign(y=3 + x + rng.normal(size=n))


def setting(formula, weights=None, balanced=False):
    design = build_design(formula, data(balanced), weights=weights)
    problem = build_problem(design)
    p = problem.p
    rows = np.tri(p)[::-1] if p else np.zeros((0, 0))
    prior = CoefficientPrior(rows, np.linspace(1, 2, p), np.linspace(0.5, 3, p))
    rng = np.random.default_rng(8)
    theta = rng.normal(size=problem.n_parameters)
    return Collapsed(design, problem, prior), theta, rng.uniform(0.5, 2, p)


def dense(collapsed, theta, sigma, mixing):
    """Mean and covariance of y, and the joint covariance of (beta, u) with y."""
    design, prior = collapsed.design, collapsed.prior
    Z = dense_Z(design)
    D = linalg.block_diag(
        *(np.kron(np.eye(t.n_levels), T @ T.T) for t, T in zip(design.random, factors_of(design, theta), strict=True))
    )
    if collapsed.problem.p:
        inverse = np.linalg.inv(prior.rows)
        mean, S = inverse @ prior.loc, inverse @ np.diag(prior.scale**2 / mixing) @ inverse.T
    else:
        mean, S = np.zeros(0), np.zeros((0, 0))
    weights = np.ones(len(design.y)) if design.weights is None else design.weights
    both = np.hstack([design.X, Z])
    prior_cov = linalg.block_diag(S, sigma**2 * D)
    V = sigma**2 * np.diag(1 / weights) + both @ prior_cov @ both.T
    return design.X @ mean, V, mean, both, prior_cov


@pytest.mark.parametrize("weights", [None, "weight"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_value_is_the_normal_density_of_y(formula, weights):
    collapsed, theta, mixing = setting(formula, weights)
    T = used_factors(collapsed.design, collapsed.problem, theta)
    mean, V, *_ = dense(collapsed, theta, 0.8, mixing)
    expected = stats.multivariate_normal.logpdf(collapsed.design.y, mean, V)
    assert collapsed.evaluate(T, 0.8, mixing).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_gradient_is_that_of_the_value(formula):
    collapsed, theta, mixing = setting(formula)
    T = used_factors(collapsed.design, collapsed.problem, theta)
    T = [one + 0.1 * np.random.default_rng(f).normal(size=one.shape) for f, one in enumerate(T)]  # not triangular
    at = collapsed.evaluate(T, 0.8, mixing, derivatives=True)
    h = 1e-5

    def difference(f):
        return (f(h) - f(-h)) / (2 * h)

    def moved(t, f, a, b):
        out = [one.copy() for one in T]
        out[f][a, b] += t
        return collapsed.evaluate(out, 0.8, mixing).value

    for f, slope in enumerate(at.gradient):
        numeric = [[difference(lambda t, f=f, a=a, b=b: moved(t, f, a, b)) for b in range(len(slope))]
                   for a in range(len(slope))]  # fmt: skip
        np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-6)
    of_sigma = difference(lambda t: collapsed.evaluate(T, 0.8 * np.exp(t), mixing).value)
    assert at.sigma_gradient == pytest.approx(of_sigma, rel=1e-6)
    numeric = [
        difference(lambda t, e=e: collapsed.evaluate(T, 0.8, mixing * np.exp(t * e)).value) for e in np.eye(len(mixing))
    ]
    np.testing.assert_allclose(at.precision_gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("formula", FORMULAS)
def test_many_points_at_once_are_the_points_one_by_one(formula, balanced):
    collapsed, _, mixing = setting(formula, balanced=balanced)
    problem, together = collapsed.problem, batch(collapsed)
    rng = np.random.default_rng(3)
    sigmas = rng.uniform(0.2, 2, 25)
    factors = [rng.normal(size=(25, group.k, group.k)) for group in problem.factors]  # full, not triangular
    found = together.loglik(factors, sigmas, np.tile(mixing, (25, 1)))
    expected = [collapsed.evaluate([T[d] for T in factors], s, mixing).value for d, s in enumerate(sigmas)]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_points_without_a_density_do_not_spoil_their_neighbours():
    collapsed, theta, mixing = setting("y ~ x + (x | g)")
    (one,) = used_factors(collapsed.design, collapsed.problem, theta)
    T = np.array([one] * 3)
    T[1, 0, 0] = np.inf
    found = batch(collapsed).loglik([T], np.array([0.8, 0.8, 0.0]), np.tile(mixing, (3, 1)))
    assert found[0] == pytest.approx(collapsed.evaluate([one], 0.8, mixing).value)
    assert found[1:].tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize("way", ["one", "many"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_draws_have_the_exact_conditional_mean_and_covariance(formula, way):
    collapsed, theta, mixing = setting(formula)
    at = used_factors(collapsed.design, collapsed.problem, theta)
    mean_y, V, mean, both, prior_cov = dense(collapsed, theta, 0.8, mixing)
    gain = prior_cov @ both.T @ np.linalg.inv(V)
    expected = np.concatenate([mean, np.zeros(both.shape[1] - len(mean))]) + gain @ (collapsed.design.y - mean_y)
    covariance = prior_cov - gain @ both @ prior_cov
    n, rng = 20_000, np.random.default_rng(11)
    if way == "one":
        beta, u = collapsed.draw(collapsed.evaluate(at, 0.8, mixing), n, rng)
    else:
        factors = [np.tile(T, (n, 1, 1)) for T in at]
        beta, u = batch(collapsed).draw(factors, np.full(n, 0.8), np.tile(mixing, (n, 1)), rng)
    draws = np.hstack([beta, u])
    sd = np.sqrt(np.diag(covariance))
    # 20,000 draws: a mean is within 4.5 of its errors, a correlation of 20 quantities within 0.035
    assert np.abs((draws.mean(axis=0) - expected) / sd).max() < 4.5 / np.sqrt(n)
    error = (np.cov(draws.T) - covariance) / np.outer(sd, sd)
    assert np.abs(error).max() < 0.045


def test_without_a_prior_it_is_minus_half_the_reml_criterion():
    from mixedfx.pls.evaluate import evaluate

    collapsed, theta, _ = setting("y ~ x + w + (x | g) + (1 | h)")
    par = collapsed.problem.parameters(theta)
    flat = CoefficientPrior(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    at = evaluate(collapsed.problem, par)
    found = Collapsed(collapsed.design, collapsed.problem, flat).evaluate(
        collapsed.problem.matrices(par), np.sqrt(at.sigma2)
    )
    assert found.value == pytest.approx(-at.criterion / 2, abs=1e-9)
