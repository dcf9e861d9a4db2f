"""The collapsed density is that of the Stan program, beta and u integrated out, wherever covariates have their zero.

Given the variances the log density of a program is a quadratic in (alpha, beta, std_u): its values at the origin, along
each axis and in each plane give the integral, exactly but for rounding. Both are compared on the program's scale, log
sigma, log standard deviations (log tau and shares under decov, a linear map away) and partial correlations.
"""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.covariance.unconstrained import Layout, coordinates_of, correlation_factor, log_one_minus_square
from mixedfx.design.build import build_design
from mixedfx.families.registry import find_family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target

STANLI, GAUSSIAN = stan_engines()["stanli"], find_family("gaussian")
LEVELS, EACH = 5, 4
p = mx.priors
INTEGRABLE = {"intercept": p.normal(0, 2.5, autoscale=True), "coef": p.normal(0, 2.5, autoscale=True)}
SETS = {
    "default": None,
    "rstanarm": "rstanarm",
    "brms": p.PriorSet(
        "brms, normal coefficients", {**p.brms().entries, **INTEGRABLE}, "mad", varying_intercepts="zero"
    ),
    "decov at the means": {"sd": p.decov(2.0, 1.5, 1.2, 0.7)},
}


def frame(shift):
    rng = np.random.default_rng(12)
    x = np.tile(np.linspace(-1.3, 1.3, EACH), LEVELS)
    g = np.repeat(list("abcde"), EACH)
    slope = np.repeat(rng.normal(size=LEVELS), EACH)
    y = 2 + slope * x + np.repeat(rng.normal(size=LEVELS), EACH) + 0.5 * rng.normal(size=LEVELS * EACH)
    return pd.DataFrame(
        {"y": y, "x": x + shift, "g": g, "w": rng.gamma(2.0, size=len(y)), "o": rng.normal(size=len(y))}
    )


def integrated(text, data, point, gaussian):
    """Log of the integral of the program's density over the coordinates `gaussian`, all else at `point`."""
    n = len(gaussian)
    axes = np.zeros((n, len(point)))
    axes[np.arange(n), gaussian] = 1.0
    i, j = np.triu_indices(n)
    at = np.concatenate([point[None], point + axes, point - axes, point + axes[i] + axes[j]])
    values = STANLI.log_density(text, data, at)
    zero, up, down, both = values[0], values[1 : n + 1], values[n + 1 : 2 * n + 1], values[2 * n + 1 :]
    H = np.empty((n, n))
    H[i, j] = H[j, i] = both - up[i] - up[j] + zero
    H[np.arange(n), np.arange(n)] = up + down - 2 * zero
    g = (up - down) / 2
    return zero - 0.5 * g @ np.linalg.solve(H, g) - 0.5 * np.linalg.slogdet(-H)[1] + 0.5 * n * np.log(2 * np.pi)


def by_stan(target, text, data, phi, decov):
    """The integrated log density at one point phi, and what takes that of phi to the program's scale."""
    term = target.coordinates.terms[0]
    sampled = target.coordinates.variances(phi).sampled[0]
    stated = sampled if term.prior.across is None else term.prior.across @ sampled
    log_sd, y = coordinates_of(stated)
    sd, sigma = np.exp(log_sd[0]), float(np.exp(phi[0, 0]))
    values = {"sigma": sigma, "alpha": 0.0, "beta": np.zeros(1), "L_1": correlation_factor(y, 2)[0]}
    if decov:
        values |= {"tau_1": np.sqrt((sd**2).mean()) / sigma, "pi_1": sd**2 / (sd**2).sum()}
    else:
        values["sd_1"] = sd
    point = STANLI.unconstrain(text, data, values | {"std_u_1": np.zeros((2, LEVELS))})
    gaussian = np.array([1, 2, *range(len(point) - 2 * LEVELS, len(point))])
    point[gaussian] = 0.0
    volume = [
        Layout(2).log_volume(a, log_one_minus_square(b))[0]
        for a, b in ((log_sd, y), (phi[:, term.sds], phi[:, term.partials]))
    ]
    return integrated(text, data, point, gaussian), volume[0] - volume[1]


@pytest.mark.parametrize("options", [{}, {"weights": "w", "offset": "o"}], ids=["plain", "weights and offset"])
@pytest.mark.parametrize("shift", [0.0, 4.0, -60.0, 2017.0])
@pytest.mark.parametrize("name", SETS)
def test_the_collapsed_density_is_that_of_the_program(name, shift, options):
    """Differences between four points. A program that has effects at zero adds numbers of the size of the shift's
    square, from which 16 digits less those of the square are left."""
    design = build_design("y ~ x + (1 + x | g)", frame(shift), family=GAUSSIAN, **options)
    resolved = resolve(prior_set(SETS[name]), scales_of(design, GAUSSIAN))
    shape = model_shape(design, GAUSSIAN, resolved)
    text, data = program_text(shape), program_data(design, GAUSSIAN, resolved, shape)
    target = build_target(design, resolved)
    rng = np.random.default_rng(13)
    phi = target.coordinates.even(0.6, 1.2) + 0.3 * rng.normal(size=(4, target.size))
    found = [by_stan(target, text, data, row[None], "decov" in name or name == "rstanarm") for row in phi]
    theirs = np.array([value for value, _ in found])
    ours = target.log_density(phi) + np.array([volume for _, volume in found])
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=0, atol=1e-7 + 1e-11 * shift**2)
    assert (np.abs(np.diff(theirs)) > 0.1).all(), "the points do not differ"
