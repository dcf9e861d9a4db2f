"""Evidences and draws of averaged meta-analyses against brute force, and each fast path against its slow twin."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.meta.averaging import (
    chain_models,
    cluster_kernel,
    cluster_selection,
    importance_models,
    legendre,
    normal_models,
    solve,
    weight_models,
)
from mixedfx.meta.averaging.cluster_weights import cluster_log_likelihood
from mixedfx.meta.averaging.given import Cells
from mixedfx.meta.averaging.pooled import described
from mixedfx.meta.averaging.read import mean_difference
from mixedfx.meta.selection.clusters import MECHANISMS, Shared, selected
from mixedfx.meta.selection.normalisers import StepWeights
from tests.meta.robma_data import BEM

SPIKE = p.spike(0)


def log_normal(y, cov):
    """Log density of N(0, cov)."""
    return stats.multivariate_normal.logpdf(y, np.zeros(len(y)), cov)


def over_tau(density, prior):
    """Log of the integral of exp(density(tau)) over a prior of tau."""
    top = max(density(t) for t in np.linspace(0.001, 2, 60))
    f = lambda t: np.exp(density(t) - top) * prior.pdf(t)  # noqa: E731
    ends = ((0, 0.1), (0.1, 0.3), (0.3, 1), (1, 9))
    parts = [integrate.quad(f, a, b, epsabs=1e-13, epsrel=1e-11)[0] for a, b in ends]
    return np.log(sum(parts)) + top


@pytest.fixture(scope="module")
def moderated():
    rng = np.random.default_rng(5)
    k = 14
    data = pd.DataFrame({
        "x": rng.normal(3, 2, k), "kind": list("abc") * 4 + list("ab"), "vi": rng.uniform(0.02, 0.1, k),
        "lab": np.repeat(np.arange(7), 2),
    })  # fmt: skip
    data["yi"] = 0.2 + 0.1 * (data["x"] - 3) + 0.3 * (data["kind"] == "b") + rng.normal(0, np.sqrt(0.03 + data["vi"]))
    return data


PRIORS = p.ensemble(
    effect=[SPIKE, p.normal(0.1, 0.5)], heterogeneity=[SPIKE, p.half_normal(0.3)],
    covariates=[SPIKE, p.normal(0, 0.25)], factors=[SPIKE, p.normal(0, 0.4)],
)  # fmt: skip


def brute_moderated(data):
    """Log evidences of the 16 models: coefficients by their covariance, tau by adaptive quadrature."""
    x = ((data["x"] - data["x"].mean()) / data["x"].std()).to_numpy()
    member = (data["kind"].to_numpy()[:, None] == np.array(["a", "b", "c"])).astype(float)
    deviation = (np.eye(3) - 1 / 3) / (2 / 3)  # covariance of deviations of levels, variance 1 each
    y, v = data["yi"].to_numpy(), data["vi"].to_numpy()
    out = {}
    for effect in (0, 1):
        for tau in (0, 1):
            for slope in (0, 1):
                for factor in (0, 1):
                    cov = effect * 0.25 + slope * 0.0625 * np.outer(x, x)
                    cov = cov + factor * 0.16 * member @ deviation @ member.T
                    at = lambda t, cov=cov, e=effect: log_normal(y - 0.1 * e, cov + np.diag(v + t * t))  # noqa: E731
                    out[effect, tau, slope, factor] = over_tau(at, stats.halfnorm(0, 0.3)) if tau else at(0.0)
    return out


def test_two_moderators_by_brute_force(moderated):
    fit = mx.bma(moderated, formula="yi ~ x + kind", priors=PRIORS)
    wanted = brute_moderated(moderated)
    assert len(fit.members) == 16
    keys = [
        (int(not m.effect.null), int(not m.heterogeneity.null), *(int(not o.null) for o in m.moderators))
        for m in fit.members
    ]
    np.testing.assert_allclose(fit.log_evidence, [wanted[key] for key in keys], atol=1e-7)
    logs = np.array([wanted[key] for key in keys])
    for name, place in (("x", 2), ("kind", 3)):
        has = np.array([key[place] for key in keys], dtype=bool)
        by_hand = np.exp(special.logsumexp(logs[has]) - special.logsumexp(logs[~has]))
        assert fit.components.loc[name, "inclusion_bf"] == pytest.approx(by_hand, rel=1e-6)


def test_contrasts_give_every_level_the_same_prior():
    for levels in (2, 3, 6):
        C = mean_difference(levels)
        np.testing.assert_allclose(C @ C.T, (np.eye(levels) - 1 / levels) * levels / (levels - 1), atol=1e-12)


def test_coefficients_of_moderators_by_brute_force(moderated):
    """One model of fixed tau: coefficients are normal, with moments of a linear regression."""
    one = p.ensemble(effect=[p.normal(0.1, 0.5)], heterogeneity=[p.spike(0.2)], covariates=[p.normal(0, 0.25)],
                     factors=[p.normal(0, 0.4)])  # fmt: skip
    fit = mx.bma(moderated, formula="yi ~ x + kind", priors=one)
    C = mean_difference(3)
    x = ((moderated["x"] - moderated["x"].mean()) / moderated["x"].std()).to_numpy()
    member = (moderated["kind"].to_numpy()[:, None] == np.array(["a", "b", "c"])).astype(float)
    X = np.column_stack([np.ones(14), x, member @ C])
    w = 1 / (moderated["vi"].to_numpy() + 0.04)
    P = X.T @ (w[:, None] * X) + np.diag([4, 16, 6.25, 6.25])
    mean = np.linalg.solve(P, X.T @ (w * moderated["yi"].to_numpy()) + [0.4, 0, 0, 0])
    L = np.vstack([np.eye(4)[:2], np.column_stack([np.zeros((3, 2)), C])])
    sd = np.sqrt(np.diag(L @ np.linalg.inv(P) @ L.T))
    table = fit.estimates.loc[["mu", "x", "kind[a]", "kind[b]", "kind[c]"]]
    # 4,096 points put in the place of quantiles; levels are sums of coefficients
    np.testing.assert_allclose(table["mean"], L @ mean, atol=3e-4)
    np.testing.assert_allclose(table["upper"], L @ mean + 1.959964 * sd, atol=0.004)
    new = pd.DataFrame({"x": [5.0], "kind": ["b"]})
    row = np.array([1, (5 - moderated["x"].mean()) / moderated["x"].std(), *C[1]])
    assert fit.predict(new).loc[0, "mean"] == pytest.approx(row @ mean, abs=5e-4)
    levels = fit.moderator_levels().set_index(["moderator", "at"])
    assert levels.loc[("kind", "b"), "mean"] == pytest.approx(mean[0] + C[1] @ mean[2:], abs=5e-4)


PRIORS_OF_MU = {
    "cauchy": (p.cauchy(0, 0.7), stats.cauchy(0, 0.7), (-8, 8)),
    "t": (p.student_t(3, 0.1, 0.5), stats.t(3, 0.1, 0.5), (-8, 8)),
    "uniform": (p.uniform(-1, 1), stats.uniform(-1, 2), (-1, 1)),
    "normal cut off": (p.truncated(p.normal(0.15, 0.1), 0, 0.3), stats.truncnorm(-1.5, 1.5, 0.15, 0.1), (0, 0.3)),
}


@pytest.mark.parametrize("name", PRIORS_OF_MU)
def test_other_priors_of_the_effect_by_brute_force(name):
    prior, by_scipy, ends = PRIORS_OF_MU[name]
    fit = mx.bma(BEM, sei="sei", priors=p.ensemble(effect=[prior], heterogeneity=[SPIKE, p.half_normal(0.3)]))
    y, v = BEM["yi"].to_numpy(), BEM["sei"].to_numpy() ** 2

    mu = np.linspace(*ends, 8001)
    prior_density = by_scipy.pdf(mu)

    def at(tau):
        d = v + tau**2
        logs = -0.5 * ((y - mu[:, None]) ** 2 / d + np.log(2 * np.pi * d)).sum(axis=1)
        return np.log(np.trapezoid(np.exp(logs - 10) * prior_density, mu)) + 10

    np.testing.assert_allclose(fit.log_evidence, [at(0.0), over_tau(at, stats.halfnorm(0, 0.3))], atol=1e-4)


def test_other_priors_of_tau_by_brute_force():
    cases = {
        p.exponential(3): stats.expon(0, 1 / 3), p.half_cauchy(0.3): stats.halfcauchy(0, 0.3),
        p.gamma(2, 5): stats.gamma(2, 0, 0.2), p.uniform(0, 1): stats.uniform(0, 1),
        p.inv_gamma(1, 0.15): stats.invgamma(1, 0, 0.15),
        p.truncated(p.student_t(4, 0.2, 0.1), 0.05, 0.5): None,
    }  # fmt: skip
    y, v = BEM["yi"].to_numpy(), BEM["sei"].to_numpy() ** 2
    fit = mx.bma(BEM, sei="sei", priors=p.ensemble(effect=[p.normal(0, 1)], heterogeneity=list(cases)))
    at = lambda t: log_normal(y, 1.0 + np.diag(v + t * t))  # noqa: E731
    base = stats.t(4, 0.2, 0.1)
    for value, prior in zip(fit.log_evidence, cases.values(), strict=True):
        if prior is None:
            f = lambda t: np.exp(at(t) - 10) * base.pdf(t)  # noqa: E731
            wanted = np.log(integrate.quad(f, 0.05, 0.5)[0] / (base.cdf(0.5) - base.cdf(0.05))) + 10
        else:
            wanted = over_tau(at, prior)
        assert value == pytest.approx(wanted, abs=2e-5)


def test_a_slope_far_out_in_its_prior_by_brute_force():
    """Neither mean nor heterogeneity, so that the slope has to be 8: a narrow peak in the prior's tail."""
    se = np.linspace(0.05, 0.3, 60)
    data = pd.DataFrame({"yi": 8 * se + 0.02 * np.sin(np.arange(60)), "sei": se})
    one = p.ensemble(effect=[SPIKE], heterogeneity=[SPIKE], bias=[p.pet(), p.peese()], direction="positive")
    fit = mx.robma(data, sei="sei", priors=one)
    for value, x, scale, at in zip(fit.log_evidence, (se, se**2), (1, 5), (8.0, 39.0), strict=True):
        b = at + np.linspace(-8, 8, 80_001)
        logs = stats.norm.logpdf(data["yi"].to_numpy(), b[:, None] * x, se).sum(axis=1)
        logs = logs + stats.halfcauchy.logpdf(b, 0, scale)
        wanted = special.logsumexp(logs) + np.log(b[1] - b[0])
        assert value == pytest.approx(wanted, abs=1e-6)


