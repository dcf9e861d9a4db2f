"""Transformations of a response: a contract over the registry, and left sides read against the functions they call."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special

import mixedfx as mx
from mixedfx.design.backtransform import Unknown, read_transformation
from mixedfx.design.transforms import CURVES, Affine, Curve, Transformation, power
from mixedfx.families.registry import find_family

POWERS = (-2.0, -1.0, -0.5, 0.25, 1 / 3, 0.7, 1.5, 2.0)
CURVED = [*CURVES.values(), *(power(p) for p in POWERS)]
# Inside the domain of every function: logit and arctanh end at 0 and 1.
Y = np.linspace(0.05, 0.95, 37)


@pytest.mark.parametrize("curve", CURVED, ids=lambda c: c.name)
class TestContract:
    """What every entry promises; a new entry is tested by existing."""

    def test_the_inverse_undoes_the_function(self, curve: Curve):
        # Rounding of two functions and no more; probit and arctanh lose a digit at their ends.
        np.testing.assert_allclose(curve.inverse(curve.forward(Y)), Y, rtol=1e-13)
        assert (curve.forward(Y[1:]) < curve.forward(Y[:-1])).all() == curve.falls

    def test_the_slope_is_the_derivative_of_the_inverse(self, curve: Curve):
        eta, h = curve.forward(Y), 1e-6
        numeric = (curve.inverse(eta + h) - curve.inverse(eta - h)) / (2 * h)
        np.testing.assert_allclose(curve.slope(eta), numeric, rtol=1e-6)  # h^2 times a third derivative

    def test_the_mean_is_an_integral(self, curve: Curve):
        whole = Transformation("f(y)", "y", (Affine(0.2, 1.5), curve, Affine(-1.0, 2.0)))
        assert whole.has_mean == (curve.mean is not None)
        if not whole.has_mean:
            with pytest.raises(ValueError, match="no mean"):
                whole.mean(np.array(0.0), np.array(1.0))
            return
        # Far enough from the bounds of f(y) that what a normal distribution has beyond them is below the tolerance.
        center, sd = (curve.forward(np.array(0.6)) - 0.2) / 1.5, 0.04
        mean, slope = whole.mean(center, np.array(sd)), whole.mean_slope(center, np.array(sd))
        for value, function in ((mean, whole.inverse), (slope, whole.slope)):
            integral, _ = integrate.quad(
                lambda x, g=function: g(center + sd * np.array(x)) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi), -10, 10
            )
            assert value == pytest.approx(integral, rel=1e-6)

    def test_rates_are_those_of_ratios_and_odds(self, curve: Curve):
        a, b = curve.forward(Y[3:]), curve.forward(Y[:-3])
        odds = Y / (1 - Y)
        for rate, value in ((curve.rate, Y[3:] / Y[:-3]), (curve.odds, odds[3:] / odds[:-3])):
            if rate is not None:
                np.testing.assert_allclose(np.exp(rate * (a - b)), value, rtol=1e-12)


def test_values_that_a_function_never_takes_count_as_the_nearest_it_does():
    """An interval of sqrt(y) that reaches below zero begins at y = 0, and not at the square of its end."""
    below = np.array([-1.0, 0.0, 2.0])
    assert CURVES["sqrt"].inverse(below).tolist() == [0, 0, 4]
    assert CURVES["square"].inverse(np.array([-1.0, 4.0])).tolist() == [0, 2]
    assert Transformation("exp(y)", "y", (CURVES["exp"],)).inverse(below)[0] == -np.inf


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(["log", "sqrt", "cbrt", "arcsinh", "log1p"]),
            st.tuples(st.floats(-2, 2), st.floats(0.2, 5)),
        ),
        min_size=1,
        max_size=4,
    ),
    m=st.floats(0.5, 3),
    s=st.floats(0.01, 0.3),
)
def test_a_composition_is_undone_from_the_outside_in(steps, m, s):
    parts = tuple(CURVES[p] if isinstance(p, str) else Affine(*p) for p in steps)
    whole = Transformation("f", "y", parts)
    y = np.linspace(20.0, 60.0, 5)
    with np.errstate(all="ignore"):
        eta = whole.forward(y)
    if not np.isfinite(eta).all() or (np.abs(np.diff(eta)) < 1e-6).any():
        return  # the logarithm of a negative number, or digits lost in logarithms of logarithms
    np.testing.assert_allclose(whole.inverse(eta), y, rtol=1e-6)
    h = 1e-6
    numeric = (whole.inverse(eta + h) - whole.inverse(eta - h)) / (2 * h)
    np.testing.assert_allclose(whole.slope(eta), numeric, rtol=1e-3)
    bends = [p for p in parts if isinstance(p, Curve)]
    assert (whole.affine is None) == bool(bends)
    if len(bends) > 1:
        return
    if bends and bends[0].positive and bends[0].rate is None:
        return  # sqrt: the tail below zero counts in the exact mean and is cut off in the inverse
    z, step = np.linspace(-20.0, 20.0, 8001, retstep=True)
    with np.errstate(over="ignore"):
        parts_of_mean = whole.inverse(eta[2] + s * z) * np.exp(-0.5 * z**2) * step / np.sqrt(2 * np.pi)
    total = parts_of_mean.sum()
    if not np.abs(parts_of_mean[[0, -1]]).max() < 1e-12 * np.abs(total):
        return  # a mean of what lies 20 standard deviations away
    # sums over an even grid converge faster than any power of its step; the mean is in closed form or by quadrature
    assert whole.mean(eta[2], np.array(s)) == pytest.approx(total, rel=1e-6)


N = 40
RNG = np.random.default_rng(7)
DATA = pd.DataFrame(
    {
        "y": RNG.uniform(0.1, 0.9, N),
        "days in": RNG.uniform(1, 30, N),
        "w": RNG.uniform(1, 2, N),
        "z": RNG.normal(size=N),
        "x": np.tile([0, 1], N // 2),
    }
)
ENV = {"c": 3.0, "logarithm": np.log, "probit": special.ndtri, "center": np.sqrt, "own": lambda v: v + 1}

KNOWN = [
    ("log(y)", "y", "geometric mean"),
    ("np.log2(y)", "y", "geometric mean"),
    ("log10(1000 * y)", "y", "geometric mean"),
    ("log(`days in`)", "days in", "geometric mean"),
    ("log(Q('days in'))", "days in", "geometric mean"),
    ("logarithm(y)", "y", "geometric mean"),
    ("-log(y) / 2", "y", "geometric mean"),
    ("log(y) - log(w)", "y / w", "geometric mean"),
    ("log(y) + log(w)", "y * w", "geometric mean"),
    ("log(w / y ** 2)", "w / y ** 2", "geometric mean"),
    ("log(np.clip(y, 0.2, 0.8))", "np.clip(y, 0.2, 0.8)", "geometric mean"),
    ("1 / y", "y", "harmonic mean"),
    ("np.reciprocal(2 * y)", "y", "harmonic mean"),
    ("log1p(y)", "y", "back-transformed mean"),
    ("log(y + 1)", "y", "back-transformed mean"),
    ("sqrt(y)", "y", "back-transformed mean"),
    ("y ** 0.5", "y", "back-transformed mean"),
    ("np.power(y, 0.3)", "y", "back-transformed mean"),
    ("y ** 2", "y", "back-transformed mean"),
    ("logit(y)", "y", "back-transformed mean"),
    ("log(y / (1 - y))", "y", "back-transformed mean"),
    ("log2(y / (1 - y))", "y", "back-transformed mean"),
    ("log(`days in` / (50 - `days in`))", "days in", "back-transformed mean"),
    ("log(-log(1 - y))", "y", "back-transformed mean"),
    ("np.arcsin(sqrt(y))", "y", "back-transformed mean"),
    ("probit(y)", "y", "back-transformed mean"),
    ("np.arctanh(y)", "y", "back-transformed mean"),
    ("center(y)", "y", "back-transformed mean"),  # the caller's own, a root
    ("scale(y)", "y", "mean"),
    ("scale(`days in`, center=False)", "days in", "mean"),
    ("standardize(y)", "y", "mean"),
    ("y / 10", "y", "mean"),
    ("{y / c}", "y", "mean"),
    ("c - 2 * y", "y", "mean"),
    ("np.subtract(y, 0.5)", "y", "mean"),
    ("log(2) * y", "y", "mean"),
    ("scale(z) * 3 + 1", "z", "mean"),
]


@pytest.mark.parametrize(("left", "variable", "kind"), KNOWN)
def test_a_left_side_is_undone_on_the_data(left, variable, kind):
    design = mx.design(f"{left} ~ x", DATA, env=ENV)
    found = read_transformation(design)
    assert isinstance(found, Transformation)
    assert (found.variable, found.kind) == (variable, kind)
    value = DATA[variable] if variable in DATA else eval(variable, {"np": np}, dict(DATA))
    np.testing.assert_allclose(found.inverse(design.y), value, rtol=1e-12)
    np.testing.assert_allclose(found.forward(np.asarray(value)), design.y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "left",
    ["y", "`days in`", "I(y)", "y - w", "y / w", "I(y > 0.5)", "np.where(y > 0.5, 1, 0)", "abs(z)", "np.round(y)"],
)
def test_a_variable_or_a_quantity_computed_from_columns_is_itself(left):
    assert read_transformation(mx.design(f"{left} ~ x", DATA)) is None


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ("own(y)", r"own\(...\) is no function that can be undone"),
        ("np.sin(y)", r"np.sin\(...\) is no function"),
        ("y + np.sin(y)", r"np.sin\(...\) is no function"),
        ("log(y) * log(w)", r"log\(...\) is one part of it among others"),
        ("z ** 2", "one to one where z is positive"),
        ("1 / z", "one to one where z is positive"),
        ("(y - 0.5) ** 2", "one to one where y - 0.5 is positive"),
    ],
)
def test_what_cannot_be_undone_has_a_reason(left, reason):
    found = read_transformation(mx.design(f"{left} ~ x", DATA, env=ENV))
    assert isinstance(found, Unknown)
    assert re.search(reason, found.reason)


def test_categories_and_counts_out_of_a_total_are_no_transformations():
    data = DATA.assign(k=1, m=3, mood=np.resize(["a", "b", "c"], N))
    for formula, family in (
        ("k | trials(m) ~ x", "binomial"),
        ("C(mood, levels=['c', 'b', 'a']) ~ x", "cumulative"),
        ("I(y > 0.5) ~ x", "bernoulli"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            built = mx.design(formula, data, family=family)
        assert read_transformation(built, find_family(family)) is None


def test_scale_knows_the_data_of_the_fit():
    design = mx.design("scale(y) ~ x", DATA)
    found = read_transformation(design)
    assert isinstance(found, Transformation)
    assert found.affine is not None
    assert found.affine.shift == pytest.approx(DATA["y"].mean(), rel=1e-12)
    assert found.affine.factor == pytest.approx(DATA["y"].std(), rel=1e-12)
