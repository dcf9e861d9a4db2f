"""Theta's uncertainty against integration on a grid, against draws, and under what must not change it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, linalg, stats

from mixedfx.bayes.collapsed.engine import sample
from mixedfx.errors import MixedfxWarning
from mixedfx.reml import theta_nodes as module
from mixedfx.reml.lmer import lmer
from mixedfx.reml.theta_prior import ETA, FARTHEST, NEAREST, TURN, theta_density
from mixedfx.sampling import mixture

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")


def groups_of(sizes, seed, sd=0.7):
    """Rows y, x, g with an intercept that varies over groups of these sizes."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    frame = pd.DataFrame({"x": rng.normal(size=len(g)), "g": [f"g{k:02d}" for k in g]})
    return frame.assign(y=1 + 0.5 * frame["x"] + sd * rng.normal(size=len(sizes))[g] + rng.normal(size=len(g)))


class Grid:
    """The mixture of one model ``y ~ x + (1 | g)`` on a dense grid of (log sigma, log sd): by the textbook."""

    def __init__(self, fit, reach=7.0, points=121):
        design = fit.design
        X, y, J = design.X, design.y, design.random[0].n_levels
        Z = (design.random[0].codes[:, None] == np.arange(J)).astype(float)
        n, p = X.shape
        Q = linalg.null_space(X.T)  # restricted likelihood: that of the contrasts Q'y
        spread = np.sqrt(y @ Q @ Q.T @ y / (n - p))
        turn, farthest, nearest = fit.sigma * np.sqrt(TURN / n), FARTHEST * spread, NEAREST * spread
        self.log_sigma = np.log(fit.sigma) + np.linspace(-1.0, 1.2, 61)
        self.log_sd = np.log(turn) + np.linspace(-reach, reach, points)
        values, vectors = np.linalg.eigh(Q.T @ Z @ Z.T @ Q)
        rotated = vectors.T @ Q.T @ y
        s2, t2 = np.exp(2 * self.log_sigma)[:, None, None], np.exp(2 * self.log_sd)[None, :, None]
        eigen = s2 + t2 * np.clip(values, 0, None)
        loglik = -0.5 * (np.log(eigen) + rotated**2 / eigen).sum(axis=2)
        sd, sigma = np.exp(self.log_sd), np.exp(self.log_sigma)
        prior = np.log(sd) - np.log(sd**2 + turn**2) - np.log1p((sd / farthest) ** 2) + self.log_sd
        of_sigma = np.log(sigma) - np.log(sigma**2 + nearest**2) + self.log_sigma
        density = np.exp(loglik + prior + of_sigma[:, None] - (loglik + prior).max())
        weights = density * np.gradient(self.log_sigma)[:, None] * np.gradient(self.log_sd)
        kept = weights > 1e-9 * weights.max()
        self.weights = weights[kept] / weights[kept].sum()
        a, b = np.nonzero(kept)
        self.sigma, self.sd = sigma[a], sd[b]
        self.parts = X, Z, y

    def moments(self, x, z, new=0.0):
        """(K, 1) means and standard deviations of x'beta + z'u + new g at every point, by generalised least squares."""
        X, Z, y = self.parts
        means, variances = np.empty((len(self.sd), 1)), np.empty((len(self.sd), 1))
        for k, (sigma, sd) in enumerate(zip(self.sigma, self.sd, strict=True)):
            V = sigma**2 * np.eye(len(y)) + sd**2 * Z @ Z.T
            W = np.linalg.inv(V)
            C = np.linalg.inv(X.T @ W @ X)
            beta = C @ X.T @ W @ y
            shrink = sd**2 * Z.T @ W
            row = x - z @ shrink @ X
            means[k] = x @ beta + z @ shrink @ (y - X @ beta)
            variances[k] = row @ C @ row + z @ (sd**2 * np.eye(len(z)) - sd**2 * shrink @ Z) @ z + (new * sd) ** 2
        return means, np.sqrt(variances)


@pytest.fixture(scope="module")
def few():
    """Five groups, one of them far smaller, and the grid."""
    fit = lmer("y ~ x + (1 | g)", groups_of([6, 3, 8, 5, 7], 3))
    return fit, Grid(fit)


