"""Chains of multilevel models of yes/no answers take smaller steps by default; an option given is taken as it is."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.engines.run_stan import HIGHER


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": rng.integers(0, 6, 120), "z": rng.integers(0, 2, 120), "m": 4})
    frame["y"] = (rng.random(120) < 0.4).astype(int)
    return frame.assign(k=rng.binomial(4, 0.4, 120), count=rng.poisson(2.0, 120))


SMALL = {"engine": "stanli", "draws": 40, "chains": 2, "warmup": 40, "seed": 1, "progress": False}


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
@pytest.mark.parametrize(
    ("formula", "family", "delta"),
    [
        ("y ~ z + (1 | g)", "bernoulli", HIGHER),
        ("k | trials(m) ~ z + (1 | g)", "binomial", HIGHER),
        ("y ~ z", "bernoulli", 0.8),
        ("count ~ z + (1 | g)", "poisson", 0.8),
    ],
)
def test_the_default_follows_the_model(data, formula, family, delta):
    assert mx.bayes(formula, data, family=family, **SMALL).sampling.adapt_delta == delta


@pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")
def test_what_is_given_is_taken(data):
    fit = mx.bayes("y ~ z + (1 | g)", data, family="bernoulli", adapt_delta=0.85, **SMALL)
    assert fit.sampling.adapt_delta == 0.85
