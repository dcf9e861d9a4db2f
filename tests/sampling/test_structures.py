"""Posteriors of every registered structure: exact gradients, priors that are drawn, densities of dense matrices.

With alpha the intercept at the mean of the predictor, y given the variances is normal with the mean of (1, x - mean) m
and the covariance of its errors + Z G Z' + X S X', m and S those of the coefficients' normal priors.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from mixedfx import priors
from mixedfx.covariance.structures import STRUCTURES
from mixedfx.design.build import build_design
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target
from tests.oracles import dense_lmm

SETS = {
    "default": None,
    "rstanarm": "rstanarm",
    "lkj": {"cor": priors.lkj(2.5), "sd": priors.half_cauchy(2)},
}


def people(levels=12, rounds=2):
    """Three occasions, `rounds` answers at each."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame([(f"g{g}", t) for g in range(levels) for t in "abc" for _ in range(rounds)], columns=["g", "t"])
    own = rng.normal(size=(levels, 3)) @ np.array([[1.0, 0.6, 0.36], [0.0, 0.8, 0.48], [0.0, 0.0, 0.8]])
    at = data["g"].str[1:].astype(int), data["t"].map({"a": 0, "b": 1, "c": 2})
    data["x"] = rng.normal(size=len(data)) + 2.0
    data["y"] = 1.0 + 0.5 * data.x + own[at] + 0.7 * rng.normal(size=len(data))
    return data


def target_of(structure, given, **options):
    free = "V" not in options
    design = build_design(f"y ~ x + {structure}(0 + t | g)", people(), sigma_free=free, **options)
    resolved = resolve(prior_set(given), scales_of(design))
    return design, build_target(design, resolved)


def points(target, count=4):
    rng = np.random.default_rng(1)
    return target.coordinates.even(0.7, 1.0) + 0.4 * rng.normal(size=(count, target.size))


@pytest.mark.parametrize("given", SETS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_gradient_is_that_of_the_log_density(structure, given):
    """Differences of a log density of about -100 in steps of 1e-5 carry eight digits."""
    _, target = target_of(structure, SETS[given])
    phi = points(target, 1)[0]
    value, gradient = target.value_and_gradient(phi)
    assert target.log_density(phi[None])[0] == pytest.approx(value, abs=1e-9)
    h = 1e-5 * np.eye(target.size)
    numeric = (target.log_density(phi + h) - target.log_density(phi - h)) / 2e-5
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("given", SETS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_density_of_the_prior_is_that_of_its_draws(structure, given):
    """The mean of q / p under p is one, q normal in the middle of the draws: within five of its standard errors."""
    coordinates = target_of(structure, SETS[given])[1].coordinates
    phi = coordinates.draw_prior(np.random.default_rng(2), 40_000)
    inside = stats.multivariate_normal(phi.mean(axis=0), np.cov(phi.T) / 4)
    ratio = np.exp(inside.logpdf(phi) - coordinates.log_prior(phi))
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(len(ratio)))


def dense_density(design, target, phi, errors):
    """Log prior of phi and log density of y; `errors` (n, n) is the covariance of the rows over sigma^2."""
    coordinates, resolved = target.coordinates, target.coordinates.priors
    at = coordinates.variances(phi[None])
    Z, blocks = dense_lmm.dense_Z(design), []
    for t, term in enumerate(design.random):
        F = at.factors(t)[0]
        blocks.append(np.kron(np.eye(term.n_levels), F @ F.T))
    X = design.X.copy()
    X[:, 1:] -= resolved.centring[1:]
    loc, scale = (np.array([getattr(prior, name) for prior in resolved.coefficients]) for name in ("loc", "scale"))
    V = float(at.sigma[0]) ** 2 * errors + Z @ linalg.block_diag(*blocks) @ Z.T + X * scale**2 @ X.T
    return coordinates.log_prior(phi[None])[0] + stats.multivariate_normal.logpdf(
        design.y - X @ loc, np.zeros(len(V)), V
    )


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_density_is_that_of_dense_matrices(structure):
    design, target = target_of(structure, None)
    phi = points(target)
    known = [dense_density(design, target, one, np.eye(len(design.y))) for one in phi]
    np.testing.assert_allclose(target.log_density(phi), known, rtol=0, atol=1e-8)


@pytest.mark.parametrize("structure", ["us", "hetar1"])
def test_known_covariance_of_errors_is_that_of_dense_matrices(structure):
    """Blocks of correlated errors, which cut across the groups; sigma is one, and no coordinate."""
    n, rng = len(people()), np.random.default_rng(5)
    V = np.diag(rng.uniform(0.2, 0.6, n))
    for start in range(0, n - 4, 4):
        A = rng.normal(size=(4, 4))
        V[start : start + 4, start : start + 4] += 0.2 * A @ A.T
    design, target = target_of(structure, None, V=V)
    assert not target.coordinates.has_sigma
    phi = points(target)
    known = [dense_density(design, target, one, V) for one in phi]
    np.testing.assert_allclose(target.log_density(phi), known, rtol=0, atol=1e-8)
    value, gradient = target.value_and_gradient(phi[0])
    h = 1e-5 * np.eye(target.size)
    numeric = (target.log_density(phi[0] + h) - target.log_density(phi[0] - h)) / 2e-5
    np.testing.assert_allclose(value, known[0], rtol=0, atol=1e-8)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)
