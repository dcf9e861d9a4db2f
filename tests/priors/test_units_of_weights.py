"""Weights times c are the same model with c^(1/2) sigma: the posterior does not hang on their unit, in any engine.

Densities at corresponding points, without sampling.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.design.build import build_design
from mixedfx.families.registry import FAMILIES, find_family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling.target import build_target
from tests.bayes.stan.models import plain
from tests.oracles import stan_model

STANLI = stan_engines()["stanli"]
SETS = {
    "default": None,
    "rstanarm": "rstanarm",
    "brms": "brms",
    "fixed sigma": {"sigma": priors.normal(2.0, 0.5)},
    "decov": {"sd": priors.decov(1.0, 2.0, 3.0, 0.5), "sigma": priors.inv_gamma(3.0, 2.0)},
    "r2d2": {"coef": priors.r2d2(), "sd": priors.r2d2()},
    "horseshoe": {"coef": priors.horseshoe()},
}
COLLAPSED = ["default", "rstanarm", "brms", "fixed sigma", "decov"]


def frame():
    rng = np.random.default_rng(21)
    n = 40
    data = pd.DataFrame(
        {"x": 30 + rng.normal(size=n), "g": np.resize(list("abcdefgh"), n), "w": rng.gamma(1.0, size=n)}
    )
    data["y"] = np.exp(0.3 * rng.normal(size=n) + 1)
    return data


DATA = frame()
FORMULA = "y ~ x + (1 + x | g)"


def model(name, c, family="gaussian"):
    family = find_family(family)
    design = build_design(FORMULA, DATA.assign(w=c * DATA["w"]), weights="w", family=family)
    return design, family, resolve(prior_set(SETS[name]), scales_of(design, family))


@given(c=st.floats(-9, 9).map(lambda e: 10.0**e), name=st.sampled_from(COLLAPSED))
@settings(max_examples=20, deadline=None)
def test_the_collapsed_density_is_the_same_in_every_unit(c, name):
    """log sigma moves by log(c) / 2, and nothing else: to 1e-8 of a log density of some hundred."""
    (design, _, resolved), (there, _, scaled) = model(name, 1.0), model(name, c)
    one, other = build_target(design, resolved), build_target(there, scaled)
    phi = 0.4 * np.random.default_rng(1).normal(size=(4, one.size))
    moved = phi.copy()
    moved[:, 0] += 0.5 * np.log(c)
    np.testing.assert_allclose(other.log_density(moved), one.log_density(phi), rtol=0, atol=1e-8)


@pytest.mark.parametrize("c", [1e-3, 700.0])
@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.weights])
@pytest.mark.parametrize("name", SETS)
def test_the_program_says_the_same_in_every_unit(name, family, c):
    """Of every family with weights and every set: the log densities of corresponding points differ by one constant."""
    values, found = [], []
    for unit in (1.0, c):
        design, known, resolved = model(name, unit, family)
        shape = model_shape(design, known, resolved)
        text, data = program_text(shape), program_data(design, known, resolved, shape)
        if not values:
            oracle, rng = plain(design, known, resolved), np.random.default_rng(2)
            values = [stan_model.random_point(oracle, rng) for _ in range(3)]
        points = [_in_unit(value, unit) for value in values]
        at = np.array([STANLI.unconstrain(text, data, point) for point in points])
        found.append(STANLI.log_density(text, data, at))
    np.testing.assert_allclose(np.diff(found[1]), np.diff(found[0]), rtol=0, atol=1e-8)


def _in_unit(values, c):
    """The same model: sigma in the unit of the weights, and tau, which counts in sigmas."""
    out = dict(values, sigma=values["sigma"] * np.sqrt(c))
    if "tau_1" in values:
        out["tau_1"] = values["tau_1"] / np.sqrt(c)
    return out


@pytest.mark.parametrize("name", ["default", "rstanarm", "brms", "fixed sigma"])
def test_sigma_has_its_prior_at_a_row_of_average_weight(name):
    """Sigma over the root of the mean weight, and it says so; weights of mean one change nothing."""
    *_, plain_priors = model(name, 1 / DATA["w"].mean())
    *_, counts = model(name, 250 / DATA["w"].mean())
    x = np.array([0.1, 1.0, 3.0])
    np.testing.assert_allclose(
        counts.sigma.log_positive(x * np.sqrt(250)) + 0.5 * np.log(250), plain_priors.sigma.log_positive(x), rtol=1e-10
    )
    (given,) = (given for what, given, _ in counts.described if what == "sigma")
    assert given.endswith("for a row of average weight")
    unweighted = build_design(FORMULA, DATA)
    words = resolve(prior_set(SETS[name]), scales_of(unweighted)).described
    assert not any("average weight" in given for _, given, _ in words)


def test_the_spread_of_the_response_is_weighted_by_rows_for_the_default_and_not_for_named_sets():
    """A row that is nearly nothing but noise counts for nearly nothing, as it would for nothing with weight zero."""
    wild = pd.concat([DATA, DATA.iloc[:1].assign(y=1e4, w=1e-12)], ignore_index=True)
    without, full = ({"data": d} for d in (DATA, wild))
    for one in (without, full):
        one["design"] = build_design(FORMULA, one["data"], weights="w")
        one["scales"] = scales_of(one["design"])
    default = [one["scales"].response["sd"] for one in (without, full)]
    assert default[1].centre == pytest.approx(default[0].centre, rel=1e-6)
    assert default[1].sigma == pytest.approx(default[0].sigma, rel=1e-3)
    rstanarm = full["scales"].response["rstanarm"]
    assert (rstanarm.centre, rstanarm.sigma) == (pytest.approx(wild["y"].mean()), pytest.approx(wild["y"].std()))


def test_the_weighted_variance_of_noise_is_that_of_a_row_of_average_weight():
    """Sum of w (y - mean)^2 over sum of w, in expectation sigma^2 / mean(w): over 400 responses to four errors."""
    rng = np.random.default_rng(3)
    w = rng.gamma(0.7, size=200)
    data = pd.DataFrame({"y": rng.normal(size=200), "g": np.resize(list("abcdefgh"), 200), "w": w})
    design = build_design("y ~ 1 + (1 | g)", data, weights="w")
    noise = (3 * rng.normal(size=200) / np.sqrt(w) for _ in range(400))
    found = [scales_of(replace(design, y=y)).response["sd"].sigma ** 2 for y in noise]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(9 / w.mean(), abs=4 * error)


def test_draws_in_two_units_are_the_same():
    """The exact engine, seed and all: sigma by the root of the unit, everything else by nothing."""
    one, other = (
        mx.bayes(FORMULA, DATA, weights=c * DATA["w"].to_numpy(), seed=1, draws=400).draws() for c in (1.0, 400.0)
    )
    for key in one:
        factor = 20.0 if key == ("sigma",) else 1.0
        np.testing.assert_allclose(other[key], factor * np.asarray(one[key]), rtol=2e-3, atol=1e-3, err_msg=str(key))
