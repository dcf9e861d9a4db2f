"""Families beyond the classical ones: every fit of glmmTMB and ordinal kept in tests/reference/glmm_families.

The criterion is the same function, so that minima agree to 1e-6, and estimates to the share of a standard error that a
difference of 1e-8 in the criterion leaves. clmm of ordinal stops at a gradient that leaves up to 4e-6 of the criterion.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import mixedfx as mx
from mixedfx.errors import (
    FormulaError,
    MixedfxError,
    MixedfxWarning,
    ModelError,
    NoOverdispersionWarning,
    OptionError,
    SingularFitWarning,
)
from mixedfx.families.registry import family
from mixedfx.glmm.evaluation import evaluate
from tests.glmm.data import DATA, FAMILIES, classic, formula, simulated

PLACE = Path(__file__).parents[1] / "reference" / "glmm_families"
CASES = sorted(path.stem for path in PLACE.glob("*.json"))
TMB = [case for case in CASES if not case.startswith("wine") and "hurdle" not in case]
WINE = [case for case in CASES if case.startswith("wine")]


@cache
def reference(case):
    return json.loads((PLACE / f"{case}.json").read_text())


@cache
def data(name):
    """The data of gen_glmm_families.R."""
    if name == "wine":
        return pd.read_csv(DATA / "wine.csv").astype({"bottle": str, "judge": str})
    frame = classic({"positive": "grouseticks"}.get(name, name))
    if name == "positive":
        return frame[frame["TICKS"] > 0]
    if name == "cbpp":
        return frame.assign(big=(frame["size"] > 12).astype(float))
    if name == "sleepstudy":
        return frame.assign(share=frame["Reaction"] / 500, excess=np.maximum(frame["Reaction"] - 260, 0))
    return frame


@cache
def fit(case):
    ref = reference(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)  # none of these fits has a caveat but a variance of zero
        warnings.simplefilter("ignore", SingularFitWarning)
        return mx.glmer(
            ref["formula"], data(ref["data"]), ref["family"], ref["link"], dispersion=ref.get("dispersion")
        )  # fmt: skip


def quiet(*model, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer(*model, **options)


@pytest.mark.parametrize("case", TMB)
def test_glmmtmb(case):
    ref, ours = reference(case), fit(case)
    assert ours.converged
    assert ours.criterion == pytest.approx(ref["criterion"], abs=1e-6)
    se = np.array(ref["se"])
    np.testing.assert_array_less(np.abs(ours.fixef - ref["fixef"]), 1e-3 * se)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov)), se, rtol=2e-3)
    for group, found in ref["sds"].items():
        table = ours.varcorr[(ours.varcorr["grp"] == group) & ours.varcorr["var2"].isna()]
        np.testing.assert_allclose(table["sdcor"], np.atleast_1d(found["sd"]), rtol=3e-4, atol=1e-3)
    if "power" in ref:
        assert ours.auxiliary["power"] == pytest.approx(ref["power"], abs=1e-4)
    own = [name for name in ours.auxiliary.index if name != "power"]
    if ours.dispersion is None:
        assert len(own) == ("sigma" in ref and "poisson" not in case)
        np.testing.assert_allclose(ours.auxiliary[own], ref["sigma"] if own else [], rtol=1e-4)
    else:  # coefficients of the logarithm, of a gaussian response of the variance's
        times = 2.0 if ref["family"] == "gaussian" else 1.0
        expected, spread = np.array(ref["disp"]) / times, np.array(ref["disp_se"]) / times
        np.testing.assert_array_less(np.abs(np.log(ours.auxiliary[own[0]]) - expected[0]), 1e-3 * spread[0])
        np.testing.assert_array_less(np.abs(ours.dispersion["estimate"] - expected[1:]), 1e-3 * spread[1:])
        np.testing.assert_allclose(ours.dispersion["std_error"], spread[1:], rtol=2e-3)


@pytest.mark.parametrize("case", WINE)
def test_ordinal(case):
    """Standard errors are clmm2's where it can fit the model, differences that agree to a thousandth with ours."""
    ref, ours = reference(case), fit(case)
    assert ours.converged
    assert ours.criterion == pytest.approx(ref["criterion"], abs=5e-6)
    table = ours.tidy().set_index("term")
    assert list(table.index) == [*ref["names"], *ours.design.fixed_names]
    np.testing.assert_allclose(table["estimate"], np.r_[ref["thresholds"], ref["fixef"]], atol=1e-4)
    np.testing.assert_allclose(ours.auxiliary, ref["thresholds"], atol=1e-4)
    np.testing.assert_allclose(table["std_error"], np.r_[ref["threshold_se"], ref["se"]], rtol=2e-3)
    for group, found in ref["sds"].items():
        sd = ours.varcorr.loc[ours.varcorr["grp"] == group, "sdcor"]
        np.testing.assert_allclose(sd, found["sd"], rtol=2e-4)


