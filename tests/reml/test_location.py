"""Where a covariate has its zero, and in which unit it is counted, is no part of a linear mixed model.

For correlated terms that contain the intercept, and covariates that stand in no product, x -> a + b x is the same
model. What has a meaning in both is compared here, up to a million standard deviations from zero: a covariate there
keeps ten of its sixteen digits, so that its data differ by 1e-10 of a standard deviation; sums over 200 rows multiply
that by a hundred, hence the tolerances of 1e-7.
"""

import warnings
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, SingularFitWarning
from mixedfx.inference.nesting import nested
from mixedfx.reml.fit import LmerFit

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + w + (x + w | g)",
    "y ~ x + (x | g) + (x | h)",  # crossed
    "y ~ x + (x | k/g)",  # nested
    "y ~ f + x + (f + x | g)",  # a category next to a number
    "y ~ x + f + (0 + f + x | g)",  # the intercept is in the term as the sum of all dummies
    "y ~ x + w + (x | g) + (w | h) + (1 | k)",
    "y ~ x + w + (x | g) + (0 + w | g)",
]
SHIFTS = st.sampled_from([-1e6, -1e4, -30.0, 0.0, 3.0, 1e3, 1e5, 1e6])
SCALES = st.sampled_from([-1e6, -1e-3, 1e-8, 1e-2, 1.0, 40.0, 1e7])


