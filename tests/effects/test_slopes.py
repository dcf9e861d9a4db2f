"""Numeric treatments under splines, which end with the data, and slopes: derivatives averaged over rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import EffectsError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"z": rng.uniform(0, 12, 300), "g": rng.integers(0, 15, 300), "arm": rng.choice(["a", "b"], 300)}
    )
    frame["y"] = np.sin(frame["z"]) + rng.normal(size=15)[frame["g"]] + rng.normal(size=300)
    frame["b"] = (frame["y"] > 0).astype(int)
    return frame


@pytest.fixture(scope="module")
def fits(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {text: mx.lmer(f"y ~ {text} * arm + (1 | g)", data)
                for text in ("bs(z, df=5)", "cr(z, df=4)", "cc(z, df=4)", "poly(z, 3)", "z")}  # fmt: skip


def slope_by_hand(fit, data, h=1e-4):
    """Mean of central differences of predictions, one-sided within h of the ends."""
    low, high = data["z"].min(), data["z"].max()
    a, b = (data["z"] - h).clip(low, high), (data["z"] + h).clip(low, high)
    rise = fit.predict(data.assign(z=b)).to_numpy() - fit.predict(data.assign(z=a)).to_numpy()
    return float(np.mean(rise / (b - a)))


@pytest.mark.parametrize("text", ["bs(z, df=5)", "cr(z, df=4)", "cc(z, df=4)", "poly(z, 3)", "z"])
def test_a_slope_is_the_mean_derivative(fits, data, text):
    fit = fits[text]
    found = mx.effects(fit, "z", comparison="slope").table
    # both are one-sided for the two rows at the ends, with steps of 4e-5 and 1e-4: off by less than 1e-6 in 300 rows
    assert found["estimate"].item() == pytest.approx(slope_by_hand(fit, data), abs=2e-6)
    assert found["contrast"].item() == "per unit"
    by = mx.effects(fit, "z", by="arm", comparison="slope").table
    assert by["estimate"][1] == pytest.approx(
        slope_by_hand(fit, data[data["arm"] == "b"].reset_index(drop=True)), rel=2e-3
    )


def test_the_slope_of_a_linear_model_is_its_coefficient(data):
    fit = mx.lmer("y ~ z + arm + (1 | g)", data)
    found = mx.effects(fit, "z", comparison="slope").table
    tidy = fit.tidy().set_index("term").loc["z"]
    assert found["estimate"].item() == pytest.approx(fit.fixef["z"], rel=1e-12)
    assert found["sd"].item() == pytest.approx(tidy["std_error"], rel=1e-9)


@pytest.mark.parametrize("text", ["bs(z, df=5)", "cr(z, df=4)", "cc(z, df=4)"])
def test_one_unit_more_stays_within_a_spline(fits, data, text):
    """By hand: rows within a unit of the largest value have the unit that ends there."""
    fit, top = fits[text], data["z"].max()
    start = data["z"].clip(upper=top - 1)
    rise = (
        fit.predict(data.assign(z=(start + 1).clip(upper=top))).to_numpy()
        - fit.predict(data.assign(z=start)).to_numpy()
    )
    found = mx.effects(fit, "z")
    assert found.table["estimate"].item() == pytest.approx(rise.mean(), rel=1e-9)
    assert any("A spline in z ends at" in note for note in found.notes)


def test_a_range_of_less_than_a_unit_has_slopes(data):
    small = data.assign(z=data["z"] / 100)
    fit = mx.lmer("y ~ bs(z, df=5) + (1 | g)", small)
    found = mx.effects(fit, "z")
    whole = mx.effects(mx.lmer("y ~ bs(z, df=5) + (1 | g)", data), "z", comparison="slope")
    assert found.table["estimate"].item() == pytest.approx(100 * whole.table["estimate"].item(), rel=1e-5)
    assert found.notes[0] == "One unit is more than the range of z in the data: effects per unit are average slopes."


@pytest.mark.parametrize("scale", ["response", "link"])
def test_slopes_of_probabilities_are_average_marginal_effects(data, scale):
    fit = mx.glmer("b ~ poly(z, 2) + arm + (1 | g)", data, "bernoulli")
    found = mx.effects(fit, "z", comparison="slope", scale=scale).table
    h, kind = 1e-4, scale
    rise = fit.predict(data.assign(z=data["z"] + h), kind=kind) - fit.predict(data.assign(z=data["z"] - h), kind=kind)
    by_hand = float(np.mean(rise / (2 * h)))
    # on the response scale the estimate is a mean over draws of the coefficients
    near = 1e-6 if scale == "link" else 0.1 * found["sd"].item()
    assert found["estimate"].item() == pytest.approx(by_hand, abs=near)


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-1e3, 1e3), factor=st.floats(0.01, 100))
def test_slopes_change_with_the_unit_and_not_with_the_origin(data, shift, factor):
    """x -> shift + factor x: the same fit, and the slope divided by the factor."""
    moved = data.assign(z=shift + factor * data["z"])
    first = mx.effects(mx.lmer("y ~ bs(z, df=4)", data), "z", comparison="slope").table
    again = mx.effects(mx.lmer("y ~ bs(z, df=4)", moved), "z", comparison="slope").table
    assert again["estimate"].item() * factor == pytest.approx(first["estimate"].item(), rel=1e-4)
    assert again["sd"].item() * factor == pytest.approx(first["sd"].item(), rel=1e-4)


def test_values_to_compare_have_no_slope(fits):
    with pytest.raises(EffectsError, match="names values of 'z' to compare"):
        mx.effects(fits["z"], {"z": [0, 1]}, comparison="slope")
    with pytest.raises(EffectsError, match="is used as a category"):
        mx.effects(fits["z"], "arm", comparison="slope")


@pytest.mark.parametrize("text", ["bs(z, df=5)", "cr(z, df=4)"])
def test_trends_at_the_ends_of_a_spline_are_one_sided(data, text):
    fit = mx.lmer(f"y ~ {text} + arm + (1 | g)", data)
    low, high = data["z"].min(), data["z"].max()
    for at, direction in ((low, 1), (high, -1), ((low + high) / 2, 1)):
        found = mx.emtrends(fit, var="z", at={"z": [at]}).table["trend"].item()
        h = 1e-5 * direction
        rows = pd.DataFrame({"z": [at, at + h], "arm": "a", "g": 0})
        one_sided = np.diff(fit.predict(rows, groups="average"))[0] / h
        assert found == pytest.approx(one_sided, abs=1e-3)  # by hand of first order: h f'' / 2