@pytest.mark.parametrize("case", ["wine_cloglog", "wine_logit"])
def test_standard_errors_of_thresholds_are_those_of_the_criterion(case):
    """Second differences of the criterion over 1e-3: truncation 1e-6 of a fourth derivative, rounding 1e-13 / 1e-6."""
    solution = fit(case).solution
    d, step = len(solution.psi), 1e-3 * np.eye(len(solution.psi))

    def D(psi):
        return evaluate(solution.model, psi, solution.evaluation.mode.v, decrement=1e-22, second=False).criterion

    H = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            near = [D(solution.psi + a * step[i] + b * step[j]) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
            H[i, j] = (near[0] - near[1] - near[2] + near[3]) / 4e-6
    brute = 2 * np.linalg.inv(H)
    se = fit(case).tidy().set_index("term").loc[list(fit(case).auxiliary.index), "std_error"]
    np.testing.assert_allclose(se, np.sqrt(np.diag(brute))[-len(se) :], rtol=1e-3)


def test_a_gaussian_model_of_the_dispersion_is_that_of_lmer():
    """The same model by another engine: both stop within 1e-8 of the criterion."""
    ours = fit("sleepstudy_gaussian_dispersion")
    theirs = mx.lmer("Reaction ~ Days + (Days | Subject)", data("sleepstudy"), REML=False, dispersion="~ Days")
    assert ours.criterion == pytest.approx(theirs.criterion, abs=1e-6)
    np.testing.assert_allclose(ours.dispersion["estimate"], theirs.dispersion["estimate"], atol=1e-5)
    np.testing.assert_allclose(ours.residuals("pearson"), theirs.residuals("pearson"), atol=1e-3)


def test_responses_are_drawn_with_the_dispersion_of_their_rows():
    """Of new rows too: the standard deviation of a response grows as exp(gamma Days), to 5 % in 4,000 draws."""
    ours, frame = fit("sleepstudy_gaussian_dispersion"), data("sleepstudy")
    values = ours.simulate(4000, seed=1, use_u=True).to_numpy()
    sigma = ours.auxiliary["sigma"] * np.exp(ours.auxiliary["dispersion__Days"] * frame["Days"].to_numpy())
    np.testing.assert_allclose(values.std(axis=1), sigma, rtol=0.06)
    new = frame.iloc[[0, 9]]
    wide = ours.with_uncertainty("given theta").predict(new, interval="prediction", seed=2)
    spread = np.array([sigma[0], sigma[9]])
    assert (wide["se"].to_numpy() > spread).all()
    within = ours.with_uncertainty("given theta").predict(new, kind="link", se=True)["se"].to_numpy()
    np.testing.assert_allclose(wide["se"], np.hypot(spread, within), rtol=0.1)


@pytest.mark.parametrize(("name", "link"), dict(reversed(FAMILIES)).items())
def test_every_verb_answers_or_refuses_in_words(name, link):
    """Nothing but a number, a table or an error of the package with a way out."""
    found = quiet(formula(name, "crossed"), simulated(name, link, 300, 5), name, link=link)
    frame = simulated(name, link, 300, 5)
    rows = frame.iloc[:3]
    verbs = {
        "fitted": lambda: found.fitted,
        "tidy": lambda: [found.tidy(e) for e in ("fixed", "ran_pars", "auxiliary")],
        "summary": lambda: found.summary().text(),
        "glance": lambda: found.glance(),
        "predict": lambda: found.predict(rows),
        "interval": lambda: found.predict(rows, interval="confidence"),
        "predictive": lambda: found.predict(rows, kind="predictive"),
        "population": lambda: found.predict(rows, groups="integrate"),
        "simulate": lambda: found.simulate(2, seed=1),
        "pearson": lambda: found.residuals("pearson"),
        "deviance": lambda: found.residuals("deviance"),
        "quantile": lambda: found.quantile_residuals(20, seed=1),
        "emtrends": lambda: mx.emtrends(found, "x"),
        "effects": lambda: mx.effects(found, "x", uncertainty="given theta"),
        "r2": lambda: found.r2(),
        "anova": lambda: found.anova(),
        "drop1": lambda: found.drop1("wald"),
    }
    answered, refused = {}, {}
    for verb, ask in verbs.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)
            try:
                answered[verb] = ask()
            except MixedfxError as error:
                refused[verb] = error.hint
    assert all(refused.values()), refused
    assert {"fitted", "tidy", "summary", "glance", "predict", "simulate", "quantile", "anova", "drop1"} <= set(answered)
    assert np.isfinite(np.asarray(answered["fitted"])).all()
    assert np.isfinite(answered["quantile"]).all()
    every = pd.concat(answered["tidy"])
    assert np.isfinite(every["estimate"]).all()
    assert len(found.vcov_full) == len(found.fixef) + len(found.auxiliary)
    assert found.tidy("auxiliary")["std_error"].gt(0).all()


