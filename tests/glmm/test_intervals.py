"""Intervals: profiles against glmmTMB, lme4 and brute force; Wald and bootstrap; boundaries.

The references of tests/reference/gen_glmm_verbs.R find ends by bisection to about 1e-4 (glmmTMB), or by splines through
a profile (lme4).
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, OptionError
from mixedfx.families.registry import family
from mixedfx.glmm.bootstrapping import parameters
from mixedfx.glmm.profiling import curve
from mixedfx.inference.parameters import values_of
from tests.glmm.data import RELATED, classic, formula, simulated
from tests.glmm.test_tests import cbpp, reference, ticks

Z = stats.norm.ppf(0.975)


def fitted(name, link, structure, nAGQ=1, n=300):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        data = simulated(name, link, n)
        return mx.glmer(formula(name, structure), data, name, link, nAGQ=nAGQ, env={"R": RELATED})


def gamma_slope():
    return mx.glmer("Reaction ~ Days + (Days | Subject)", classic("sleepstudy"), "gamma", "log")


@pytest.mark.parametrize(
    ("name", "ask", "logs"),
    [
        ("cbpp", cbpp, {"sd__Intercept|herd": "theta_1|herd.1"}),
        ("grouseticks", ticks, {
            "sd__Intercept|BROOD": "theta_1|BROOD.1", "sd__Intercept|LOCATION": "theta_1|LOCATION.1",
            "shape": "d~(Intercept)"}),
        ("sleepstudy_gamma_slope", gamma_slope, {"shape": "d~(Intercept)"}),
    ],
)  # fmt: skip
def test_profile_intervals_are_glmmtmbs(name, ask, logs):
    """It profiles logarithms of standard deviations and shapes; an end at zero is one that it does not find."""
    fit, ref = ask(), pd.DataFrame(reference(name)["ends"]).set_index("parameter")
    labels = {"Intercept": "(Intercept)", **{n: n.replace("[", "").replace("]", "") for n in fit.fixef.index[1:]}}
    found = fit.confint("profile")
    found.index = [p.label for p in parameters(fit.design, fit.solution)]
    for ours, theirs in (labels | logs).items():
        low, high = found.loc[ours, "conf_low"], found.loc[ours, "conf_high"]
        expected = ref.loc[theirs].to_numpy(dtype=float)
        expected = np.nan_to_num(np.exp(expected), nan=0.0) if ours in logs else expected
        assert [low, high] == pytest.approx(list(expected), abs=3e-4 * max(1.0, high - low)), ours


def test_profile_intervals_are_lme4s():
    ref = reference("cbpp")["lme4"]
    found = cbpp().confint("profile", names="lme4")
    assert list(found.index) == ref["parameter"]
    np.testing.assert_allclose(found.iloc[:, 0], ref["low"], atol=2e-4)
    np.testing.assert_allclose(found.iloc[:, 1], ref["high"], atol=2e-4)


CASES = [
    ("binomial", "logit", "intercept", 1),
    ("binomial", "logit", "intercept", 7),
    ("bernoulli", "probit", "crossed", 1),
    ("poisson", "log", "slope", 1),
    ("poisson", "log", "slope", 5),
    ("poisson", "sqrt", "compound", 1),
    ("negbinomial", "log", "nested", 1),
    ("gamma", "inverse", "homogeneous", 1),
    ("gamma", "log", "crossed slopes", 1),
    ("gaussian", "log", "diagonal", 1),
    ("gaussian", "identity", "related", 1),
    ("negbinomial", "log", "none", 1),
]


@pytest.mark.parametrize(("name", "link", "structure", "nAGQ"), CASES)
def test_a_held_parameter_has_its_value_at_a_minimum_over_all_others(name, link, structure, nAGQ):
    """Along every free direction the criterion is stationary, and its slope is that of the smallest criterion.

    The gradient promises no gain above 1e-6 units; slopes are compared with differences of minima found to 1e-8.
    """
    fit = fitted(name, link, structure, nAGQ)
    solution = fit.solution
    for parameter in parameters(fit.design, solution):
        one = curve(fit.design, solution, parameter)
        if one.deviance is None:
            continue
        value = one.estimate + one.limits.step
        value = min(value, (one.estimate + one.limits.high) / 2.0)
        if value <= one.estimate:
            continue
        excess, slope = one.deviance(value)
        assert excess > -1e-6
        holder = one.deviance.hold.__self__
        at, model = holder.last, holder.chart.model
        gamma, _, phi = model.split(at.psi)
        theta = model.problem.natural_theta(at.mode.T)[None]
        own = dict(zip(model.likelihood.names, np.exp(phi)[:, None], strict=True))
        held = values_of(fit.design, [parameter], model.beta(gamma)[None], theta, np.ones(1), own)[0, 0]
        assert held == pytest.approx(value, abs=1e-8 * max(1.0, abs(value)))
        A = holder.chart.place(value)[0]
        gradient, second = A.T @ at.gradient, A.T @ at.average @ A
        there = A.T @ at.psi
        free = ~(holder.chart.bounded & (there <= 1e-12))
        promised = 0.5 * gradient[free] @ np.linalg.lstsq(second[np.ix_(free, free)], gradient[free])[0]
        assert abs(promised) < 1e-6
        h = 1e-3 * one.limits.step
        around = (one.deviance(value + h)[0] - one.deviance(value - h)[0]) / (2 * h)
        assert slope == pytest.approx(around, rel=2e-3, abs=2e-6 / h)


def test_a_correlation_is_profiled_over_everything_else():
    """The end of the interval by a general optimiser in standard deviations, the correlation fixed."""
    from scipy.optimize import minimize

    fit = gamma_slope()
    model, lowest = fit.solution.model, fit.criterion
    ends = fit.confint("profile", "ran_pars").set_index("term")
    rho = ends.loc["cor__Intercept.Days", "conf_high"]

    def criterion(x):
        beta, (a, b), phi = x[:2], np.exp(x[2:4]), x[4:]
        theta = np.array([a, rho * b, np.sqrt(1 - rho**2) * b])
        psi = np.concatenate([model.problem.R @ beta, model.problem.parameters(theta), phi])
        return fit.solution.criterion_function(model, psi).criterion

    sds = fit.varcorr["sdcor"].to_numpy()[:2]
    start = np.concatenate([fit.fixef, np.log(sds), np.log(fit.auxiliary)])
    found = minimize(criterion, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-7, "maxiter": 2000})
    assert found.fun - lowest == pytest.approx(Z**2, abs=1e-3)


def test_an_interval_read_off_a_profile_is_the_same():
    fit = cbpp()
    profile = fit.profile()
    direct, read = fit.confint("profile", names="lme4"), profile.confint(names="lme4")
    np.testing.assert_allclose(read, direct, atol=5e-5)
    assert list(profile.table.columns) == ["parameter", "value", "zeta", "slope"]
    assert profile.table.groupby("parameter")["zeta"].max().min() > stats.norm.ppf(0.995) - 1e-6
    assert len(profile.plot().figure.axes) == 5
    assert "-2 log L" in str(profile)


def test_intervals_end_where_parameters_do():
    """The variance of locations may be zero, and the correlation of a slope that hardly varies anything."""
    assert ticks().confint("profile", "sd__Intercept|LOCATION")["conf_low"].item() == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer("y ~ x + (1 + x | g)", simulated("poisson", "log", 300), "poisson")
        found = fit.confint("profile", "ran_pars").set_index("term")
    assert found.loc["cor__Intercept.x", "conf_low"] == -1.0
    assert found.loc["sd__x", "conf_low"] == 0.0


def test_a_shape_may_be_without_end():
    """Counts little more spread than Poisson's: the likelihood of an infinite shape is within the interval's reach."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"y": rng.negative_binomial(12, 12 / (12 + 2.0), 150), "g": np.arange(150) % 10})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer("y ~ 1 + (1 | g)", data, "negbinomial")
        poisson = mx.glmer("y ~ 1 + (1 | g)", data, "poisson")
    assert np.isfinite(fit.auxiliary["shape"])
    assert 0.0 < poisson.criterion - fit.criterion < Z**2
    found = fit.confint("profile", "shape")
    assert found["conf_high"].item() == np.inf
    assert 0.0 < found["conf_low"].item() < fit.auxiliary["shape"]
    assert fit.profile("shape", level=0.95).confint()["conf_high"].item() == np.inf


