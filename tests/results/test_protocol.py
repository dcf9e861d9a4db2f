"""Fits and their estimates have every member that the protocols name: nothing is looked up with a default."""

import inspect

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.results.protocol import Fit, IntervalEstimate, LinearEstimate

RNG = np.random.default_rng(2)
DATA = pd.DataFrame({"x": RNG.normal(size=60), "g": np.arange(60) % 6, "a": RNG.choice(["p", "q"], 60)})
DATA["y"] = DATA["x"] + RNG.normal(size=60) + np.arange(60) % 6


def members(protocol):
    return {name for kind in protocol.__mro__ for name in vars(kind) if not name.startswith("_")}


@pytest.fixture(scope="module")
def fits():
    return {
        "REML": mx.lmer("y ~ x + (1 | g)", DATA),
        "least squares": mx.lmer("y ~ x", DATA),
        "posterior": mx.bayes("y ~ x + (1 | g)", DATA, seed=1, draws=200),
        "prior": mx.prior_predictive("y ~ x + (1 | g)", DATA, seed=1, draws=100),
    }


NAMES = ("REML", "least squares", "posterior", "prior")


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_has_every_member(fits, name):
    assert {m for m in members(Fit) if inspect.getattr_static(fits[name], m, None) is None} == set()
    assert fits[name].posterior == (name in ("posterior", "prior"))
    assert isinstance(fits[name].concerns, tuple)
    factors = fits[name].covariance_factors
    assert [f.shape[1:] for f in factors] == [(t.n_columns, t.n_columns) for t in fits[name].design.random]


@pytest.mark.parametrize("name", NAMES)
def test_an_estimate_has_every_member(fits, name):
    fit = fits[name]
    rows = fit.design_for().take(np.arange(3))
    answering = [fit] if fit.posterior else [fit.with_uncertainty(u) for u in ("full", "given theta")]
    for one in answering:
        found = one.apply(rows)
        protocol = IntervalEstimate if found.own_intervals else LinearEstimate
        assert {m for m in members(protocol) if not hasattr(found, m)} == set()
        assert found.exact != fit.posterior
        assert isinstance(found.notes, tuple)


def test_only_estimated_variances_can_be_singular(fits):
    assert fits["posterior"].singularity is None
    assert not fits["REML"].singularity.singular
