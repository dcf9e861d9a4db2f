"""Every family finds the parameters that data were simulated with, by NumPy and not by the package.

600 rows in 30 groups with a varying slope. Every parameter is within four posterior standard deviations of its truth,
which 60 numbers with fixed seeds leave to mistakes. A minute or two of CPU.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx.errors import SamplingWarning
from mixedfx.families.registry import FAMILIES

GROUPS, ROWS = 30, 20
TRUTH = {("beta", "Intercept"): 0.4, ("beta", "z"): 0.5, ("beta", "x"): 0.7, ("sd", "g", "Intercept"): 0.6}
TRUTH |= {("sd", "g", "z"): 0.4, ("cor", "g", "Intercept", "z"): 0.3}
CUT = np.array([-1.0, 0.5, 1.5])
AUXILIARY = {
    "gaussian": {("sigma",): 0.8},
    "student": {("nu",): 4.0, ("sigma",): 0.5},
    "lognormal": {("sigma",): 0.4},
    "gamma": {("shape",): 4.0},
    "beta": {("phi",): 8.0},
    "negbinomial": {("shape",): 3.0},
    "nbinom1": {("dispersion",): 0.8},
    "beta_binomial": {("phi",): 6.0},
    "truncated_negbinomial": {("shape",): 3.0},
    "tweedie": {("dispersion",): 0.8, ("power",): 1.5},
    "cumulative": {("threshold", str(k + 1)): value for k, value in enumerate(CUT)},
}


def effects(rng):
    """(GROUPS, 2) effects with the sds and the correlation of the truth."""
    sd = np.array([0.6, 0.4])
    covariance = np.array([[1.0, 0.3], [0.3, 1.0]]) * np.outer(sd, sd)
    return rng.multivariate_normal(np.zeros(2), covariance, GROUPS)


def simulate(name, rng):
    """Data whose truth is TRUTH and AUXILIARY; for a categorical response in its second category, the third apart."""
    n, g = GROUPS * ROWS, np.repeat(np.arange(GROUPS), ROWS)
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.integers(2, size=n) * 1.0, "g": [f"g{i:02d}" for i in g]})
    u = effects(rng)
    eta = (0.4 + 0.5 * data["z"] + 0.7 * data["x"] + u[g, 0] + u[g, 1] * data["z"]).to_numpy()
    p, mu = special.expit(eta), np.exp(eta)
    other = 0.2 - 0.3 * data["x"].to_numpy()
    three = special.softmax(np.column_stack([np.zeros(n), eta, other]), axis=1)
    data["m"] = rng.integers(1, 12, n)
    data["y"] = {
        "gaussian": lambda: rng.normal(eta, 0.8),
        "student": lambda: eta + 0.5 * rng.standard_t(4, n),
        "lognormal": lambda: np.exp(rng.normal(eta, 0.4)),
        "gamma": lambda: rng.gamma(4.0, mu / 4),
        "beta": lambda: np.clip(rng.beta(8 * p, 8 * (1 - p)), 1e-12, 1 - 1e-12),
        "bernoulli": lambda: rng.binomial(1, p),
        "binomial": lambda: rng.binomial(data["m"], p),
        "poisson": lambda: rng.poisson(mu),
        "negbinomial": lambda: rng.negative_binomial(3, 3 / (3 + mu)),
        "nbinom1": lambda: rng.negative_binomial(mu / 0.8, 1 / 1.8),
        "beta_binomial": lambda: rng.binomial(data["m"], rng.beta(6 * p, 6 * (1 - p))),
        "truncated_poisson": lambda: stats.poisson.isf(rng.random(n) * -np.expm1(-mu), mu),
        "truncated_negbinomial": lambda: stats.nbinom.isf(rng.random(n) * (1 - (1 + mu / 3) ** -3.0), 3, 3 / (3 + mu)),
        "tweedie": lambda: rng.standard_gamma(rng.poisson(np.sqrt(mu) / 0.4)) * 0.4 * np.sqrt(mu),
        "cumulative": lambda: np.digitize(eta - 0.4 + rng.logistic(size=n), CUT),
        "categorical": lambda: np.array(["a", "b", "c"])[(rng.random(n)[:, None] > three.cumsum(axis=1)[:, :2]).sum(1)],
    }[name]()
    return data


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_finds_the_parameters_of_its_data(name):
    data = simulate(name, np.random.default_rng(20261121))
    left = "y | trials(m)" if FAMILIES[name].outcome == "trials" else "y"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # 2,000 draws, some with few effective ones
        fit = mx.bayes(
            f"{left} ~ z + x + (1 + z | g)", data, name, engine="stanli", draws=2000, warmup=500, seed=1, progress=False
        )
    truth = {
        key: value for key, value in TRUTH.items() if not (name == "cumulative" and key[-1] == "Intercept" == key[1])
    }
    if name == "categorical":
        truth = {(key[0], "b", *key[1:]): value for key, value in truth.items()}
        truth |= {("beta", "c", "Intercept"): 0.2, ("beta", "c", "x"): -0.3, ("beta", "c", "z"): 0.0}
    truth |= AUXILIARY.get(name, {})
    draws = fit.draws()
    far = {key: (draws[key].mean() - value) / draws[key].std() for key, value in truth.items()}
    assert {key: round(distance, 1) for key, distance in far.items() if abs(distance) > 4} == {}
    assert fit.sampling.r_hat < 1.05
    assert fit.sampling.divergences < 20
