"""Coefficients without a finite estimate are named; those that are only large are not."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, SeparationWarning


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    g, x, t = rng.integers(0, 40, 400), rng.normal(size=400), rng.choice(list("abc"), 400)
    eta = -0.3 + 0.5 * x + 0.8 * rng.normal(size=40)[g]
    y = (rng.random(400) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame(
        {
            "y": y,
            "by_level": np.where(t == "c", 1, y),
            "by_threshold": (x > 0.1).astype(int),
            "count": np.where(t == "b", 0, rng.poisson(np.exp(eta))),
            "m": 3,
            "k": np.where(t == "a", 3, rng.integers(0, 4, 400)),
            "x": x,
            "t": t,
            "g": g.astype(str),
        }
    )


@pytest.mark.parametrize(
    ("text", "family", "link", "named"),
    [
        ("by_level ~ x + t + (1 | g)", "bernoulli", "logit", "t[c]"),
        ("by_level ~ x + t + (1 | g)", "bernoulli", "probit", "t[c]"),
        ("by_level ~ x + t + (1 | g)", "bernoulli", "cloglog", "t[c]"),
        ("by_level ~ x + t + (1 | g)", "bernoulli", "cauchit", "t[c]"),
        ("by_level ~ x * t", "bernoulli", "logit", "t[c]"),
        ("by_threshold ~ x + t + (1 | g)", "bernoulli", "logit", "x"),
        ("by_threshold ~ x", "bernoulli", "probit", "x"),
        ("count ~ x + t + (1 | g)", "poisson", "log", "t[b]"),
        ("count ~ x + t + (1 | g)", "negbinomial", "log", "t[b]"),
        ("k | trials(m) ~ x + t + (1 | g)", "binomial", "logit", "t[b], t[c]"),
    ],
)
def test_the_column_is_named(data, text, family, link, named):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", MixedfxWarning)
        mx.glmer(text, data, family, link)
    found = [str(one.message) for one in heard if one.category is SeparationWarning]
    assert len(found) == 1
    assert f"separation: {named} tell" in found[0]
    assert "mx.bayes" in found[0]
    assert {one.filename for one in heard} == {__file__}


@pytest.mark.parametrize(
    ("text", "family"),
    [("y ~ x + t + (1 | g)", "bernoulli"), ("y ~ I(100 * x) + I(x / 1000) + (1 | g)", "bernoulli")],
)
def test_no_false_alarm(data, text, family):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SeparationWarning)
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", SeparationWarning)
        mx.glmer(text.replace(" + I(x / 1000)", ""), data, family)


def test_a_steep_slope_is_no_separation():
    """A coefficient of 12 over a range of 6, estimated from rows that overlap."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=3000)
    frame = pd.DataFrame({"y": (rng.random(3000) < 1 / (1 + np.exp(-12 * x))).astype(int), "x": x})
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)
        fit = mx.glmer("y ~ x", frame, "bernoulli")
    assert fit.fixef["x"] == pytest.approx(12, rel=0.15)
