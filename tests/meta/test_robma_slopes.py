"""The coefficient of PET and PEESE: its integral by brute force, wherever in its prior the data put it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.meta.averaging.gaussian import Lines
from mixedfx.meta.averaging.slopes import slope_axis
from mixedfx.priors.marginal import marginal
from tests.meta.robma_data import BEM

SPIKE = p.spike(0)
SLOPES = {"PET": p.pet(), "PEESE": p.peese()}


def data_with_slope(seed):
    """Some estimates with a coefficient from a Cauchy distribution, and heterogeneity from none to huge."""
    rng = np.random.default_rng(seed)
    k = int(rng.choice([4, 10, 25]))
    se = rng.uniform(0.08, 0.4, k)
    slope, power = 5 * abs(rng.standard_cauchy()), rng.choice([1, 2])
    spread = np.sqrt(se**2 + rng.choice([0, 0.05, 0.3, 3]) ** 2)
    return pd.DataFrame({"yi": rng.normal() + slope * se**power + rng.normal(0, spread), "sei": se})


def brute(data, kind, effect, tau_prior):
    """Log evidence by sums over grids of tau and b: mu is part of the covariance, b has two grids at each tau."""
    y, se = data["yi"].to_numpy(), data["sei"].to_numpy()
    x = se if kind == "PET" else se**2
    scale = 1 if kind == "PET" else 5  # of the half-Cauchy prior
    tau = np.array([0.0]) if tau_prior is None else np.exp(np.linspace(np.log(2e-3), np.log(3e3), 451))
    cov = (se**2 + tau[:, None] ** 2)[:, :, None] * np.eye(len(y)) + effect
    half = np.linalg.inv(np.linalg.cholesky(cov))
    wy, wx = half @ y, half @ x
    precision = (wx**2).sum(axis=1)
    centre = (wx * wy).sum(axis=1) / precision
    sd = 1 / np.sqrt(precision)
    low = np.maximum(centre - 12 * sd, 0.0)
    # below 0 the likelihood falls as exp(centre b / sd^2)
    high = np.where(centre > 0, centre + 12 * sd, np.minimum(12 * sd, 40 * sd**2 / np.abs(centre)))
    near = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, 1000)
    far = np.broadcast_to(np.sinh(np.linspace(0, np.arcsinh(high.max()), 1000)), near.shape)
    b = np.sort(np.concatenate([near, far], axis=1), axis=1)
    rest = ((wy - centre[:, None] * wx) ** 2).sum(axis=1) + len(y) * np.log(2 * np.pi)
    top = -0.5 * rest + np.log(np.diagonal(half, axis1=1, axis2=2)).sum(axis=1)
    logs = (
        -0.5 * ((b - centre[:, None]) / sd[:, None]) ** 2
        - np.log1p((b / scale) ** 2)
        + top[:, None]
        + np.log(2 / np.pi / scale)
    )
    highest = logs.max()
    inner = np.trapezoid(np.exp(logs - highest), b, axis=1)
    if tau_prior is None:
        return float(np.log(inner[0]) + highest)
    return float(np.log(np.trapezoid(inner * tau_prior.pdf(tau) * tau, np.log(tau))) + highest)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_evidence_is_within_its_error_of_brute_force(seed):
    check_evidences(seed)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_evidence_of_many_data_is_within_its_error_of_brute_force(seed):
    check_evidences(seed)


def check_evidences(seed):
    data = data_with_slope(seed)
    ensemble = p.ensemble(
        effect=[SPIKE, p.normal(0, 1)], heterogeneity=[SPIKE, p.inv_gamma(1, 0.15)], bias=list(SLOPES.values()),
        direction="positive",
    )  # fmt: skip
    fit = mx.robma(data, sei="sei", priors=ensemble)
    for member, evidence in zip(fit.members, fit.evidences, strict=True):
        tau = None if member.heterogeneity.null else stats.invgamma(1, 0, 0.15)
        wanted = brute(data, member.kind, float(not member.effect.null), tau)
        # trapezoids of b between points up to .024 standard deviations apart: 2e-4
        assert abs(evidence.value - wanted) <= evidence.error + 2e-4, (member.kind, evidence)
        assert evidence.error < 0.05


LIKELIHOODS = {
    "wide": (0.5, 30.0), "narrow": (0.7, 1e-4), "far": (200.0, 3.0), "far and narrow": (7000.0, 0.05),
    "two modes": (9.0, 2.5), "below": (-4.0, 0.5), "just outside": (-0.1, 0.3),
}  # fmt: skip
PRIORS = {
    "half-Cauchy": p.half_cauchy(1), "half-normal": p.half_normal(2), "away from 0": p.normal(2, 0.1),
    "infinite at 0": p.gamma(0.5, 1), "cut off": p.truncated(p.student_t(3, 0, 1), 0.2, 20), "uniform": p.uniform(0, 3),
}  # fmt: skip


def of_one(centre, sd):
    zero = np.zeros(1)
    return Lines(zero, np.array([centre]), np.array([sd**-2.0]), zero, zero, zero, -np.inf, np.inf)


def by_parts(prior, centre, sd):
    """Log of the sum of likelihood times the prior's own probabilities of intervals; where these are accurate."""
    edges = prior.quantile(np.linspace(0, 1, 400_001) ** 3)
    near = np.clip(centre + sd * np.linspace(-12, 12, 400_001), prior.lower, prior.upper)
    edges = np.unique(np.concatenate([edges[np.isfinite(edges)], near]))
    middle = (edges[1:] + edges[:-1]) / 2
    return special.logsumexp(-0.5 * ((middle - centre) / sd) ** 2, b=np.diff(prior.cdf(edges)))


