"""Questions about (beta, u): apply, draws and simulate agree with dense formulas, each other and the model."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from mixedfx.design.functional import Functional, NewLevel
from mixedfx.errors import MixedfxWarning
from mixedfx.inference.normal_estimate import new_level_root
from mixedfx.inference.predictor import random_part
from mixedfx.reml.lmer import lmer
from tests.oracles import dense_lmm


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    n = 160
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.uniform(0.5, 2, n), "o": rng.normal(size=n)})
    g, h = rng.integers(0, 10, n), rng.integers(0, 8, n)
    effects = rng.normal(size=(10, 2)) @ np.array([[1.0, 0.4], [0.0, 0.6]])
    noise = rng.normal(size=n) / np.sqrt(frame["w"])
    frame["y"] = (
        2 + frame["x"] + effects[g, 0] + effects[g, 1] * frame["x"] + rng.normal(size=8)[h] + frame["o"] + noise
    )
    return frame.assign(g=g.astype(str), h=h.astype(str))


@pytest.fixture(scope="module")
def fit(data):
    return lmer("y ~ x + (x | g) + (1 | h)", data, weights="w", offset="o")


@pytest.fixture(scope="module")
def rows(fit):
    """Six rows: two known, four of unseen levels, of which two share one."""
    new = pd.DataFrame(
        {
            "x": [0.0, 1.0, 0.0, 1.0, 1.0, 2.0],
            "g": ["3", "3", "new1", "new1", "new2", "4"],
            "h": ["1", "2", "1", "1", "2", "other"],
            "o": 0.5,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return fit.design_for(new, new_levels="sample")


def dense_moments(fit, rows):
    """Mean and covariance with the unseen levels' effects as extra random effects, from the dense joint covariance."""
    solution = dense_lmm.solution_at(fit.design, fit.theta.to_numpy())
    mean = rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset
    G = np.zeros((rows.new.shape[1], rows.new.shape[1]))
    at = 0
    for level in rows.new_levels:
        T = solution.factors[level.term]
        G[at : at + len(T), at : at + len(T)] = solution.sigma**2 * T @ T.T
        at += len(T)
    new = rows.new.toarray()
    return mean, solution.joint.covariance(rows.fixed, rows.random) + new @ G @ new.T


def test_mean_and_covariance_with_unseen_levels_equal_the_dense_formulas(fit, rows):
    mean, cov = dense_moments(fit, rows)
    found = fit.apply(rows)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(found.cov, cov, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.variances, np.diag(cov), rtol=1e-7)
    np.testing.assert_allclose(found.sd, np.sqrt(np.diag(cov)), rtol=1e-7)


def test_unseen_levels_are_independent_of_each_other_and_share_within(fit, rows):
    zero = Functional(
        np.zeros_like(rows.fixed), 0 * rows.random, rows.new, rows.new_levels, 0 * rows.offset, rows.unseen
    )
    cov = fit.apply(zero).cov
    assert cov[2, 3] > 0  # new1 with itself
    np.testing.assert_array_equal(cov[[2, 2, 4], [4, 5, 5]], 0)  # new1, new2 and other


def test_a_combination_of_rows_has_the_combined_moments(fit, rows):
    W = np.array([[1.0, -1.0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, -1.0, 0]])
    whole, part = fit.apply(rows), fit.apply(rows.combine(W))
    np.testing.assert_allclose(part.mean, W @ whole.mean, rtol=1e-10)
    np.testing.assert_allclose(part.cov, W @ whole.cov @ W.T, rtol=1e-8, atol=1e-12)


def assert_moments(draws, mean, cov):
    """Sample moments within 5 of their standard errors."""
    n = len(draws)
    sd = np.sqrt(np.diag(cov))
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(n)
    # the standard error of a covariance is at most sqrt(2 / n) sd sd
    assert np.abs((np.cov(draws.T) - cov) / np.outer(sd, sd)).max() < 5 * np.sqrt(2 / n)


def test_draws_of_few_rows_have_these_moments(fit, rows):
    mean, cov = dense_moments(fit, rows)
    assert_moments(fit.apply(rows).draws(20_000, seed=3), mean, cov)


def test_draws_of_many_rows_go_through_beta_and_u_and_have_the_same_moments(fit, rows):
    mean, cov = dense_moments(fit, rows)
    many = rows.combine(sparse.csr_array(np.tile(np.eye(6), (200, 1))))
    assert len(many) == 1200
    draws = fit.apply(many).draws(4000, seed=3)
    assert draws.shape == (4000, 1200)
    np.testing.assert_allclose(draws[:, :6], draws[:, 6:12], rtol=1e-10)  # copies of a row are one number
    assert_moments(draws[:, :6], mean, cov)


def test_draws_of_a_fit_have_the_joint_covariance_of_beta_and_u(fit):
    draws = fit.draws(20_000, seed=4)
    solution = dense_lmm.solution_at(fit.design, fit.theta.to_numpy())
    keys = list(draws)
    assert len(keys) == 2 + 20 + 8
    assert keys[0] == ("beta", "Intercept")
    assert keys[2:4] == [("u", "g", "0", "Intercept"), ("u", "g", "0", "x")]
    assert keys[-1] == ("u", "h", "7", "Intercept")
    assert_moments(draws.stack(), np.concatenate([solution.beta, solution.u]), solution.joint.full)
    assert "left out" in draws.note