QUESTIONS = {
    "a group": (np.array([1.0, 0.3]), np.array([0.0, 1.0, 0.0, 0.0, 0.0]), 0.0),
    "a difference": (np.zeros(2), np.array([1.0, -1.0, 0.0, 0.0, 0.0]), 0.0),
    "a new group": (np.array([1.0, 0.3]), np.zeros(5), 1.0),
}


def rows_of(fit, x, z, new):
    frame = pd.DataFrame({"x": [0.0], "g": ["new"]})
    one = fit.design_for(frame, new_levels="sample")
    from scipy import sparse

    return replace(one, fixed=x[None], random=sparse.csr_array(z[None]), new=one.new * new)


@pytest.mark.parametrize("name", QUESTIONS)
def test_intervals_are_those_of_a_dense_grid(few, name):
    fit, grid = few
    x, z, new = QUESTIONS[name]
    found = fit.with_uncertainty("full").apply(rows_of(fit, x, z, new))
    means, sds = grid.moments(x, z, new)
    gap = found.mean - grid.weights @ means
    parts = (grid.weights, means + gap, np.sqrt(sds**2 + gap**2))
    expected = np.array([mixture.quantiles(*parts, q)[0] for q in (0.05, 0.95)])
    sd = float(np.sqrt(mixture.moments(*parts)[1][0]))
    # 512 nodes in two dimensions; leaving theta out, or equal weights, is off by 5 to 50 % (the tests below)
    np.testing.assert_allclose(found.interval(0.9)[0], expected, atol=0.015 * (expected[1] - expected[0]))
    # the variance of a new group has a tail that quantiles do not have
    assert found.sd[0] == pytest.approx(sd, rel=0.02 if new == 0 else 0.1)
    below = float(mixture.share_between(*parts, -np.inf, 0.4)[0])
    assert found.probability(less=0.4)[0] == pytest.approx(below, abs=0.005)
    assert found.probability(greater=0.4)[0] == pytest.approx(1 - below, abs=0.005)


def width(fit, name):
    found = fit.with_uncertainty("full").apply(rows_of(fit, *QUESTIONS[name]))
    return float(np.diff(found.interval(0.9)[0])[0])


@pytest.mark.parametrize("name", QUESTIONS)
def test_nodes_left_out_or_weighted_alike_are_noticed(few, name, monkeypatch):
    """What the tolerances above catch: theta taken as known, and the proposal's points with equal weights."""
    fit, grid = few
    x, z, new = QUESTIONS[name]
    means, sds = grid.moments(x, z, new)
    truth = [mixture.quantiles(grid.weights, means, sds, q)[0] for q in (0.05, 0.95)]
    right = truth[1] - truth[0]
    given = fit.apply(rows_of(fit, x, z, new)).sd[0] * 2 * stats.norm.ppf(0.95)
    assert given < 0.93 * right
    nodes = fit.uncertain.nodes
    equal = replace(nodes.nodes, weights=np.full(len(nodes), 1 / len(nodes)))
    monkeypatch.setitem(fit.uncertain.__dict__, "nodes", replace(nodes, nodes=equal))
    assert width(fit, name) > 1.03 * right


def test_nodes_are_the_posterior_under_the_same_prior():
    """Two terms, one with correlated slopes: 512 nodes against 16,000 draws of the collapsed engine's own sampler."""
    rng = np.random.default_rng(5)
    g, h = rng.integers(0, 9, 160), rng.integers(0, 6, 160)
    frame = pd.DataFrame({"x": rng.normal(size=160) + 3.0, "g": g.astype(str), "h": h.astype(str)})
    u = rng.normal(size=(9, 2)) * [0.6, 0.4]
    frame["y"] = frame["x"] + u[g, 0] + u[g, 1] * frame["x"] + 0.5 * rng.normal(size=6)[h] + rng.normal(size=160)
    fit = lmer("y ~ x + (x | g) + (1 | h)", frame)
    rows = fit.design_for(frame.iloc[:12])
    nodes = fit.uncertain.nodes
    draws = sample(nodes.target, 16_000, 1, 0, np.random.default_rng(1))
    values = draws.beta @ rows.fixed.T + (rows.random @ draws.u.T).T
    means, variances = nodes.moments(rows)
    sds = np.sqrt(variances)
    mean, variance = mixture.moments(nodes.weights, means, sds)
    error = values.std(axis=0) / np.sqrt(16_000)
    # four Monte Carlo errors, and the error of the nodes: a percent of a standard deviation
    np.testing.assert_array_less(np.abs(mean - values.mean(axis=0)), 4 * error + 0.02 * np.sqrt(variance))
    for q in (0.05, 0.95):
        share = (values < mixture.quantiles(nodes.weights, means, sds, q)).mean(axis=0)
        assert np.abs(share - q).max() < 0.015
    # the density, too, is the restricted likelihood, whatever the fit was
    ml = lmer("y ~ x + (x | g) + (1 | h)", frame, REML=False)
    other = theta_density(ml.design, ml.solution.problem, fit.sigma)
    phi = nodes.nodes.points[:20]
    np.testing.assert_allclose(other.log_density(phi), nodes.target.log_density(phi), rtol=1e-10)


