"""Effects per unit keep their digits, whatever a treatment is measured in; numbers with two values are groups."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.design.labels import level_label
from mixedfx.design.rows import functional_for
from mixedfx.effects.effects import effects
from mixedfx.effects.increments import affine_in, unit_step
from mixedfx.errors import EffectsError
from tests.effects.drawn_fit import draw_fit

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

LINEAR = [
    "y ~ x",
    "y ~ x*age + race",
    "y ~ race*x + (1 + x | school)",
    "y ~ center(x) + (0 + x || school) + (1 | race:gender)",
    "y ~ scale(x)*gender + offset(0.01 * x)",
    "y ~ I((x - 3) / 7) + x:age:gender",
    "y ~ 0 + C(race):x + (x | school/gender)",
    "y ~ I(2 * age * x - age / 3) + Q('x')",
]
BENT = [
    "y ~ log(x + 5)",
    "y ~ x + I(x**2)",
    "y ~ poly(x, 2)*race",
    "y ~ x:log(x + 5)",
    "y ~ x + (1 + I(x**2) | school)",
]


@pytest.fixture(scope="module")
def numbers(people) -> pd.DataFrame:
    """Numbers that stay exact under large shifts: multiples of 1/16 below 64."""
    return people.assign(x=np.random.default_rng(3).integers(0, 1024, len(people)) / 16.0)


@pytest.mark.parametrize("formula", [*LINEAR, *BENT])
def test_columns_are_affine_where_second_differences_vanish(formula, numbers):
    """The syntax is judged, so it is held against the numbers: slopes at two places, in every column."""
    design = build_design(formula, numbers, sigma_free=False)
    assert affine_in(design, "x") == (formula in LINEAR)

    def rows(shift):
        one = functional_for(design, design.frame.assign(x=numbers["x"] + shift))
        return np.column_stack([one.fixed, one.random.toarray(), one.offset])

    bend = rows(20.0) - 2 * rows(10.0) + rows(0.0)
    size = np.abs(rows(20.0)).max(axis=0)
    assert bool((np.abs(bend).max(axis=0) <= 1e-9 * np.maximum(size, 1)).all()) == (formula in LINEAR)


@settings(max_examples=25, deadline=None)
@given(formula=st.sampled_from(LINEAR[:4]), shift=st.floats(-1e17, 1e17), scale=st.integers(0, 52))
def test_a_shift_leaves_the_rows_of_an_effect_per_unit(formula, shift, scale, numbers, dense_fit):
    """The functional of a slope holds 1 for x, the mean of a modifier for its product, and no more, up to 1e17.

    Numbers are spread enough to be told from a constant, as any fit needs them to be; what is left is rounding.
    """
    fit = dense_fit(formula, numbers)
    spread = 2.0 ** max(scale, np.ceil(np.log2(max(abs(shift), 1.0))) - 20)
    shift = np.round(shift / spread * 16) * spread / 16  # on the grid of the numbers: no digit of them is lost
    moved = build_design(formula, numbers.assign(x=spread * numbers["x"] + shift), sigma_free=False)
    by = "race" if "race" in formula else None
    before, after = (
        effects(type(fit)(d, fit.mean, fit.cov, fit.populations), {"x": "per unit"}, by=by).functional
        for d in (fit.design, moved)
    )
    np.testing.assert_allclose(after.fixed, before.fixed, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(after.random.toarray(), before.random.toarray(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("formula", LINEAR)
def test_a_slope_is_what_two_far_values_say(formula, numbers, dense_fit):
    """Against the rows at 0 and 2^20, divided by 2^20: what nothing is lost in."""
    fit = dense_fit(formula, numbers)
    unit = effects(fit, "x", by="gender", newdata=numbers)
    far = effects(fit, {"x": [0, 2**20]}, by="gender", newdata=numbers)
    np.testing.assert_allclose(unit.functional.fixed, far.functional.fixed / 2**20, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(unit.table["estimate"], far.table["estimate"] / 2**20, rtol=1e-9)
    np.testing.assert_allclose(unit.table["sd"], far.table["sd"] / 2**20, rtol=1e-9)


@pytest.mark.parametrize("formula", BENT)
def test_a_bend_is_one_unit_more_than_each_row_has(formula, numbers, dense_fit):
    fit = dense_fit(formula, numbers)
    frame = fit.design.frame
    high, low = (fit.dense(fit.design_for(frame.assign(x=frame["x"] + h))) for h in (1.0, 0.0))
    by_hand = (high - low).mean(axis=0) @ fit.mean
    assert effects(fit, "x").table["estimate"].item() == pytest.approx(by_hand, rel=1e-10)


def test_the_unit_of_time_and_its_start_do_not_change_a_slope():
    """Days, seconds and nanoseconds since 1970; the fit finds the same slope in each, the effect is the coefficient."""
    rng = np.random.default_rng(0)
    days, g = rng.uniform(0, 365, 400), np.repeat(np.arange(20), 20)
    y = 0.01 * days + rng.normal(size=20)[g] + rng.normal(size=400)
    for unit, start in ((1, 0), (86400, 1.7e9), (8.64e13, 1.7e18)):
        fit = mx.lmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": start + unit * days, "g": g}))
        row = effects(fit, "x").table.iloc[0]
        assert row["estimate"] == pytest.approx(fit.fixef["x"], rel=1e-12)
        assert row["sd"] == pytest.approx(fit.tidy()["std_error"].iloc[1], rel=1e-9)


@pytest.mark.parametrize("comparison", ["difference", "ratio", "lnratio", "lift", "log_odds_ratio"])
def test_one_unit_of_a_large_number_off_the_identity_link(comparison, people):
    """Of 2^60 a unit is lost; the step of 2^35 that is taken instead is a small part of the spread, and divided out.

    Against the same model with x counted from its start in units of 2^50: a step there is 2^50 of ours. Both are
    slopes up to the curvature over 2^35 / 2^50 of a unit.
    """
    x = 2.0**60 + 2.0**50 * np.random.default_rng(3).integers(0, 1000, len(people)) / 250
    plain = draw_fit("y ~ s", people.assign(s=(x - 2.0**60) / 2.0**50), "bernoulli", draws=200)
    large = draw_fit("y ~ x", people.assign(x=x), "bernoulli", draws=200)
    # The same draws, written in the other unit: the intercept moves by 2^10 slopes.
    sample = np.column_stack([plain.sample[:, 0] - 2.0**10 * plain.sample[:, 1], plain.sample[:, 1] / 2.0**50])
    large = type(large)(large.design, sample, (), large.family)
    found = effects(large, "x", comparison=comparison)
    p = 1 / (1 + np.exp(-(plain.sample[:, :1] + plain.sample[:, 1:] * ((x - 2.0**60) / 2.0**50)[None, :])))
    high, slope = p.mean(axis=1), (p * (1 - p) * plain.sample[:, 1:]).mean(axis=1)
    by_hand = {
        "difference": slope,
        "lnratio": slope / high,
        "ratio": 1 + slope / high / 2.0**50,
        "lift": 100 * slope / high,
        "log_odds_ratio": slope / high / (1 - high),
    }[comparison]
    got = found.draws()[:, 0]
    if comparison == "ratio":
        np.testing.assert_allclose(got, by_hand, rtol=1e-14)
        return
    # The linear predictor of 2^60 slopes keeps 2^-53 of 2^10 of them, of which 2^-15 is the step.
    np.testing.assert_allclose(got * 2.0**50, by_hand, rtol=1e-4, atol=1e-7)
    assert "divided by 34,359,738,368" in found.notes[-1]


def test_steps_leave_half_of_the_digits():
    assert unit_step(np.array([0.0, -1e7])) == 1
    assert unit_step(np.array([1.7e9])) == 32
    assert unit_step(np.array([-1.7e18])) == 2.0**35


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.5, 0.5), (1, 2), (0, 10), (-3, -1), (1e15, 1e15 + 1)])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_a_number_with_two_values_compares_them(low, high, family, people):
    """However a group is coded, its effect is the same, and rows are set to values that somebody had."""
    data = people.assign(arm=np.where(people["z"] == 1, high, low))
    fit = draw_fit("y ~ arm*race + (1 | school)", data, family, draws=50)
    eff = effects(fit, "arm", by="race")
    assert set(eff.table["contrast"]) == {f"{level_label(float(high))} - {level_label(float(low))}"}
    frames = [data.assign(arm=float(v)) for v in (low, high)]
    below, above = (fit.expected(fit.design_for(frame)) for frame in frames)
    for i, race in enumerate(("Asian", "Black", "White")):
        mask = (people["race"] == race).to_numpy()
        by_hand = (above[:, mask] - below[:, mask]).mean(axis=1)
        np.testing.assert_allclose(eff.draws()[:, i], by_hand, rtol=1e-6, atol=1e-9)


def test_two_values_may_be_asked_about_per_unit_or_at_others(people, dense_fit):
    data = people.assign(arm=np.where(people["z"] == 1, 10, 4).astype(np.int8))
    fit = dense_fit("y ~ arm*age", data)
    slope = fit.mean[1] + fit.mean[3] * people["age"].mean()
    two = effects(fit, "arm").table.iloc[0]
    assert (two["contrast"], two["estimate"]) == ("10 - 4", pytest.approx(6 * slope, rel=1e-9))
    unit = effects(fit, {"arm": "per unit"}).table.iloc[0]
    assert (unit["contrast"], unit["estimate"]) == ("per unit", pytest.approx(slope, rel=1e-9))
    # Values that an int8 cannot hold.
    other = effects(fit, {"arm": [0, 300]}).table.iloc[0]
    assert (other["contrast"], other["estimate"]) == ("300 - 0", pytest.approx(300 * slope, rel=1e-9))
    zero_one = effects(dense_fit("y ~ z*age", people), {"z": "per unit"}).table["contrast"].item()
    assert zero_one == "per unit"
    for formula, name in (("y ~ style", "style"), ("y ~ treated", "treated"), ("y ~ C(step)", "step")):
        with pytest.raises(EffectsError, match="used as a category, which has no unit"):
            effects(dense_fit(formula, people), {name: "per unit"})


def test_a_fit_by_reml_and_a_posterior_take_two_values_alike(people):
    data = people.assign(arm=people["z"] - 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [make("y ~ arm + (1 | school)", data) for make in (mx.lmer, lambda f, d: mx.bayes(f, d, seed=1))]
        for fit in fits:
            table = effects(fit, "arm").table
            assert table["contrast"].item() == "0.5 - -0.5"
            assert table["estimate"].item() == pytest.approx(fit.fixef["arm"], rel=1e-9)