def test_wald_intervals_are_those_of_the_table():
    fit = cbpp()
    found, table = fit.confint(level=0.9), fit.tidy(level=0.9)
    np.testing.assert_allclose(found["conf_low"], table["conf_low"])
    np.testing.assert_allclose(found["conf_high"], fit.fixef + stats.norm.ppf(0.95) * np.sqrt(np.diag(fit.vcov)))
    assert fit.confint(parm="period[2]", names="lme4").index.tolist() == ["period2"]


def test_bootstrap_intervals_are_quantiles_of_the_replicates():
    fit = cbpp()
    found = fit.confint("boot", parm="fixed", n=40, seed=2)
    values = fit.bootstrap(40, statistic="fixed", seed=2).values
    np.testing.assert_allclose(found[["conf_low", "conf_high"]].T, np.quantile(values, [0.025, 0.975], axis=0))
    basic = fit.confint("boot", parm="fixed", n=40, seed=2, interval="basic")
    np.testing.assert_allclose(basic["conf_low"], 2 * fit.fixef.to_numpy() - found["conf_high"])


def test_intervals_refuse_what_they_cannot_give():
    fit = cbpp()
    with pytest.raises(OptionError, match="Wald intervals are for fixed effects"):
        fit.confint(parm="ran_pars")
    with pytest.raises(OptionError, match="method='t'"):
        fit.confint("t")
    with pytest.raises(OptionError, match="'n' is an argument of method='boot'"):
        fit.confint("profile", n=10)
    with pytest.raises(OptionError, match="vcov= is for method='wald'"):
        fit.confint("profile", vcov=fit.vcov)
    with pytest.raises(OptionError, match="parm='shape' is not a parameter"):
        fit.profile("shape")
    with pytest.raises(OptionError, match="level"):
        fit.profile(level=2)