def test_the_density_is_the_restricted_likelihood_times_the_prior():
    """In one variance: phi = (log sigma, log s), up to a constant."""
    fit = lmer("y ~ x + (1 | g)", groups_of([5, 4, 6], 1))
    target = theta_density(fit.design, fit.solution.problem, fit.sigma)
    phi = np.random.default_rng(0).normal(size=(30, 2))
    X, y = fit.design.X, fit.design.y
    Z = (fit.design.random[0].codes[:, None] == np.arange(3)).astype(float)
    Q = linalg.null_space(X.T)
    spread = np.sqrt(y @ Q @ Q.T @ y / (len(y) - 2))
    expected = []
    for log_sigma, log_sd in phi:
        sigma, sd = np.exp(log_sigma), np.exp(log_sd)
        V = Q.T @ (sigma**2 * np.eye(len(y)) + sd**2 * Z @ Z.T) @ Q
        turn2 = TURN * fit.sigma**2 / len(y)
        prior = np.log(sd / (sd**2 + turn2) / (1 + (sd / (FARTHEST * spread)) ** 2)) + log_sd
        prior += np.log(sigma / (sigma**2 + (NEAREST * spread) ** 2)) + log_sigma
        expected.append(stats.multivariate_normal(np.zeros(len(V)), V).logpdf(Q.T @ y) + prior)
    gap = target.log_density(phi) - np.array(expected)
    np.testing.assert_allclose(gap, gap[0], atol=1e-8)


