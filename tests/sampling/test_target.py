"""The density of phi: priors on the unconstrained scale are normalised and are those drawn from; the gradient is exact.

Normalisation is by quadrature in up to three dimensions; draws and density of the prior are compared through an
importance-weighted mean, which is 1 for every proper prior whatever the proposal.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from mixedfx import priors
from mixedfx.covariance.unconstrained import correlation_factor
from mixedfx.design.build import build_design
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target

DATA = Path(__file__).resolve().parents[1] / "data"
FORMULAS = [
    "Reaction ~ Days + (Days | Subject)",
    "Reaction ~ Days + (Days || Subject)",
    "Reaction ~ Days + (Days + x | Subject) + (1 | g)",
]
SETS = ["default", "rstanarm", "brms", {"coef": priors.cauchy(0, 1), "sd": priors.half_cauchy(2)}]


@pytest.fixture(scope="module")
def data():
    frame = pd.read_csv(DATA / "sleepstudy.csv")
    rng = np.random.default_rng(4)
    return frame.assign(x=rng.normal(size=180), g=rng.integers(6, size=180))


def target_of(formula, data, given):
    design = build_design(formula, data)
    return build_target(design, resolve(prior_set(given), scales_of(design)))


@pytest.mark.parametrize("given", SETS, ids=str)
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_gradient_is_that_of_the_log_density(data, formula, given):
    target = target_of(formula, data, given)
    phi = np.random.default_rng(1).normal(0.5, 0.4, target.size)
    phi[0] = 3.2
    value, gradient = target.value_and_gradient(phi)
    assert target.log_density(phi[None])[0] == pytest.approx(value, abs=1e-9)
    h = 1e-5 * np.eye(target.size)
    numeric = (target.log_density(phi + h) - target.log_density(phi - h)) / 2e-5
    # differences of a log density of about -900 in steps of 1e-5 carry eight digits
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("given", ["rstanarm", "default"])
def test_the_prior_of_a_covariance_matrix_integrates_to_one(data, given):
    coordinates = target_of("Reaction ~ Days + (Days | Subject)", data, given).coordinates
    sigma = 1.0
    of_sigma = float(coordinates.priors.sigma.log_positive(np.array([sigma]))[0])
    centre = np.log([56.0, 5.0]) if given == "default" else np.zeros(2)
    grid = np.arange(-9.0, 6.0, 0.15)
    y = np.arange(-7.0, 7.0, 0.1)
    a, b, c = np.meshgrid(centre[0] + grid, centre[1] + grid, y, indexing="ij")
    phi = np.stack([np.zeros_like(a), a, b, c], axis=-1).reshape(-1, 4)
    total = np.exp(coordinates.log_prior(phi) - of_sigma).sum() * 0.15**2 * 0.1
    # the rule is exact to rounding for smooth functions; tails beyond exp(-9) hold less than 1e-3
    assert total == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("given", ["default", "rstanarm", {"intercept": priors.student_t(4, 300, 50)}], ids=str)
@pytest.mark.parametrize("formula", FORMULAS)
def test_the_density_of_the_prior_is_that_of_its_draws(data, formula, given):
    coordinates = target_of(formula, data, given).coordinates
    rng = np.random.default_rng(2)
    phi = coordinates.draw_prior(rng, 40_000)
    centre, covariance = phi.mean(axis=0), np.cov(phi.T)
    # the mean of q / p under p is 1 where q lies inside p: a normal distribution in the middle of the draws
    inside = stats.multivariate_normal(centre, covariance / 4)
    ratio = np.exp(inside.logpdf(phi) - coordinates.log_prior(phi))
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.05
    assert ratio.mean() == pytest.approx(1, abs=4.5 * error)


def test_partial_correlations_give_correlation_matrices_of_lkj():
    """Under LKJ(eta) with k columns every correlation is Beta(eta + k / 2 - 1) on (-1, 1)."""
    eta, k, rng = 1.5, 4, np.random.default_rng(6)
    shapes = np.array([eta + (k - 2 - j) / 2 for i in range(1, k) for j in range(i)])
    z = 2 * rng.beta(shapes, shapes, (20_000, len(shapes))) - 1
    L = correlation_factor(np.arctanh(z), k)
    R = L @ L.transpose(0, 2, 1)
    np.testing.assert_allclose(R[:, range(k), range(k)], 1, rtol=1e-12)
    marginal = stats.beta(eta + k / 2 - 1, eta + k / 2 - 1)
    for i in range(1, k):
        for j in range(i):
            assert stats.kstest((R[:, i, j] + 1) / 2, marginal.cdf).pvalue > 1e-3


def test_tau_and_shares_of_decov_are_gamma_and_dirichlet(data):
    given = {"sd": priors.decov(1.0, 2.0, 3.0, 0.5)}
    coordinates = target_of("Reaction ~ Days + (Days | Subject)", data, given).coordinates
    phi = coordinates.draw_prior(np.random.default_rng(3), 20_000)
    variances = np.exp(2 * phi[:, 1:3])
    tau = np.sqrt(variances.mean(axis=1)) / np.exp(phi[:, 0])
    assert stats.kstest(tau, stats.gamma(3.0, scale=0.5).cdf).pvalue > 1e-3
    assert stats.kstest(variances[:, 0] / variances.sum(axis=1), stats.beta(2, 2).cdf).pvalue > 1e-3


def test_a_t_prior_is_the_scale_mixture_that_stands_for_it():
    """Integrating the precision factor out of the collapsed density gives the integral under the t prior itself."""
    rng = np.random.default_rng(9)
    data = pd.DataFrame({"y": rng.normal(1.0, 1.0, 24), "g": np.repeat(list("abcdef"), 4)})
    design = build_design("y ~ 1 + (1 | g)", data)
    given = {"intercept": priors.student_t(3, 0.0, 0.5)}
    target = build_target(design, resolve(prior_set(given), scales_of(design)))
    fixed = np.array([0.1, -0.5])
    log_factor = np.arange(-12, 8, 0.01)
    phi = np.column_stack([np.tile(fixed, (len(log_factor), 1)), log_factor])
    mixture = np.exp(target.log_density(phi)).sum() * 0.01
    Z = np.kron(np.eye(6), np.ones((4, 1)))
    V = np.exp(0.2) * np.eye(24) + np.exp(-1.0) * Z @ Z.T
    normal = stats.multivariate_normal(np.zeros(24), V)
    y = data["y"].to_numpy()
    direct = integrate.quad(lambda b: np.exp(normal.logpdf(y - b)) * stats.t(3, 0, 0.5).pdf(b), -3, 4, epsrel=1e-10)[0]
    prior = target.coordinates.log_prior(np.array([[*fixed, 0.0]]))[0] - (
        1.5 * np.log(1.5) - np.log(np.sqrt(np.pi) / 2) - 1.5
    )
    assert np.log(mixture) == pytest.approx(np.log(direct) + prior, abs=1e-6)