def test_pet_in_clusters_by_brute_force():
    """tau known, rho and the slope by a double integral of the dense normal density."""
    data = BEM.iloc[:6].assign(lab=[0, 0, 0, 1, 1, 2])
    one = p.ensemble(effect=[p.normal(0, 1)], heterogeneity=[p.spike(0.2)], bias=[p.pet()], hierarchical=[p.beta(2, 1)],
                     direction="positive")  # fmt: skip
    fit = mx.robma(data, sei="sei", cluster="lab", priors=one)
    y, se, lab = data["yi"].to_numpy(), data["sei"].to_numpy(), data["lab"].to_numpy()
    same = (lab[:, None] == lab).astype(float)

    def at(b, rho):
        cov = 1.0 + np.diag(se**2 + (1 - rho) * 0.04) + rho * 0.04 * same
        return np.exp(log_normal(y - b * se, cov)) * 2 * rho * stats.halfcauchy.pdf(b)

    area = integrate.dblquad(at, 0, 1, 0, 3, epsabs=1e-9)[0] + integrate.dblquad(at, 0, 1, 3, 30, epsabs=1e-9)[0]
    assert fit.log_evidence[0] == pytest.approx(np.log(area), abs=1e-6)


def test_weights_and_a_moderator_by_brute_force():
    """Importance sampling where a grid can still be summed: mu, slope and one weight, tau known."""
    data = BEM.iloc[4:].assign(x=[-1.0, 0.5, 1.0, -0.5, 0.2])
    one = p.ensemble(
        effect=[p.normal(0, 0.5)], heterogeneity=[p.spike(0.1)], bias=[p.weight_function("one-sided", 0.05)],
        covariates=[p.normal(0, 0.3)], direction="positive",
    )  # fmt: skip
    fit = mx.robma(data, sei="sei", formula="yi ~ x", priors=one)
    (evidence,) = fit.evidences
    y, se = data["yi"].to_numpy(), data["sei"].to_numpy()
    x = ((data["x"] - data["x"].mean()) / data["x"].std()).to_numpy()
    mu, b = np.linspace(-2, 2, 201), np.linspace(-1.2, 1.2, 161)
    w, weight = np.polynomial.legendre.leggauss(30)
    w, weight = (w + 1) / 2, weight / 2
    mean = mu[:, None, None] + b[:, None] * x
    s = np.sqrt(se**2 + 0.01)
    cut = -special.ndtri(0.05) * se
    beyond = special.ndtr((mean - cut) / s)
    seen = y >= cut
    logs = stats.norm.logpdf(y, mean, s).sum(axis=-1)[..., None] + (~seen).sum() * np.log(w)
    logs = logs - np.log(w[:, None] + (1 - w[:, None]) * beyond[..., None, :]).sum(axis=-1)
    logs += (stats.norm.logpdf(mu, 0, 0.5)[:, None] + stats.norm.logpdf(b, 0, 0.3))[..., None]
    total = (np.exp(logs) @ weight).sum() * (mu[1] - mu[0]) * (b[1] - b[0])
    assert evidence.method == "importance sampling"
    assert abs(evidence.value - np.log(total)) < 4 * evidence.error < 0.05