# --- parameters of families whose coordinates are not logarithms alone -----------------------------------------------
SHAPED = {
    "student": ("student", None, ["nu", "sigma"]),
    "student, dispersion": ("student", "~ x", ["dispersion__x", "sigma", "nu"]),
    "beta, dispersion": ("beta", "~ x", ["dispersion__x", "phi"]),
    "tweedie": ("tweedie", None, ["power"]),
    "cumulative": ("cumulative", None, ["0|1", "2|3"]),
}


@pytest.mark.parametrize("name", SHAPED)
def test_ends_of_parameters_of_families_are_where_the_criterion_says(name):
    """By BFGS over everything else, the criterion is 3.84 higher at the ends: to 1e-4, what BFGS leaves of a minimum.

    Nothing warns on the way: no parameter is read in the coordinates of another.
    """
    kind, dispersion, asked = SHAPED[name]
    data = simulated(kind, family(kind).link.name)
    if kind == "cumulative":
        data = data.assign(y=pd.Categorical(data["y"].astype(int), ordered=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer("y ~ x + (1 | g)", data, kind, dispersion=dispersion)
        warnings.simplefilter("error", RuntimeWarning)
        found = pd.concat([fit.confint("profile", parm=label) for label in asked])
    solution = fit.solution
    model, parameters = solution.model, solution.model.likelihood.parameters
    p, r, _ = model.sizes
    for label, row in zip(asked, found.itertuples(), strict=True):
        index = parameters.labels.index(label)
        assert row.estimate == pytest.approx(fit.auxiliary[label], rel=1e-10)
        for end in (row.conf_low, row.conf_high):
            natural = fit.auxiliary.to_numpy().copy()
            natural[index] = end
            par = np.maximum(solution.par, 0.1)  # zero is stationary
            psi = np.concatenate([solution.psi[:p], par, parameters.coordinates(natural)])
            free = np.arange(len(psi)) != p + r + index

            def held(x, psi=psi, free=free):
                at = psi.copy()
                at[free] = x
                evaluation = solution.criterion_function(model, at, None, False)
                return evaluation.criterion, evaluation.gradient[free]

            least = optimize.minimize(held, psi[free], jac=True, method="BFGS", options={"gtol": 1e-6})
            assert least.fun - fit.criterion == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-4)


def test_a_coefficient_of_a_dispersion_that_may_be_none_has_no_ends():
    """Poisson's model is 2 units of deviance away: no slope of log(shape) can be more, if shapes are infinite."""
    data = simulated("negbinomial", "log")
    fit = mx.glmer("y ~ x + (1 | g)", data, "negbinomial", dispersion="~ x")
    poisson = mx.glmer("y ~ x + (1 | g)", data, "poisson")
    rise = poisson.criterion - fit.criterion
    assert 0.0 < rise < stats.chi2.ppf(0.95, 1)
    found = fit.confint("profile", parm="dispersion__x").iloc[0]
    assert (found["conf_low"], found["conf_high"]) == (-np.inf, np.inf)
    traced = fit.profile("dispersion__x", level=0.95).confint(0.95).iloc[0]
    assert (traced["conf_low"], traced["conf_high"]) == (-np.inf, np.inf)
    level = stats.chi2.cdf(0.9 * rise, 1)  # that is not within
    found = fit.confint("profile", parm="dispersion__x", level=level).iloc[0]
    assert -np.inf < found["conf_low"] < fit.auxiliary["dispersion__x"] < found["conf_high"] < np.inf