@lru_cache
def data(seed: int, slope: float = 0.7, n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h, f = rng.integers(0, 16, n), rng.integers(0, 11, n), rng.integers(0, 3, n)
    x = rng.normal(size=n)
    w = 0.6 * x + rng.normal(size=n)
    b, c = rng.normal(size=(16, 3)) * [1.0, slope, 0.5], rng.normal(size=(11, 2)) * [0.8, slope / 2]
    y = 2 + 0.5 * x - 0.3 * w + b[g, 0] + b[g, 1] * x + b[g, 2] * w + c[h, 0] + c[h, 1] * x + rng.normal(size=n)
    columns = {"y": y, "x": x, "w": w, "f": np.array(list("abc"))[f], "g": g, "h": h, "k": g // 4}
    return pd.DataFrame(columns | {"weight": rng.uniform(0.5, 2.0, n)})


def fitted(formula: str, frame: pd.DataFrame, **options) -> tuple[LmerFit, set[type]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MixedfxWarning)
        fit = mx.lmer(formula, frame, **options)
    return fit, {w.category for w in caught}


@settings(max_examples=40)
@given(
    seed=st.integers(0, 500), formula=st.sampled_from(FORMULAS), shift=SHIFTS, scale=SCALES, REML=st.booleans(),
    weights=st.sampled_from([None, "weight"]), slope=st.sampled_from([0.7, 0.0]),
)  # fmt: skip
def test_location_and_unit_of_a_covariate_do_not_matter(seed, formula, shift, scale, REML, weights, slope):
    near = data(seed, slope)
    far = near.assign(x=scale * (near["x"] + shift))
    fit, said = fitted(formula, near, REML=REML, weights=weights)
    other, also_said = fitted(formula, far, REML=REML, weights=weights)
    jacobian = 2.0 * np.log(abs(scale)) if REML else 0.0
    assert other.criterion - jacobian == pytest.approx(fit.criterion, abs=1e-7)
    assert (other.converged, other.singular, also_said) == (fit.converged, fit.singular, said)
    assert len(other.singularity.directions) == len(fit.singularity.directions)
    np.testing.assert_allclose(other.fitted, fit.fitted, atol=1e-7 * fit.sigma)
    assert other.sigma == pytest.approx(fit.sigma, rel=1e-8)
    for ddf in ("satterthwaite", "kenward-roger") if REML else ("satterthwaite",):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # a variance on zero says so at both
            here, there = (f.tidy(ddf=ddf).set_index("term") for f in (fit, other))
        assert there.loc["x", "estimate"] * scale == pytest.approx(here.loc["x", "estimate"], rel=1e-6, abs=1e-8)
        assert there.loc["x", "std_error"] * abs(scale) == pytest.approx(here.loc["x", "std_error"], rel=1e-7)
        for term in here.index.drop("Intercept", errors="ignore"):
            assert there.loc[term, "df"] == pytest.approx(here.loc[term, "df"], rel=1e-6)


CALENDARS = {
    "calendar years": (2017.0, 1.0),
    "days since 1970": (20_000.0, 30.0),
    "Julian days": (2_459_000.5, 30.0),
    "seconds since 1970": (1.7e9, 86_400.0),
    "nearly constant": (1e6 * np.sqrt(2.0), 1.0),
}


def sites(slope_sd: float = 0.7) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    t = np.tile(np.repeat(np.arange(-2.0, 3.0), 3), 24)
    site = np.repeat(np.arange(24), 15)
    b = rng.normal(size=(24, 2)) * [1.0, slope_sd]
    y = 5 + 0.2 * t + b[site, 0] + b[site, 1] * t + rng.normal(size=len(t))
    return pd.DataFrame({"y": y, "t": t, "site": site})


@pytest.mark.parametrize("name", CALENDARS)
def test_dates_as_they_are_counted(name):
    """24 sites, five times each, balanced: the slope has 24 - 1 df by both methods, wherever zero is."""
    centre, unit = CALENDARS[name]
    frame = sites()
    frame["when"] = centre + unit * frame["t"]
    fit, _ = fitted("y ~ t + (t | site)", frame)
    dated, said = fitted("y ~ when + (when | site)", frame)
    assert said == set()
    assert dated.converged
    assert not dated.singular
    assert dated.criterion - 2 * np.log(unit) == pytest.approx(fit.criterion, abs=1e-7)
    for ddf in ("satterthwaite", "kenward-roger"):
        row = dated.tidy(ddf=ddf).iloc[1]
        assert row["df"] == pytest.approx(23.0, rel=1e-6)
        assert row["std_error"] * unit == pytest.approx(fit.tidy(ddf=ddf)["std_error"][1], rel=1e-8)
    # what is printed is lme4's: theta of the columns as given. sd and correlation at zero follow from those at the
    # middle, u_0 = u - centre b, as far as the digits of a square of the distance go
    T = dated.sigma * dated.solution.factors[0]
    M = np.array([[1.0, centre], [0.0, unit]])
    expected = fit.sigma**2 * fit.solution.factors[0] @ fit.solution.factors[0].T
    np.testing.assert_allclose((M @ T) @ (M @ T).T, expected, rtol=1e-6, atol=1e-6)


def test_intervals_by_profile_are_those_of_the_centred_covariate():
    frame = sites()
    frame["year"] = frame["t"] + 2017.0
    fit, _ = fitted("y ~ t + (t | site)", frame)
    dated, _ = fitted("y ~ year + (year | site)", frame)
    here, there = fit.confint("profile"), dated.confint("profile")
    # sd of the slope, sigma, the slope itself
    for name, other in (("sd__t", "sd__year"), ("sd__Observation",) * 2, ("t", "year")):
        row, same = here.loc[here["term"] == name], there.loc[there["term"] == other]
        for end in ("conf_low", "conf_high"):
            assert same[end].iloc[0] == pytest.approx(row[end].iloc[0], rel=1e-6)
    # the sd at the year 0 is that of 2017 slopes and of what goes with them in 2017, a two-thousandth
    at_zero = there.loc[there["term"] == "sd__Intercept"]
    slope = there.loc[there["term"] == "sd__year"]
    for end in ("conf_low", "conf_high"):
        assert at_zero[end].iloc[0] == pytest.approx(2017.0 * slope[end].iloc[0], rel=1e-3)
    correlation = there.loc[there["term"] == "cor__Intercept.year"].iloc[0]
    assert -1 < correlation["conf_low"] < correlation["estimate"] < correlation["conf_high"] < -0.9999


def test_new_responses_and_rows_left_out_are_refitted_alike():
    near = data(3)
    far = near.assign(x=1e6 + near["x"])
    Y = np.random.default_rng(5).normal(size=(len(near), 12)) + 2 * near[["y"]].to_numpy()
    for formula in ("y ~ x + (x | g)", "y ~ x + (x | g) + (x | h)"):
        fit, _ = fitted(formula, near)
        other, _ = fitted(formula, far)
        found, again = fit.refits(Y), other.refits(Y)
        assert again.converged.all()
        np.testing.assert_allclose(again.criterion, found.criterion, atol=1e-6)
        np.testing.assert_allclose(again.sigma, found.sigma, rtol=1e-6)
        for refit in (False, True):
            left_out, too = (f.influence("g", refit=refit).cooks_distance for f in (fit, other))
            np.testing.assert_allclose(too, left_out, rtol=1e-5)
        np.testing.assert_allclose(other.leverage(), fit.leverage(), atol=1e-8)
        np.testing.assert_allclose(other.r2(), fit.r2(), rtol=1e-6)
    fit, _ = fitted("y ~ x + (x | g)", near)
    other, _ = fitted("y ~ x + (x | g)", far)
    drawn, again = (f.bootstrap(10, "cluster", statistic="sigma", seed=2).replicates for f in (fit, other))
    np.testing.assert_allclose(again, drawn, rtol=1e-6)


def test_predictions_and_their_errors_are_the_same():
    near = data(4)
    far = near.assign(x=1e6 + near["x"])
    fit, _ = fitted("y ~ x + w + (x + w | g)", near)
    other, _ = fitted("y ~ x + w + (x + w | g)", far)
    for new in ({}, {"g": 99}):
        options = {"new_levels": "sample"} if new else {}
        here = fit.predict(near.head(8).assign(**new), interval="prediction", **options)
        there = other.predict(far.head(8).assign(**new), interval="prediction", **options)
        # theta's part is a difference over 1e-4 of effects at zero, a million slopes away
        np.testing.assert_allclose(there, here, atol=1e-4)
    np.testing.assert_allclose(other.ranova()["lrt"], fit.ranova()["lrt"], atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 2017.0, 1e6])
def test_a_singular_fit_is_named_by_the_direction_as_given(shift):
    frame = sites(slope_sd=0.0)
    flat = frame.assign(y=frame["y"] - frame.groupby(["site", "t"])["y"].transform("mean"), when=frame["t"] + shift)
    flat["y"] += np.repeat(np.random.default_rng(2).normal(size=24), 15)  # sites differ, slopes less than by chance
    fit, said = fitted("y ~ when + (when | site)", flat)
    assert SingularFitWarning in said
    assert fit.converged
    assert fit.singularity.found == "the sd of `when` within `site` is zero"
    assert fit.singularity.to_try == "y ~ 1 + when + (1 | site)"

    tied = flat.assign(y=flat["y"] + 0.5 * flat["t"] * flat.groupby("site")["y"].transform("mean"))
    fit, said = fitted("y ~ when + (when | site)", tied)
    assert SingularFitWarning in said
    # at the year 0 the intercept is 2017 slopes below: the correlation has the sign of minus the distance
    sign = "" if shift == 0.0 else "-"
    assert fit.singularity.found == f"Intercept and `when` within `site` are perfectly correlated (r = {sign}1)"
    assert ("with `when` centred" in fit.singularity.to_try) == (shift != 0.0)


@pytest.mark.parametrize("unit", [1e-12, 1e-4, 1e5, 1e14])
def test_the_unit_of_weights_does_not_matter(unit):
    """sigma^2 / w is all there is: c w with c sigma^2 is the same model, found in the same steps."""
    frame = data(6)
    fit, _ = fitted("y ~ x + (x | g) + (1 | h)", frame, weights="weight")
    other, _ = fitted("y ~ x + (x | g) + (1 | h)", frame.assign(weight=unit * frame["weight"]), weights="weight")
    assert other.optimization.evaluations == fit.optimization.evaluations
    assert other.criterion == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_allclose(other.varcorr["sdcor"][:-1], fit.varcorr["sdcor"][:-1], rtol=1e-7)
    assert other.sigma == pytest.approx(fit.sigma * np.sqrt(unit), rel=1e-9)
    np.testing.assert_allclose(other.tidy()["df"], fit.tidy()["df"], rtol=1e-6)


def test_a_start_is_theta_as_it_is_printed():
    from mixedfx.reml.solve import solve

    frame = data(7).assign(x=lambda d: d["x"] + 100.0)
    fit, _ = fitted("y ~ x + (x | g) + (x | h)", frame)
    again = solve(fit.design, start=fit.theta.to_numpy())
    np.testing.assert_allclose(again.optimization.steps[0].theta, fit.theta, rtol=1e-9)
    assert again.optimization.evaluations <= 2
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-8)


def test_nested_models_are_seen_to_be_nested_and_others_not():
    frame = data(8).assign(x=lambda d: d["x"] + 1e6)
    small, large = (fitted(f, frame)[0].design for f in ("y ~ 1 + (1 | g)", "y ~ x + (x | g)"))
    assert nested(small, large)
    assert not nested(large, small)