def _given(data, **options):
    fit = mx.robma(data, priors=p.robma3(bias=[p.weight_function("one-sided", (0.025, 0.5))]), **options)
    return fit.given, [m for m in fit.members if m.kind == "weights"]


def test_importance_sampling_and_chains_agree_with_quadrature():
    given, found = _given(BEM, sei="sei", measure="SMD")
    for member in found:
        exact = weight_models.solve(given, member).evidence
        sampled = importance_models.solve(given, member, "joint").evidence
        assert sampled.k_hat < 0.7
        assert abs(sampled.value - exact.value) < 4 * sampled.error < 0.05
    model = importance_models.solve(given, found[-1], "joint")
    bridged = chain_models.by_chains(model, 1).evidence
    assert abs(bridged.value - exact.value) < 4 * bridged.error < 0.3


def test_draws_on_cells_have_the_moments_of_importance_sampling():
    given, found = _given(BEM, sei="sei", measure="SMD")
    model = weight_models.solve(given, found[-1])
    one = weight_models.sample(given, model, 4096)
    other = importance_models.sample(importance_models.solve(given, found[-1], "joint"))
    assert 1 / np.sum(one.weights**2) > 0.5 * 4096
    for name in ("mu", "tau", "omega"):
        a, b = (np.atleast_2d(getattr(s, name).T) @ s.weights for s in (one, other))
        np.testing.assert_allclose(a, b, atol=0.012)  # standard errors of 4,096 weighted points, .003 each


