"""Profile likelihood: lme4's numbers, closed forms, brute force, and honest boundaries."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from mixedfx.covariance.components import Component
from mixedfx.errors import OptionError
from mixedfx.inference.parameters import parameters_of, values_of
from mixedfx.inference.term_charts import correlation_start, term_chart
from mixedfx.pls.evaluate import evaluate
from mixedfx.reml.constrained import (
    hold_coefficient,
    hold_correlation,
    hold_sd,
    hold_sigma,
)
from mixedfx.reml.lmer import lmer
from mixedfx.reml.profiling import optimum

TESTS = Path(__file__).parents[1]

pytestmark = pytest.mark.filterwarnings("ignore::mixedfx.errors.MixedfxWarning")

RECORDED = ["dyestuff_reml", "penicillin_crossed", "sleepstudy_reml"]

# tests/reference/gen_profile.R: lme4 1.1-31 on ML fits, with delta.cutoff = 1/40, five times finer than its default
FINE = json.loads((TESTS / "reference" / "lmm_profile.json").read_text())


def data(name):
    return pd.read_csv(TESTS / "data" / f"{name}.csv")


def sleepstudy(formula="Reaction ~ Days + (Days | Subject)", **options):
    return lmer(formula, data("sleepstudy"), **options)


def recorded(case):
    reference = json.loads((TESTS / "reference" / "lmm" / f"lmm_{case}.json").read_text())
    table = pd.DataFrame(reference["confint_profile_95"]).set_index("par")[["2.5 %", "97.5 %"]]
    return lmer(reference["formula"], pd.read_csv(TESTS / reference["data"]), REML=reference["REML"]), table


@pytest.mark.parametrize("case", RECORDED)
def test_intervals_within_1e_3_of_the_width_of_lme4s(case):
    fit, expected = recorded(case)
    found = fit.confint("profile", names="lme4")
    assert sorted(found.index) == sorted(expected.index)
    expected = expected.loc[found.index]
    width = expected["97.5 %"] - expected["2.5 %"]
    difference = (found - expected).abs().max(axis=1) / width
    # measured: 3e-5 and less, which is the error of lme4's splines, see the next test
    assert difference.max() < 1e-4


@pytest.mark.parametrize("case", FINE)
def test_finer_profiles_of_lme4_come_closer(case):
    """With five times as many points lme4 agrees to 2e-6 of the width: the rest was its interpolation."""
    entry = FINE[case]
    fit = lmer(entry["formula"], data(entry["data"]))
    found = fit.confint("profile", names="lme4")
    expected = pd.DataFrame(entry["confint"]).set_index("par").loc[found.index]
    width = expected["97.5 %"] - expected["2.5 %"]
    assert ((found - expected).abs().max(axis=1) / width).max() < entry["tolerance"]


@pytest.mark.parametrize("case", RECORDED)
def test_a_traced_profile_reads_the_same_ends(case):
    fit, _ = recorded(case)
    ends = fit.confint("profile")
    profile = fit.profile()
    read = profile.confint()
    width = ends["conf_high"] - ends["conf_low"]
    # cubics between points half a standard deviation apart; next to a boundary the slope is not known
    assert ((read["conf_low"] - ends["conf_low"]).abs() / width).max() < 1e-3
    assert ((read["conf_high"] - ends["conf_high"]).abs() / width).max() < 1e-4
    for _, curve in profile.table.groupby("parameter"):
        assert curve["value"].is_monotonic_increasing
        assert (np.diff(curve["zeta"]) > 0).all()


def test_a_reml_fit_is_profiled_by_its_ml_fit():
    reml, ml = sleepstudy(), sleepstudy(REML=False)
    # an optimum is good to 1e-9 of the deviance, 3e-5 of a standard error: 1e-5 for the correlation
    pd.testing.assert_frame_equal(reml.confint("profile"), ml.confint("profile"), rtol=2e-6, atol=1e-5)
    assert reml.confint("profile", "sigma")["estimate"].iloc[0] == pytest.approx(ml.sigma, rel=1e-6)


def brute_force(fit, parameter, value):
    """The smallest deviance with a parameter held, by a general optimiser under an equality constraint."""
    problem = replace(fit.solution.problem, REML=False)
    r = problem.n_parameters

    def deviance(x):
        return evaluate(replace(problem, sigma=float(np.exp(x[r]))), x[:r], False).criterion

    def gap(x):
        at = values_of(fit.design, [parameter], np.zeros((1, 1)), problem.theta(x[:r])[None], np.exp(x[r:]))
        return float(at[0, 0] - value)

    start = np.append(fit.solution.par, np.log(fit.sigma))
    found = optimize.minimize(
        deviance, start, method="SLSQP", constraints={"type": "eq", "fun": gap}, options={"ftol": 1e-13, "maxiter": 500}
    )
    assert abs(gap(found.x)) < 1e-6
    return found.fun


@pytest.mark.parametrize(
    ("name", "shift", "factor"),
    [
        ("sd__Intercept|Subject", 0.0, 1.4),
        ("sd__Days|Subject", 0.0, 0.7),
        ("cor__Intercept.Days|Subject", 0.0, -4.0),
        # fifty standard deviations from the data the intercept is all slope, and they correlate to 0.9965
        ("sd__Intercept|Subject", 150.0, 1.3),
        ("sd__Days|Subject", 150.0, 0.7),
        ("cor__Intercept.Days|Subject", 150.0, 0.9985),
    ],
)
def test_held_variance_parameters_equal_a_general_optimiser(name, shift, factor):
    frame = data("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame.assign(Days=frame["Days"] + shift), REML=False)
    parameter = next(p for p in parameters_of(fit.design) if p.label == name)
    curve = optimum(fit.design, fit.solution).curve(parameter)
    value = factor * curve.estimate
    excess, _ = curve.deviance(value)
    # the general optimiser differences the criterion, and stops some 1e-6 above its minimum
    assert excess == pytest.approx(brute_force(fit, parameter, value) - fit.criterion, abs=2e-5)


def test_three_columns_and_two_terms_equal_a_general_optimiser():
    rng = np.random.default_rng(4)
    g, h = rng.integers(0, 30, 600), rng.integers(0, 12, 600)
    frame = pd.DataFrame({"g": g, "h": h, "x": rng.normal(size=600), "w": 5 * rng.normal(size=600)})
    u = rng.normal(size=(30, 3)) @ np.array([[1, 0.5, 0.05], [0, 0.8, 0.02], [0, 0, 0.1]])
    frame["y"] = u[g, 0] + u[g, 1] * frame.x + u[g, 2] * frame.w + rng.normal(size=12)[h] + rng.normal(size=600)
    fit = lmer("y ~ x + (1 + x + w | g) + (1 | h)", frame, REML=False)
    best = optimum(fit.design, fit.solution)
    for name, factor in [("sd__w|g", 1.5), ("cor__x.w|g", 0.3), ("sd__Intercept|h", 0.6)]:
        parameter = next(p for p in parameters_of(fit.design) if p.label == name)
        curve = best.curve(parameter)
        excess, _ = curve.deviance(factor * curve.estimate)
        assert excess == pytest.approx(brute_force(fit, parameter, factor * curve.estimate) - fit.criterion, abs=5e-5)


def test_a_held_coefficient_equals_a_fit_with_an_offset():
    frame = data("sleepstudy_weighted")
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame, weights="w", offset="off", REML=False)
    for name, other, value in [("Days", "1", 12.0), ("Intercept", "0 + Days", 240.0)]:
        column = frame["Days"] if name == "Days" else 1.0
        moved = frame.assign(total=frame["off"] + value * column)
        expected = lmer(f"Reaction ~ {other} + (Days | Subject)", moved, weights="w", offset="total", REML=False)
        parameter = next(p for p in parameters_of(fit.design) if p.label == name)
        excess, _ = optimum(fit.design, fit.solution).curve(parameter).deviance(value)
        assert excess == pytest.approx(expected.criterion - fit.criterion, abs=1e-7)


def test_slopes_are_the_derivatives_of_the_deviance():
    """The envelope theorem against central differences of the minimised deviance."""
    fit = sleepstudy(REML=False)
    problem, par = fit.solution.problem, fit.solution.par
    T = problem.matrices(par)
    sd = term_chart(problem, T, 0, Component("sd", (1,)))
    at = sd.start.copy()
    at[sd.first] = np.log(fit.sigma)
    cor = term_chart(problem, T, 0, Component("cor", (0, 1)))
    rho, free = correlation_start(cor)
    days = hold_coefficient(problem, 1)
    cases = [
        (lambda c: hold_sigma(problem, c, par), 28.0, 1e-3),
        (lambda c: hold_sd(sd, c, at), 7.0, 1e-3),
        (lambda c: hold_correlation(cor, c, free), rho + 0.4, 1e-4),
        (lambda c: days.at(c, par), 13.0, 1e-3),
    ]
    for hold, value, step in cases:
        slope = (hold(value + step).deviance - hold(value - step).deviance) / (2 * step)
        # each minimum is good to 1e-9 of the deviance, the third derivative to step^2
        assert hold(value).slope == pytest.approx(slope, rel=1e-4)


def test_without_random_terms_the_profile_has_a_closed_form():
    fit = lmer("Reaction ~ Days", data("sleepstudy"))
    found = fit.confint("profile").set_index("term")
    n, z = fit.nobs, 1.959963984540054
    se = np.sqrt(np.diag(fit.vcov) * (n - 2) / n)  # standard errors of ML
    half = se * np.sqrt(n * np.expm1(z**2 / n))
    np.testing.assert_allclose(found.loc[["Intercept", "Days"], "conf_high"], fit.fixef + half, rtol=1e-9)
    np.testing.assert_allclose(found.loc[["Intercept", "Days"], "conf_low"], fit.fixef - half, rtol=1e-9)
    low, high = found.loc["sd__Observation", ["conf_low", "conf_high"]]
    ml = fit.sigma * np.sqrt((n - 2) / n)
    for end in (low, high):
        assert 2 * n * np.log(end / ml) + n * ((ml / end) ** 2 - 1) == pytest.approx(z**2, rel=1e-8)


def test_an_sd_that_may_be_zero_has_zero_for_its_lower_end():
    fit = lmer("Yield ~ 1 + (1 | Batch)", data("dyestuff2"))
    found = fit.confint("profile").set_index("term")
    assert found.loc["sd__Intercept", "conf_low"] == 0.0
    # lme4 1.1-31: upper end 2.084043 from its spline
    assert found.loc["sd__Intercept", "conf_high"] == pytest.approx(2.084043, rel=1e-4)
    curve = fit.profile("ran_pars").table.query("parameter == 'sd__Intercept|Batch'")
    assert curve["value"].min() == 0.0
    assert curve["zeta"].min() == 0.0


def test_a_correlation_that_may_be_one_has_one_for_its_upper_end():
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 8), np.tile(np.arange(8.0), 12)
    a = rng.normal(size=12)
    frame = pd.DataFrame({"g": g, "x": x, "y": 5 + 2 * a[g] + (1 + 0.5 * a[g]) * x + rng.normal(size=96)})
    fit = lmer("y ~ x + (x | g)", frame)
    low, high = fit.confint("profile", "cor__Intercept.x|g")[["conf_low", "conf_high"]].iloc[0]
    assert high == 1.0
    assert -1.0 < low < 1.0
    curve = fit.profile("cor__Intercept.x|g").table
    assert curve["value"].max() == 1.0


def test_a_correlation_with_an_sd_of_zero_is_not_defined():
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"g": np.repeat(np.arange(8), 10), "x": np.tile(np.arange(10.0), 8)})
    frame["y"] = rng.normal(size=80)
    fit = lmer("y ~ x + (x | g)", frame)
    assert fit.singular
    table = fit.confint("profile", "ran_pars").set_index("term")
    zero = (table.loc[["sd__Intercept", "sd__x"], "estimate"] < 1e-10).any()
    assert zero == np.isnan(table.loc["cor__Intercept.x", "conf_low"])


def test_ends_do_not_depend_on_units():
    frame = data("sleepstudy")
    fit = lmer("Reaction ~ Days + (Days | Subject)", frame)
    scaled = lmer(
        "Reaction ~ Days + (Days | Subject)", frame.assign(Reaction=frame.Reaction * 1e-3, Days=frame.Days * 50)
    )
    unit = np.array([1e-3, 1.0, 1e-3 / 50, 1e-3, 1e-3, 1e-3 / 50])
    columns = ["conf_low", "conf_high"]
    expected = fit.confint("profile")[columns].to_numpy() * unit[:, None]
    np.testing.assert_allclose(scaled.confint("profile")[columns], expected, rtol=1e-6)


def test_sleepstudy_is_profiled_in_a_fraction_of_lme4s_time():
    """lme4 needs 5.6 s where this takes 0.3 s; the bound leaves room for a busy machine."""
    fit = sleepstudy()
    fit.confint("profile", "sigma")
    begin = time.perf_counter()
    fit.profile()
    assert time.perf_counter() - begin < 2.5


def test_names_choose_parameters():
    fit = sleepstudy()
    assert list(fit.confint("profile", "fixed")["term"]) == ["Intercept", "Days"]
    both = fit.confint("profile", ["sd_Days|Subject", "sigma"], names="lme4")
    assert list(both.index) == ["sd_Days|Subject", "sigma"]
    assert list(both.columns) == ["2.5 %", "97.5 %"]
    with pytest.raises(OptionError, match="'slope' is not a parameter"):
        fit.profile("slope")
    with pytest.raises(OptionError, match="level=95"):
        fit.profile(level=95)
    two = sleepstudy("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)")
    assert len(two.confint("profile", "ran_pars")) == 3


def test_a_profile_knows_how_far_it_was_traced():
    profile = sleepstudy().profile("Days", level=0.9)
    assert np.isfinite(profile.confint(0.9)["conf_low"].iloc[0])
    assert np.isnan(profile.confint(0.9999)["conf_low"].iloc[0])
    assert profile.plot().axes[0].get_title(loc="left") == "Days"
    assert profile.plot(density=True).axes[0].get_ylabel() == "density"


def test_a_profile_prints_its_intervals():
    text = repr(sleepstudy().profile("Days", level=0.99))
    assert text.splitlines()[0] == "Profile of -2 log L up to 99 %; ML estimates and 95 % intervals"
    # lme4's confint of the same fit: 7.358653, 13.575919
    assert text.splitlines()[3].split() == ["Days", "10.47", "7.359", "13.58"]
    assert "90 % intervals" in repr(sleepstudy().profile("Days", level=0.9))
    assert sleepstudy().profile("fixed")._repr_html_().count("<tr") == 3
