"""Eight schools, known standard errors: density against quadrature, moments and evidence against a fine grid.

With mu ~ N(0, 5^2) and tau ~ half-Cauchy(5) (the parameterisation of posteriordb), y_j ~ N(mu, s_j^2 + tau^2):
integrals over (mu, tau) are two-dimensional at most.
"""

import numpy as np
import pytest
from scipy import integrate, stats

import mixedfx as mx
from mixedfx import priors
from mixedfx.errors import DataDependentPriorWarning, ImproperPosteriorError

GIVEN = {"intercept": priors.normal(0, 5), "sd": priors.half_cauchy(5)}
TAU = np.exp(np.linspace(-14, 9, 6001))


@pytest.fixture(scope="module")
def fit(schools):
    return mx.bayes("y | se(s) ~ 1 + (1 | school)", schools, priors=GIVEN, seed=2)


def likelihood(schools, tau):
    """(T,) log density of y given tau, mu integrated out by hand: V = diag(s^2 + tau^2) + 25 11'."""
    y, v = schools["y"].to_numpy(), schools["s"].to_numpy() ** 2 + np.asarray(tau)[:, None] ** 2
    precision = (1 / v).sum(axis=1) + 1 / 25
    quadratic = (y**2 / v).sum(axis=1) - (y / v).sum(axis=1) ** 2 / precision
    logdet = np.log(v).sum(axis=1) + np.log(25 * precision)
    return -0.5 * (len(y) * np.log(2 * np.pi) + logdet + quadratic)


@pytest.fixture(scope="module")
def grid(schools):
    """Posterior of log tau on a grid: weights, and conditional mean and variance of mu."""
    log_density = likelihood(schools, TAU) + stats.halfcauchy(scale=5).logpdf(TAU) + np.log(TAU)
    step = np.log(TAU[1] / TAU[0])
    evidence = np.log(np.exp(log_density - log_density.max()).sum() * step) + log_density.max()
    y, v = schools["y"].to_numpy(), schools["s"].to_numpy() ** 2 + TAU[:, None] ** 2
    variance = 1 / ((1 / v).sum(axis=1) + 1 / 25)
    return np.exp(log_density - evidence) * step, variance * (y / v).sum(axis=1), variance, evidence


@pytest.mark.parametrize("tau", [1e-4, 0.5, 3.0, 20.0, 300.0])
def test_the_collapsed_density_is_the_quadrature_over_mu(fit, schools, tau):
    y, s = schools["y"].to_numpy(), schools["s"].to_numpy()

    def integrand(mu):
        return np.exp(stats.norm.logpdf(y, mu, np.hypot(s, tau)).sum() + stats.norm.logpdf(mu, 0, 5) - level)

    level = likelihood(schools, [tau])[0]
    value = np.log(integrate.quad(integrand, -60, 60, points=[0, 8], epsabs=0, epsrel=1e-13, limit=200)[0]) + level
    found = fit.target.evaluate(np.log([tau])).value
    assert found == pytest.approx(value, abs=1e-10)


def test_moments_are_those_of_the_grid(fit, grid):
    weights, mean, variance, _ = grid
    draws = fit.draws()
    mu, tau = draws["beta", "Intercept"].ravel(), draws["sd", "school", "Intercept"].ravel()
    expected = weights @ mean
    spread = np.sqrt(weights @ (variance + mean**2) - expected**2)
    n = min(fit.sampling.ess, len(mu))
    assert abs(mu.mean() - expected) < 4 * spread / np.sqrt(n)
    log_tau = weights @ np.log(TAU)
    assert abs(np.log(tau).mean() - log_tau) < 4 * np.log(tau).std() / np.sqrt(n)
    below = weights[TAU < 5].sum()
    assert abs(np.mean(tau < 5) - below) < 4 * np.sqrt(below * (1 - below) / n)


def test_school_effects_are_shrunk_as_the_grid_says(fit, grid, schools):
    weights, mean, _, _ = grid
    s, y = schools["s"][0], schools["y"][0]
    keep = TAU**2 / (TAU**2 + s**2)
    expected = weights @ (keep * (y - mean))
    u = fit.draws()["u", "school", "A", "Intercept"].ravel()
    assert abs(u.mean() - expected) < 4 * u.std() / np.sqrt(min(fit.sampling.ess, len(u)))


def test_the_log_evidence_is_the_grids(fit, grid):
    found = fit.log_evidence
    assert found.error < 0.01
    assert abs(found.value - grid[3]) < 4 * found.error
    assert float(found) == found.value
    assert str(found).startswith(f"{found.value:.3f}")


def test_evidence_of_scaled_priors_warns_and_of_flat_ones_is_refused(schools):
    formula = "y | se(s) ~ 1 + (1 | school)"
    with pytest.warns(DataDependentPriorWarning, match="same fixed priors"):
        _ = mx.bayes(formula, schools, draws=400, seed=1).log_evidence
    flat = mx.bayes(formula, schools, priors={"intercept": priors.flat()}, draws=400, seed=1)
    with pytest.raises(ImproperPosteriorError, match="flat: Intercept"):
        _ = flat.log_evidence


def test_known_standard_errors_leave_no_sigma(fit):
    assert ("sigma",) not in fit.draws()
    assert fit.varcorr["grp"].tolist() == ["school"]