CLUSTERS = np.array([2, 3, 1, 7, 4])


@pytest.fixture(scope="module")
def sharing():
    rng = np.random.default_rng(3)
    k = int(CLUSTERS.sum())
    v = rng.uniform(0.005, 0.15, k)
    n = 60
    par = {
        "mean": np.repeat(rng.normal(0, 0.4, n)[:, None], k, axis=1), "tau2": np.exp(rng.normal(-3, 1.5, n)),
        "rho": special.expit(rng.normal(0, 2, n)),
    }  # fmt: skip
    return v, rng.normal(0.2, 0.4, k), np.concatenate([[0], np.cumsum(CLUSTERS)]), par, rng


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("two_sided", [False, True])
def test_likelihoods_in_clusters_are_those_of_selection_models(sharing, mechanism, two_sided):
    """At many parameters in one call, NumPy and compiled, against one by one with errors of 1e-12."""
    v, y, start, par, rng = sharing
    steps = (0.05, 0.1) if two_sided else (0.025, 0.05, 0.5)
    z, se = -special.ndtri(np.array(steps) / (2 if two_sided else 1)), np.sqrt(v)
    cell = np.sum((np.abs(y / se) if two_sided else y / se)[:, None] < z, axis=1)
    found = Cells(y, z * se[:, None], cell, two_sided)
    n = len(par["tau2"])
    omega = np.column_stack([np.ones(n), np.cumprod(rng.beta(1, 1, (n, len(steps))), axis=1)])
    both = [
        cluster_log_likelihood(found, v, start, mechanism, **par, omega=omega, loop=loop)
        for loop in (cluster_selection.selection, cluster_kernel.selection)
    ]
    np.testing.assert_allclose(both[0], both[1], atol=2e-6)  # the table of normal probabilities
    rows, alone = np.flatnonzero(np.repeat(CLUSTERS, CLUSTERS) > 1), np.flatnonzero(np.repeat(CLUSTERS, CLUSTERS) == 1)
    first = np.concatenate([[0], np.cumsum(CLUSTERS[CLUSTERS > 1])])
    for i in range(n):
        mu, t2, rho = par["mean"][i, 0], par["tau2"][i], par["rho"][i]
        d, wanted = v[rows] + (1 - rho) * t2, 0.0
        for a, b in itertools.pairwise(first):
            wanted += log_normal(y[rows][a:b] - mu, np.diag(d[a:b]) + rho * t2)
        weights = StepWeights(z, cell[rows], se[rows], two_sided)
        args = weights, Shared(first), y[rows] - mu, np.full(len(rows), mu), d, rho * t2, omega[i]
        wanted += selected(mechanism, *args).value
        wanted += weight_models.log_likelihood(
            found.rows(alone), np.full((1, 1), mu), (v[alone] + t2)[None], omega[i : i + 1]
        )[0]
        # six digits is what its nodes are made for; the sharpest cluster of these has 2e-5
        assert both[0][i] == pytest.approx(wanted, abs=1e-4)