@pytest.mark.parametrize("nodes", [1, 7])
def test_probabilities_of_categories(nodes):
    """Fitted probabilities are F(threshold - eta), and over the population their mean over the normal distribution."""
    ours = mx.glmer("rating ~ temp + contact + (1 | judge)", data("wine"), "cumulative", nAGQ=nodes)
    cut, eta = ours.auxiliary.to_numpy(), ours.predict(kind="link").to_numpy()
    below = special.expit(cut - eta[:, None])
    np.testing.assert_allclose(ours.fitted, np.diff(np.c_[np.zeros(len(eta)), below, np.ones(len(eta))]), atol=1e-12)
    x, w = np.polynomial.hermite_e.hermegauss(60)
    fixed = ours.predict(kind="link", groups="average").to_numpy()[:, None, None]
    sd = ours.varcorr["sdcor"].iloc[0]
    below = (special.expit(cut[:, None] - fixed - sd * x) * w / w.sum()).sum(axis=2)
    expected = np.diff(np.c_[np.zeros(len(eta)), below, np.ones(len(eta))])
    np.testing.assert_allclose(ours.predict(groups="integrate"), expected, atol=1e-6)
    assert set(np.unique(ours.simulate(3, seed=1))) <= set("12345")


def test_two_ordered_categories_are_a_bernoulli_response():
    """One threshold is minus the intercept; the same function, to the last digits of two optimisers."""
    frame = data("wine").assign(good=lambda d: (d["rating"] > 2).astype(int))
    ordered = mx.glmer("good ~ temp + contact + (1 | judge)", frame, "cumulative")
    binary = mx.glmer("good ~ temp + contact + (1 | judge)", frame, "bernoulli")
    assert ordered.criterion == pytest.approx(binary.criterion, abs=1e-7)
    assert ordered.auxiliary.iloc[0] == pytest.approx(-binary.fixef["Intercept"], abs=1e-4)
    np.testing.assert_allclose(ordered.fixef, binary.fixef.iloc[1:], atol=1e-4)
    np.testing.assert_allclose(ordered.anova()["chisq"], binary.anova()["chisq"], rtol=1e-4)
    for kind in (1, 2):
        np.testing.assert_allclose(ordered.anova(kind)["chisq"], binary.anova(kind)["chisq"], rtol=1e-4)
    for kind in ("chisq", "wald"):
        np.testing.assert_allclose(ordered.drop1(kind).iloc[-2:, -3:-1], binary.drop1(kind).iloc[-2:, -3:-1], rtol=1e-4)


def test_a_category_that_never_occurs_is_refused():
    """As in a response that is simulated or given to a fit; levels without rows are no categories to begin with."""
    ours = fit("wine_logit")
    codes = ours.design.y
    with pytest.raises(ModelError, match="no response is '4'"):
        ours.refit(np.where(codes == 3.0, 3.0, codes + 1.0))


def test_known_degrees_of_freedom_are_not_estimated():
    """With nu known there is one parameter less; the profile of the free fit passes through it."""
    frame = simulated("student", "identity", 300, 5)
    free = quiet("y ~ x + (1 | g)", frame, "student")
    held = quiet("y ~ x + (1 | g)", frame, mx.families.student(nu=4))
    assert list(held.auxiliary.index) == ["sigma"]
    assert held.n_parameters == free.n_parameters - 1
    assert held.criterion >= free.criterion - 1e-8
    at = mx.families.student(nu=float(free.auxiliary["nu"]))
    assert quiet("y ~ x + (1 | g)", frame, at).criterion == pytest.approx(free.criterion, abs=1e-6)
    with pytest.raises(OptionError, match=r"nu=0\.5 is outside its range, 1 to inf"):
        quiet("y ~ x + (1 | g)", frame, mx.families.student(nu=0.5))


def test_limits_are_said():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(20)], 15), "m": 6})
    u = rng.normal(size=20)[np.repeat(np.arange(20), 15)] * 0.5
    frame["k"], frame["y"] = rng.poisson(np.exp(1 + u)) // 2, u + rng.uniform(-1, 1, 300)
    frame["hits"] = np.round(6 * special.expit(u)).astype(int)
    for left, name, words in (
        ("k", "nbinom1", "dispersion runs to zero"),
        ("hits | trials(m)", "beta_binomial", "phi runs to infinity"),
        ("y", "student", "degrees of freedom run to infinity"),
    ):
        with pytest.warns(NoOverdispersionWarning, match=words):
            mx.glmer(f"{left} ~ 1 + (1 | g)", frame, name)


def test_a_dispersion_that_cannot_be_is_refused():
    frame = simulated("poisson", "log")
    with pytest.raises(ModelError, match="poisson has none"):
        mx.glmer("y ~ x + (1 | g)", frame, "poisson", dispersion="~ x")
    with pytest.raises(FormulaError, match="a random term"):
        mx.glmer("y ~ x + (1 | g)", frame, "negbinomial", dispersion="~ x + (1 | g)")
    held = replace(family("gaussian"), held=(("sigma", 1.0),))
    with pytest.raises(ModelError, match="sigma, which is known"):
        mx.glmer("x ~ 1 + (1 | g)", frame, held, dispersion="~ m")