def by_trapezoids(prior, centre, sd):
    """Log of the integral on grids that shrink to where the integrand is."""
    low, high = prior.lower, min(prior.upper, max(float(prior.quantile(1 - 1e-13)), centre + 12 * sd))
    log_density = lambda b: -0.5 * ((b - centre) / sd) ** 2 + prior.log_density(np.maximum(b, 1e-12))  # noqa: E731
    for _ in range(30):
        near = np.clip(centre + sd * np.linspace(-12, 12, 2001), low, high)
        b = np.unique(
            np.concatenate([np.linspace(low, high, 2001), np.geomspace(1e-9, 1, 2001) * (high - low) + low, near])
        )
        logs = log_density(b)
        inside = np.flatnonzero(logs > logs.max() - 45)
        low, high = b[max(inside[0] - 1, 0)], b[min(inside[-1] + 1, len(b) - 1)]
    b = np.unique(np.concatenate([np.linspace(low, high, 200_001), np.geomspace(1e-9, 1, 200_001) * (high - low) + low,
                                  np.clip(centre + sd * np.linspace(-12, 12, 200_001), low, high)]))  # fmt: skip
    logs = log_density(b)
    return np.log(np.trapezoid(np.exp(logs - logs.max()), b)) + logs.max()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", PRIORS)
def test_any_prior_meets_any_likelihood(name, likelihood):
    prior, (centre, sd) = marginal(PRIORS[name], 0.0), LIKELIHOODS[likelihood]
    found = slope_axis(prior, of_one(centre, sd))
    value = found.log_integral(72)[0]
    brute = by_parts if name == "infinite at 0" and "far" not in likelihood else by_trapezoids
    wanted = brute(prior, centre, sd)
    # digits of likelihoods far from their top, and what the infinite density costs
    tolerance = 1e-4 if name == "infinite at 0" else 2e-6 + 1e-14 * abs(wanted)
    assert value == pytest.approx(wanted, abs=tolerance)
    assert found.log_integral(52)[0] == pytest.approx(value, abs=1e-3)


def test_a_prior_that_contradicts_the_data_is_no_limit():
    """N(20, .1^2) where the prior is N(0, .1^2): the product is at 10, a hundred standard deviations from both."""
    prior = marginal(p.normal(0, 0.1), 0.0)
    value = slope_axis(prior, of_one(20.0, 0.1)).log_integral(72)[0]
    b = np.linspace(9, 11, 100_001)
    logs = -0.5 * ((b - 20) / 0.1) ** 2 + stats.halfnorm.logpdf(b, 0, 0.1)
    assert value == pytest.approx(special.logsumexp(logs) + np.log(b[1] - b[0]), abs=1e-8)


def test_draws_have_the_quantiles_of_their_density():
    prior = marginal(p.half_cauchy(1), 0.0)
    n = 4096
    zero = np.zeros(n)
    lines = Lines(zero, zero + 9.0, zero + 2.5**-2, zero, zero, zero, -np.inf, np.inf)
    drawn = slope_axis(prior, lines).draw((np.arange(n) + 0.5) / n)
    density = lambda b: np.exp(-0.5 * ((b - 9) / 2.5) ** 2) / (1 + b * b)  # noqa: E731
    total = integrate.quad(density, 0, 40, points=[9])[0]
    for q in (0.01, 0.1, 0.5, 0.9, 0.99):
        below = integrate.quad(density, 0, float(np.quantile(drawn, q)), points=[1])[0] / total
        assert below == pytest.approx(q, abs=6e-4)


def test_standard_errors_that_are_all_equal_leave_the_slope_to_its_prior():
    """PET is then the mean: a flat prior of mu says nothing of the slope, and the evidence is that without bias."""
    data = BEM.assign(sei=0.1)
    flat = p.ensemble(
        effect=[p.uniform(-50, 50)], heterogeneity=[p.spike(0.1)], bias=[p.no_bias(), p.pet(p.half_normal(1))],
        direction="positive",
    )  # fmt: skip
    fit = mx.robma(data, sei="sei", priors=flat)
    assert fit.evidences[1].value == pytest.approx(fit.evidences[0].value, abs=1e-9)
    slope = fit.conditional.loc["PET"]
    assert slope["median"] == pytest.approx(stats.halfnorm.ppf(0.5), abs=2e-3)