def test_twice_as_many_nodes_change_nothing(sharing):
    v, y, start, par, _ = sharing
    found = Cells(y, (1.96 * np.sqrt(v))[:, None], (y < 1.96 * np.sqrt(v)).astype(int), False)
    omega = np.column_stack([np.ones(60), np.full(60, 0.2)])
    values = [
        cluster_log_likelihood(found, v, start, "conditional", **par, omega=omega, fine=fine,
                               loop=cluster_selection.selection) for fine in (1.0, 2.0)
    ]  # fmt: skip
    assert np.quantile(np.abs(values[0] - values[1]), 0.9) < 1e-7


def test_draws_from_a_density_at_nodes():
    """A correlated normal distribution on a grid: marginals are exact, the correlation is that of their ranks."""
    axes = (legendre.axis(40, -7, 7), legendre.axis(40, -9, 9), legendre.point(0.3))
    a, b = axes[0].nodes[:, None], axes[1].nodes
    logs = -0.5 * (a * a + (b - 0.8 * a) ** 2 / 0.5)[:, :, None]
    from mixedfx.sampling.nodes import evenly_spread

    x = legendre.draw(logs, axes, evenly_spread(4096, 3))
    sd = np.sqrt(0.5 + 0.64)
    # quantiles in the middle of 4,096 steps lack a little of the tails, and half a step is .0024 at the ends
    np.testing.assert_allclose(x.std(axis=0), [1, sd, 0], atol=2e-3)
    np.testing.assert_allclose(np.quantile(x[:, 1], [0.025, 0.5, 0.975]), sd * np.array([-1.96, 0, 1.96]), atol=3e-3)
    assert np.corrcoef(x[:, 0], x[:, 1])[0, 1] == pytest.approx(0.8 / sd, abs=3e-3)


