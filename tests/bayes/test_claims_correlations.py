"""LKJ(eta) is the density (1 - rho^2)^(eta - 1) of a correlation between two columns, in every engine and in draws.

What says so here is neither drawn nor derived by the package: integrals of that density on a grid, and the marginal
distribution of one correlation of k columns, Beta(eta + k / 2 - 1) on (-1, 1) (Lewandowski, Kurowicka & Joe 2009).
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx import priors
from mixedfx.design.build import build_design
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target
from tests.bayes.montecarlo import effective, errors_of_mean_and_sd

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

TERMS = {2: "x", 3: "x + w", 4: "x + w + v"}
FIXED = {"intercept": priors.normal(0, 2), "coef": priors.normal(0, 2), "sd": priors.half_normal(1)}


@pytest.fixture(scope="module")
def frame():
    """Five groups; covariates with a mean of zero and no correlations, so that it does not matter what they are at."""
    rng = np.random.default_rng(3)
    x, w, v = np.tile([-1.0, 1.0, -1.0, 1.0], 10), np.tile([-1.0, -1.0, 1.0, 1.0], 10), np.tile([-1, 1, 1, -1], 10)
    g = np.repeat(np.arange(5), 8)
    u = np.array([[0.9, 0.6], [-0.5, -0.8], [0.2, 0.7], [-0.9, -0.3], [0.3, -0.2]])
    y = u[g, 0] + u[g, 1] * x + rng.normal(0, 1.5, 40)
    return pd.DataFrame({"y": y, "x": x, "w": w, "v": 1.0 * v, "g": g.astype(str), "s": 1.5})


@pytest.mark.parametrize("eta", [0.7, 1.0, 4.0])
@pytest.mark.parametrize("k", TERMS)
def test_correlations_drawn_from_the_prior_are_beta(frame, k, eta):
    """All pairs: which columns come first is the matter of the factor, not of the prior."""
    given = {"sd": priors.half_normal(1), "cor": priors.lkj(eta)}
    fit = mx.prior_predictive(f"y ~ {TERMS[k]} + (1 + {TERMS[k]} | g)", frame, priors=given, draws=4000, seed=2)
    draws = fit.draws()
    found = [np.ravel(values) for key, values in draws.items() if key[0] == "cor"]
    assert len(found) == k * (k - 1) // 2
    shape = eta + k / 2 - 1
    for rho in found:
        assert stats.kstest((rho + 1) / 2, stats.beta(shape, shape).cdf).pvalue > 1e-3


@pytest.mark.parametrize("eta", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("k", TERMS)
def test_the_density_of_standard_deviations_and_correlations_is_their_prior(frame, k, eta):
    """Whatever the coordinates: their density over the volume they span, by differences, is p(sd) det(R)^(eta - 1) / c.

    The constant is c = 2^(sum (2 eta - 2 + k - j) (k - j)) prod B(eta + (k - j - 1) / 2, same)^(k - j), j from 1 to
    k - 1 (ibidem, equation 16).
    """
    design = build_design(f"y | se(s) ~ {TERMS[k]} + (1 + {TERMS[k]} | g)", frame, sigma_free=False)
    coordinates = build_target(
        design, resolve(prior_set({**FIXED, "cor": priors.lkj(eta)}), scales_of(design))
    ).coordinates
    lower = np.tril_indices(k, -1)

    def natural(phi):
        F = coordinates.variances(phi).factors(0)
        covariance = F @ F.transpose(0, 2, 1)
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        R = covariance / sd[:, :, None] / sd[:, None, :]
        return sd, R, np.concatenate([sd, R[:, lower[0], lower[1]]], axis=1)

    rng = np.random.default_rng([k, int(10 * eta)])
    phi = rng.normal(0, 0.6, (6, coordinates.size))
    sd, R, _ = natural(phi)
    c = sum(
        (2 * eta - 2 + k - j) * (k - j) * np.log(2) + (k - j) * _log_beta(eta + (k - j - 1) / 2) for j in range(1, k)
    )
    for d, point in enumerate(phi):
        h = 1e-5 * np.eye(len(point))
        J = (natural(point + h)[2] - natural(point - h)[2]) / 2e-5
        expected = stats.halfnorm.logpdf(sd[d]).sum() + (eta - 1) * np.linalg.slogdet(R[d])[1] - c
        found = coordinates.log_prior(point[None])[0] - np.linalg.slogdet(J)[1]
        # Central differences in steps of 1e-5 carry nine digits.
        assert found == pytest.approx(expected, abs=1e-6)


def _log_beta(a):
    from scipy import special

    return special.betaln(a, a)


def integrated(frame, eta):
    """Posterior mean and standard deviation of (sd, sd, rho) on a grid, coefficients integrated out, sigma known."""
    y, x, s = (frame[c].to_numpy() for c in ("y", "x", "s"))
    X = np.column_stack([np.ones(len(y)), x])
    same = (frame["g"].to_numpy()[:, None] == frame["g"].to_numpy()).astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(28)
    a = 2.0 * (nodes + 1)  # standard deviations up to 4 of a half-normal prior
    rho = np.sin(np.pi / 2 * np.polynomial.legendre.leggauss(40)[0])  # dense where the density may grow
    of_rho = np.polynomial.legendre.leggauss(40)[1] * np.pi / 2 * np.sqrt(1 - rho**2)
    s0, s1, r = (grid.ravel() for grid in np.meshgrid(a, a, rho, indexing="ij"))
    mass = (weights[:, None, None] * weights[None, :, None] * of_rho).ravel()
    fixed = 4.0 * X @ X.T + np.diag(s**2)
    cross = (x[:, None] + x) * same
    square = np.outer(x, x) * same
    log = np.empty(len(r))
    for rows in np.array_split(np.arange(len(r)), 40):
        V = fixed + (
            (s0[rows] ** 2)[:, None, None] * same
            + (r * s0 * s1)[rows, None, None] * cross
            + (s1[rows] ** 2)[:, None, None] * square
        )
        L = np.linalg.cholesky(V)
        z = np.linalg.solve(L, np.broadcast_to(y[:, None], (len(rows), len(y), 1)))[..., 0]
        log[rows] = -0.5 * (z**2).sum(axis=1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    log += -0.5 * (s0**2 + s1**2) + (eta - 1) * np.log1p(-(r**2))
    p = mass * np.exp(log - log.max())
    p /= p.sum()
    values = np.array([s0, s1, r])
    mean = values @ p
    return mean, np.sqrt((values**2) @ p - mean**2)


@pytest.mark.parametrize("engine", ["collapsed", "stanli"])
@pytest.mark.parametrize("eta", [0.7, 4.0])
def test_the_posterior_of_a_correlation_is_that_of_the_density(frame, engine, eta):
    """Five groups say little about rho, so that the prior decides: its sd differs by a quarter between the two."""
    fit = mx.bayes(
        "y | se(s) ~ x + (1 + x | g)", frame, priors={**FIXED, "cor": priors.lkj(eta)}, engine=engine, seed=4,
        draws=6000, **({"progress": False} if engine == "stanli" else {}),
    )  # fmt: skip
    draws = fit.draws()
    mean, sd = integrated(frame, eta)
    keys = [("sd", "g", "Intercept"), ("sd", "g", "x"), ("cor", "g", "Intercept", "x")]
    for key, m, s in zip(keys, mean, sd, strict=True):
        values = draws[key]
        of_mean, of_sd = errors_of_mean_and_sd(values.ravel(), effective(values))
        assert abs(values.mean() - m) < 4.5 * of_mean
        assert abs(values.std() - s) < 4.5 * of_sd