def test_the_prior_of_correlations_is_lkj_in_orthogonal_columns():
    fit = lmer("y ~ x + (x | g)", groups_of([9] * 8, 2))
    target = theta_density(fit.design, fit.solution.problem, fit.sigma)
    y = np.linspace(-2, 2, 9)
    phi = np.tile(np.array([0.0, 0.0, 0.0, 0.0]), (9, 1))
    phi[:, 3] = y
    # (1 - z^2)^(eta - 1) with dz / dy = 1 - z^2
    expected = ETA * np.log1p(-(np.tanh(y) ** 2))
    found = target.coordinates.log_prior(phi)
    np.testing.assert_allclose(found - found[4], expected - expected[4], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
@pytest.mark.parametrize("shift", [0.0, 2019.0])
def test_units_and_locations_change_nothing(scale, shift):
    """x -> shift + scale x and y -> 7 y: the same nodes, and effects in the new units."""
    frame = groups_of([12] * 7, 4)
    frame["y"] += np.random.default_rng(1).normal(size=7)[frame["g"].str[1:].astype(int)] * frame["x"] * 0.5
    moved = frame.assign(x=shift + scale * frame["x"], y=7.0 * frame["y"])
    one, other = (lmer("y ~ x + (x | g)", d).with_uncertainty("full") for d in (frame, moved))
    a, b = (fit.apply(fit.design_for(d.iloc[[0, 20, 50]])) for fit, d in ((one, frame), (other, moved)))
    # the two optimisers stop within 1e-6 of each other
    np.testing.assert_allclose(b.interval(0.9), 7.0 * a.interval(0.9), rtol=2e-3)
    np.testing.assert_allclose(b.sd, 7.0 * a.sd, rtol=2e-3)


def test_one_by_one_is_the_same_as_together(few, monkeypatch):
    """Models too large for the batch take a factorisation a node."""
    fit, _ = few
    rows = rows_of(fit, *QUESTIONS["a group"])
    whole = fit.uncertain.nodes
    alone = replace(whole, target=replace(whole.target))
    monkeypatch.setitem(alone.target.__dict__, "batch", None)
    for part in ({}, {"fixed": False}, {"random": False}):
        for one, other in zip(alone.moments(rows, **part), whole.moments(rows, **part), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8)
    means, variances = whole.moments(rows)
    expected = mixture.moments(whole.weights, means, np.sqrt(variances))[1]
    np.testing.assert_allclose(whole.covariance(rows)[0], expected, rtol=1e-8)
    for nodes in (whole, alone):
        draws = nodes.draws(rows, 4000, np.random.default_rng(0))[:, 0]
        # standard errors of a mean and of a standard deviation
        assert abs(draws.mean() - whole.weights @ means[:, 0]) < 5 * np.sqrt(expected[0] / 4000)
        assert draws.std() == pytest.approx(np.sqrt(expected[0]), rel=0.08)


def test_expensive_models_get_fewer_nodes_and_say_so(few, monkeypatch):
    fit, _ = few
    monkeypatch.setattr(module, "evaluation_seconds", lambda problem: 0.03)
    monkeypatch.setattr(type(fit.uncertain.nodes.target), "batch", None)
    again = replace(fit)
    nodes = again.uncertain.nodes
    assert nodes.trusted
    assert 16 <= len(nodes) <= 32
    found = again.with_uncertainty("full").apply(rows_of(fit, *QUESTIONS["a group"]))
    assert "32 nodes" in found.notes[0]
    whole = fit.with_uncertainty("full").apply(rows_of(fit, *QUESTIONS["a group"]))
    # said in the note: a few percent
    few_wide, wide = (float(np.diff(one.interval(0.9)[0])[0]) for one in (found, whole))
    assert few_wide == pytest.approx(wide, rel=0.1)


def test_weights_that_cannot_be_trusted_are_told(few, monkeypatch):
    """Then nodes of the normal approximation take their place, not theta-hat."""
    fit, _ = few
    monkeypatch.setattr(module, "MOST_COORDINATES", 1)
    again = replace(fit)
    with pytest.warns(MixedfxWarning, match=r"2 variance parameters are too many.*normal approximation"):
        found = again.with_uncertainty("full").apply(rows_of(fit, *QUESTIONS["a difference"])).interval(0.9)
    given = fit.apply(rows_of(fit, *QUESTIONS["a difference"])).sd[0] * 2 * stats.norm.ppf(0.95)
    assert float(np.diff(found[0])[0]) > 1.05 * given


def test_a_prior_alone_has_a_mass():
    """s / (s^2 + turn^2) / (1 + (s / farthest)^2) integrates: a variance the data do not know has a distribution."""
    from mixedfx.sampling.level_scale import LevelScale

    prior = LevelScale(0.3, 20.0)
    total = integrate.quad(lambda t: np.exp(prior.log_positive(np.exp(t)) + t), -30, 30)[0]
    assert np.isfinite(total)
    h = 1e-6
    for x in (0.01, 0.3, 5.0, 50.0):
        numeric = (prior.log_positive(x * np.exp(h)) - prior.log_positive(x * np.exp(-h))) / (2 * h)
        assert prior.score_positive(np.array(x)) == pytest.approx(numeric, rel=1e-6)


def test_levels_of_zero_variance_have_wider_intervals_than_theta_hat_gives():
    frame = groups_of([8] * 6, 11, sd=0.0)
    for seed in range(30):
        frame = groups_of([8] * 6, seed, sd=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            fit = lmer("y ~ x + (1 | g)", frame)
        if fit.singular:
            break
    assert fit.singular
    rows = rows_of(fit, np.array([1.0, 0.0]), np.eye(6)[2], 0.0)
    given, full = fit.apply(rows), fit.with_uncertainty("full").apply(rows)
    assert full.sd[0] > 1.2 * given.sd[0]
    assert full.mean[0] == given.mean[0]
    lower, upper = full.interval(0.9)[0]
    assert lower < full.mean[0] < upper