def test_quantiles_of_the_mean_are_those_of_the_mixture_of_nodes():
    one = p.robma3(effect=[p.normal(0, 1)], heterogeneity=[p.inv_gamma(1, 0.15)])
    fit = mx.bma(BEM, sei="sei", measure="SMD", priors=one)
    (model,) = fit.solved
    assert isinstance(model, normal_models.NormalModel)
    from mixedfx.meta.averaging.gaussian import design, gram, integrated
    from mixedfx.meta.averaging.given import spread_of
    from mixedfx.sampling.mixture import quantiles

    tau = spread_of(fit.given, model.member.tau).tau(model.axes[0].nodes)
    found = integrated(
        gram(fit.given, design(fit.given, "none"), tau, 0 * tau), model.member.coefficients, 0 * tau, 1 + 0 * tau, 9
    )
    weights = np.exp(model.logs[:, 0, 0] + model.axes[0].log_weights - model.evidence.value)
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    weights /= weights.sum()
    wanted = [float(quantiles(weights, found.mean, np.sqrt(found.covariance[:, 0]), q)[0]) for q in (0.5, 0.025, 0.975)]
    at = solve.sample(fit.given, model, 4096)
    np.testing.assert_allclose(described(at.mu, at.weights, 0.95)[1:], wanted, atol=3e-4)


def test_true_effects_by_brute_force():
    """Parameters known: estimates shrink to their clusters, and under "conditional" these are tilted by selection."""
    data = pd.DataFrame({"yi": [0.9, 0.7, 0.1], "vi": [0.04, 0.09, 0.05], "lab": ["a", "a", "b"]})
    plain = p.ensemble(effect=[p.spike(0.2)], heterogeneity=[p.spike(0.3)], hierarchical=[p.spike(0.5)])
    table = mx.bma(data, cluster="lab", priors=plain, draws=40_000).true_effects()
    cov = 0.045 * np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]) + 0.045 * np.eye(3)
    wanted = 0.2 + cov @ np.linalg.solve(cov + np.diag(data["vi"]), data["yi"] - 0.2)
    np.testing.assert_allclose(table["mean"], wanted, atol=0.004)  # sd .2 over root 40,000
    # weights of next to no variance: .3 beyond p = .025
    known = p.weight_function("one-sided", 0.025, alpha=(7e6, 3e6))
    filtered = p.ensemble(
        effect=[p.spike(0.2)], heterogeneity=[p.spike(0.3)], hierarchical=[p.spike(0.5)], bias=[known],
        direction="positive",
    )  # fmt: skip
    g = np.linspace(-2, 2, 4001)
    y, v = data["yi"].to_numpy()[:2], data["vi"].to_numpy()[:2]
    d = v + 0.045
    A = 0.3 + 0.7 * special.ndtr((0.2 + g[:, None] - 1.959964 * np.sqrt(v)) / np.sqrt(d))
    density = stats.norm.pdf(g, 0, np.sqrt(0.045)) * stats.norm.pdf(y, 0.2 + g[:, None], np.sqrt(d)).prod(axis=1)
    for mechanism, tilt in (("conditional", 1 / A.prod(axis=1)), ("joint", 1.0)):
        fit = mx.robma(data, cluster="lab", priors=filtered, draws=40_000, mechanism=mechanism)
        mass = density * tilt
        wanted = 0.2 + g @ mass / mass.sum()
        assert fit.cluster_effects().loc[0, "mean"] == pytest.approx(wanted, abs=0.005)


def test_steps_beyond_quadrature_are_sampled():
    """Four steps: five axes and more are left to importance sampling."""
    four = [p.weight_function("one-sided", (0.01, 0.025, 0.05, 0.5))]
    fit = mx.robma(BEM, sei="sei", measure="SMD", priors=p.robma3(bias=four))
    assert {e.method for e in fit.evidences} == {"importance sampling"}
    assert max(e.k_hat for e in fit.evidences) < 0.7