def test_a_seed_repeats_draws_and_another_does_not(fit, rows):
    np.testing.assert_array_equal(fit.draws(5, seed=1).array, fit.draws(5, seed=1).array)
    assert (fit.draws(5, seed=1).array != fit.draws(5, seed=2).array).any()
    np.testing.assert_array_equal(fit.apply(rows).draws(5, seed=1), fit.apply(rows).draws(5, seed=1))
    assert fit.draws(seed=1).array.shape[:2] == (1, 1000)
    assert fit.apply(rows).draws(seed=1).shape == (1000, 6)


def test_an_effect_known_exactly_has_draws_without_spread(fit, rows):
    nothing = rows.combine(np.zeros((1, 6)))
    found = fit.apply(nothing)
    assert found.cov == pytest.approx(0)
    assert found.draws(10, seed=1) == pytest.approx(0)


def test_simulations_have_the_mean_and_covariance_of_the_model(fit):
    ys = fit.simulate(8000, seed=5)
    assert ys.shape == (160, 8000)
    assert ys.index.equals(fit.fitted.index)
    Z, sigma = dense_lmm.dense_Z(fit.design), fit.sigma
    D = [np.kron(np.eye(t.n_levels), T @ T.T) for t, T in zip(fit.design.random, fit.solution.factors, strict=True)]
    from scipy.linalg import block_diag

    V = sigma**2 * (np.diag(1 / fit.design.weights) + Z @ np.asarray(block_diag(*D)) @ Z.T)
    mean = fit.design.X @ fit.fixef.to_numpy() + fit.design.offset
    assert_moments(ys.to_numpy().T, mean, V)


def test_simulations_that_keep_u_vary_by_residuals_only(fit):
    ys = fit.simulate(8000, seed=5, use_u=True).to_numpy()
    assert_moments(ys.T, fit.fitted.to_numpy(), np.diag(fit.sigma**2 / fit.design.weights))


def test_random_part_is_Z_u(fit):
    u = np.random.default_rng(1).normal(size=(3, fit.design.n_random))
    np.testing.assert_allclose(random_part(fit.design, u), u @ dense_lmm.dense_Z(fit.design).T, atol=1e-12)
    np.testing.assert_allclose(random_part(fit.design, u[0]), dense_lmm.dense_Z(fit.design) @ u[0], atol=1e-12)


def test_root_of_unseen_levels_follows_their_order_over_terms():
    T0, T1 = np.array([[1.0, 0.0], [2.0, 3.0]]), np.array([[5.0]])
    levels = (NewLevel(1, "a"), NewLevel(0, "b"), NewLevel(1, "c"))
    expected = np.zeros((4, 4))
    expected[0, 0], expected[1:3, 1:3], expected[3, 3] = 10, 2 * T0, 10
    np.testing.assert_array_equal(new_level_root(levels, [T0, T1], 2.0).toarray(), expected)
    assert new_level_root((), [T0, T1], 2.0).shape == (0, 0)


def test_intervals_of_unseen_levels_cover_at_their_nominal_rate():
    """Given the true theta the interval of a new group's mean is exact: 90 % of populations."""
    rng = np.random.default_rng(9)
    groups, size, tau = 40, 6, 1.3
    hits = 0
    for _ in range(400):
        u = tau * rng.normal(size=groups + 1)
        g = np.repeat(np.arange(groups), size)
        frame = pd.DataFrame({"y": 1 + u[g] + rng.normal(size=len(g)), "g": g})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            fit = lmer("y ~ 1 + (1 | g)", frame)
            found = fit.apply(fit.design_for(pd.DataFrame({"g": [groups]}), new_levels="sample"))
        hits += abs(found.mean[0] - (1 + u[groups])) < 1.645 * found.sd[0]
    # theta estimated from 40 groups costs about one point; the Monte Carlo standard error is 1.5 points, four of them
    assert 0.84 < hits / 400 < 0.96


def test_few_rows_over_many_groups_are_cheap():
    rng = np.random.default_rng(10)
    groups = 30_000
    g = np.repeat(np.arange(groups), 3)
    frame = pd.DataFrame(
        {"y": rng.normal(size=groups)[g] + rng.normal(size=len(g)), "x": rng.normal(size=len(g)), "g": g}
    )
    fit = lmer("y ~ x + (1 | g)", frame)
    rows = fit.design_for()
    start = time.perf_counter()
    subgroup = rows.combine(sparse.csr_array(np.ones((1, len(rows))) / len(rows)))
    found = fit.apply(subgroup)
    assert found.cov.shape == (1, 1)
    assert found.draws(1000, seed=1).shape == (1000, 1)
    # milliseconds when the cost is that of the rows; a dense (q, q) inverse would take 7 GB
    assert time.perf_counter() - start < 2
