"""Zero-inflated models: glmmTMB's fits, and the questions that a fit answers or refuses in words.

The references are of simulated counts at 23 sites, `tests/reference/gen_glmm_zi.R`.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import (
    BoundaryTestWarning,
    ConvergenceWarning,
    DataError,
    FormulaError,
    MixedfxWarning,
    ModelError,
    NestingWarning,
    NoZeroInflationWarning,
    OptionError,
    SeparationWarning,
    SingularFitWarning,
    UnseenLevelError,
)
from mixedfx.glmm.fit import GlmerFit
from mixedfx.glmm.zero_inflated_fit import ZeroInflatedFit
from mixedfx.results.protocol import PredictsMean

PLACE = Path(__file__).parents[1] / "reference" / "glmm_zi"
NAMES = sorted(path.stem for path in PLACE.glob("*.json"))


@cache
def sites():
    return pd.read_csv(PLACE / "sites.csv")


def reference(name):
    return json.loads((PLACE / f"{name}.json").read_text())


@cache
def fit(name):
    ref = reference(name)
    return mx.glmer(ref["formula"], sites(), ref["family"], zi=ref["zi"])


@pytest.mark.parametrize("name", NAMES)
def test_glmmtmb(name):
    """Criterion to 1e-6, as both are minimised to about 1e-8; estimates as far as that lets them differ."""
    ref, ours = reference(name), fit(name)
    assert ours.converged
    assert ours.criterion == pytest.approx(ref["criterion"], abs=1e-6)
    assert ours.n_parameters == ref["npar"]
    for part, start in (("count", ""), ("zero", "zi_")):
        se = np.array(ref[f"{start}se"])
        np.testing.assert_array_less(np.abs(ours.fixef[part].to_numpy() - ref[f"{start}fixef"]), 1e-3 * se)
        np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov.loc[part, part])), se, rtol=1e-3)
        theirs = ref[f"{start}sds"]
        found = ours.varcorr.loc[ours.varcorr["part"] == part]
        for group, own in theirs.items() if theirs else ():
            values = found.loc[found["grp"] == group, "sdcor"].to_numpy()
            np.testing.assert_allclose(values, np.r_[own["sd"], own["cor"]], rtol=1e-3)
    for parameter in ours.auxiliary:
        assert parameter == pytest.approx(ref["sigma"], rel=1e-3)
    n = ours.nobs
    assert n == 644
    assert ours.bic == pytest.approx(ref["criterion"] + ref["npar"] * np.log(n), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_of_glmmtmb(name):
    """Means, and Pearson residuals, at the modes of the groups; the estimates differ by 1e-4 standard errors."""
    ref, ours = reference(name), fit(name)
    for kind, theirs in (("response", "response"), ("conditional", "conditional"), ("zero", "zprob")):
        np.testing.assert_allclose(ours.predict(kind=kind).iloc[:40], ref[theirs], rtol=1e-3)
    np.testing.assert_allclose(ours.fitted, ours.predict())
    np.testing.assert_allclose(ours.residuals("pearson").iloc[:40], ref["pearson"], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(ours.residuals(), ours.both.count.y - ours.fitted)


def test_standard_errors_of_means():
    """glmmTMB's leave out that theta is estimated in part: ours are those and up to a tenth more."""
    ref, ours = reference("negbinomial_groups"), fit("negbinomial_groups")
    frame = sites().iloc[::60]
    table = ours.predict(frame, se=True)
    ratio = table["se"] / ref["response_se"]
    assert ratio.between(0.99, 1.1).all()
    assert (table["lower"] < table["estimate"]).all()
    assert (table["lower"] > 0).all()
    zero = ours.predict(frame, kind="zero", se=True)
    assert zero.iloc[:, 2:].to_numpy().min() > 0
    assert zero.iloc[:, 2:].to_numpy().max() < 1
    draws = ours.mean_draws(frame)
    np.testing.assert_allclose(np.median(table["se"] / draws.std(axis=0)), 1.0, atol=0.1)


def test_means_over_the_population_are_those_of_simulated_groups():
    """Groups drawn anew for 4,000 responses: to five standard errors of the mean of each row's draws."""
    ours = fit("poisson_groups")
    drawn = ours.simulate(4000, seed=1).to_numpy()
    mean = ours.predict(groups="integrate")
    by_site = [np.flatnonzero(sites()["site"] == s) for s in ("s01", "s20")]
    for rows in by_site:
        own = drawn[rows].mean(axis=0)
        assert abs(own.mean() - mean.iloc[rows].mean()) < 5 * own.std() / np.sqrt(4000)
    average = ours.predict(groups="average")
    np.testing.assert_allclose(
        average, (1 - ours.predict(kind="zero", groups="average")) * ours.predict(kind="conditional", groups="average")
    )
    with pytest.raises(OptionError, match=r"mx\.effects"):
        ours.predict(groups="integrate", se=True)


def test_simulated_counts_have_the_zeros_of_the_model():
    ours = fit("nbinom1_groups")
    drawn = ours.simulate(300, seed=2, use_u=True).to_numpy()
    assert abs(drawn.mean() - ours.fitted.mean()) < 0.05
    assert ours.zero_inflation_test(seed=1).p_value > 0.05
    assert ours.dispersion_test(60, seed=1).p_value > 0.05
    residual = ours.quantile_residuals(seed=1)
    assert abs(residual.mean()) < 0.15
    assert residual.std() == pytest.approx(1.0, abs=0.1)
    assert len(residual) == 644


def test_tables_have_both_parts():
    ours = fit("poisson_slopes")
    tidy = ours.tidy()
    assert tidy["part"].tolist() == ["count", "count", "zero"]
    assert tidy["term"].tolist() == ["Intercept", "cover", "Intercept"]
    np.testing.assert_allclose(tidy["estimate"], ours.fixef)
    pars = ours.tidy("ran_pars")
    assert pars["part"].tolist() == ["count"] * 3 + ["zero"]
    assert pars["term"].tolist() == ["sd__Intercept", "sd__cover", "cor__Intercept.cover", "sd__Intercept"]
    np.testing.assert_allclose(pars["estimate"], ours.varcorr["sdcor"])
    values = ours.tidy("ran_vals")
    assert values["part"].value_counts().to_dict() == {"count": 46, "zero": 23}
    assert list(ours.ranef["count"]["site"].columns) == ["Intercept", "cover"]
    assert list(ours.ranef["zero"]["site"].columns) == ["Intercept"]
    text = str(ours)
    for words in ("counts, on the logarithm", "probability of a zero besides", "Zero-inflated model", "zeros of 644"):
        assert words in text
    assert "zi__" not in text
    row = fit("negbinomial_groups").glance()
    assert row["zeros"].item() == (sites()["many"] == 0).sum()
    assert row["shape"].item() == fit("negbinomial_groups").auxiliary["shape"]
    assert fit("negbinomial_groups").tidy("auxiliary")["term"].tolist() == ["shape"]


def test_tests_of_both_parts():
    """Wald's tests are squares of z; deletions are refits by hand."""
    ours = fit("negbinomial_groups")
    table = ours.anova().set_index(["part", "term"])["chisq"]
    tidy = ours.tidy().set_index(["part", "term"])["statistic"]
    np.testing.assert_allclose(table, tidy[table.index] ** 2, rtol=1e-10)
    both = ours.test(["mined", "zi__mined"])
    L = np.zeros((2, 5))
    L[0, 1] = L[1, 4] = 1
    d, V = L @ ours.fixef, L @ ours.vcov.to_numpy() @ L.T
    assert both["chisq"].item() == pytest.approx(d @ np.linalg.solve(V, d))
    dropped = ours.drop1().set_index(["part", "term"])["lrt"]
    smaller = ours.update(zi="~ . - mined")
    assert dropped["zero", "mined"] == pytest.approx(smaller.criterion - ours.criterion, abs=1e-5)
    assert dropped["count", "cover"] == pytest.approx(ours.update("~ . - cover").criterion - ours.criterion, abs=1e-5)
    np.testing.assert_allclose(ours.drop1("wald")["chisq"], ours.anova()["chisq"])
    random = ours.ranova().set_index(["part", "term"])
    none = ours.update(zi="~ . - (1 | site)")
    assert random.loc[("zero", "(1 | site)"), "lrt"] == pytest.approx(none.criterion - ours.criterion, abs=1e-5)
    assert random.loc[("count", "(1 | site)"), "df"] == 1


def test_intervals_of_both_parts():
    """Where the profile ends the criterion is above its minimum by the quantile of chi square."""
    ours = fit("poisson_groups")
    wald = ours.confint()
    assert wald["term"].tolist() == ["Intercept", "mined", "cover", "zi__Intercept", "zi__mined"]
    ends = ours.confint("profile", ["zi__mined", "sd__zi__Intercept|site"])
    assert (ends["conf_low"] < ends["estimate"]).all()
    low = ends.set_index("term").loc["zi__mined", "conf_low"]
    shifted = sites().assign(known=lambda d: low * d["mined"])
    held = mx.glmer("animals ~ mined + cover + (1 | site)", shifted, "poisson", zi="~ 1 + offset(known) + (1 | site)")
    assert held.criterion - ours.criterion == pytest.approx(3.841459, abs=1e-3)


def test_bootstrap_and_refits():
    ours = fit("poisson_groups")
    drawn = ours.simulate(3, seed=4)
    many = ours.refits(drawn)
    assert many.converged.all()
    one = ours.refit(drawn[1])
    anew = mx.glmer(reference("poisson_groups")["formula"], sites().assign(animals=drawn[1]), "poisson",
                    zi=reference("poisson_groups")["zi"])  # fmt: skip
    assert one.criterion == pytest.approx(anew.criterion, abs=1e-6)
    assert many.criterion[1] == pytest.approx(anew.criterion, abs=1e-6)
    np.testing.assert_allclose(one.fitted, anew.fitted, rtol=1e-3)
    found = ours.bootstrap(6, seed=1)
    assert len(found) == 6
    own = ours.bootstrap(3, seed=1, statistic=lambda refit: refit.predict(kind="zero").mean())
    assert np.ptp(own.replicates.to_numpy()) > 0
    with pytest.raises(DataError):
        ours.refit(drawn[1] - 1)


def test_likelihood_ratio_tests_between_models_of_zeros():
    """Against none the test is of the end of a range, which is said; nested models of zeros compare as others do."""
    data = sites()
    none = mx.glmer("animals ~ mined + cover + (1 | site)", data, "poisson")
    one, covariate, groups = (fit(f"poisson_{name}") for name in ("one", "covariate", "groups"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", BoundaryTestWarning)
        warnings.simplefilter("error", NestingWarning)
        table = mx.anova(groups, one, covariate)
    assert table["npar"].tolist() == [5, 6, 7]
    assert table["chisq"].iloc[1] == pytest.approx(one.criterion - covariate.criterion)
    assert "zi ~ 1 + mined + (1 | site)" in table["model"].iloc[2]
    with pytest.warns(BoundaryTestWarning, match="too large"):
        found = mx.anova(none, one)
    assert found["chisq"].iloc[1] == pytest.approx(none.criterion - one.criterion)
    with pytest.warns(NestingWarning):
        mx.anova(one, mx.glmer("animals ~ mined + (1 | site)", data, "poisson", zi="~ cover"))
    with pytest.raises(OptionError, match="different families"):
        mx.anova(one, mx.glmer("animals ~ mined + cover + (1 | site)", data, "negbinomial", zi="~ 1"))
    with pytest.raises(OptionError, match=r"lmer and of mixedfx\.glmer"):
        mx.anova(one, mx.lmer("animals ~ mined + (1 | site)", data))
    with pytest.raises(DataError, match="different responses"):
        mx.anova(one, fit("nbinom1_groups"))


def test_bootstrap_of_no_zero_inflation():
    """Counts without others: about half of the statistics are zero, and all refits are certified."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": np.repeat(list("abcdefghij"), 20), "x": rng.normal(size=200)})
    data["y"] = rng.poisson(np.exp(0.8 + 0.3 * data["x"] + np.repeat(rng.normal(0, 0.4, 10), 20)))
    none = mx.glmer("y ~ x + (1 | g)", data, "poisson")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoZeroInflationWarning)
        one = mx.glmer("y ~ x + (1 | g)", data, "poisson", zi="~ 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error", MixedfxWarning)
        found = mx.anova(none, one, bootstrap=40, seed=1)
    assert found["p_bootstrap"].iloc[1] > 0.2
    work, _ = none.null_blocks(one, True)
    null = work(40, np.random.SeedSequence(1))
    assert not np.isnan(null).any()
    assert 0.25 < (null < 1e-4).mean() < 0.75


def test_no_zeros_besides_is_said():
    """Then the model is that without zi=, as are the standard errors of the counts."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=300), "g": rng.integers(0, 10, 300).astype(str)})
    data["y"] = rng.binomial(12, 1 / (1 + np.exp(2 - 0.3 * data["x"])))  # fewer zeros than Poisson's
    with pytest.warns(NoZeroInflationWarning, match="minus infinity"):
        ours = mx.glmer("y ~ x", data, "poisson", zi="~ 1")
    none = mx.glmer("y ~ x", data, "poisson")
    assert ours.converged
    assert ours.criterion == pytest.approx(none.criterion, abs=1e-4)
    np.testing.assert_allclose(ours.fixef["count"], none.fixef, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(ours.vcov))[:2], np.sqrt(np.diag(none.vcov)), rtol=1e-3)
    assert ours.tidy().loc[2, ["std_error", "p_value"]].isna().all()
    assert ours.check()["zero inflation"].status == "note"
    np.testing.assert_allclose(ours.fitted, none.fitted, rtol=1e-4)
    means = ours.mean_draws(data.iloc[:5])
    np.testing.assert_allclose(means.mean(axis=0), none.fitted.iloc[:5], rtol=0.02)
    assert ours.quantile_residuals(seed=1).std() == pytest.approx(1.0, abs=0.2)
    other = np.where(rng.random(300) < 0.3, 0, data["y"])  # from where the likelihood is flat refits find back
    anew = mx.glmer("other ~ x", data.assign(other=other), "poisson", zi="~ 1")
    assert ours.refit(other).criterion == pytest.approx(anew.criterion, abs=1e-5)


def test_separation_in_the_model_of_the_zeros_is_said():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=300), "k": rng.integers(0, 2, 300)})
    count = rng.poisson(np.exp(1.5 + 0.3 * data["x"]))
    data["y"] = np.where((rng.random(300) < 0.4) & (data["k"] == 1), 0, count)
    with pytest.warns(SeparationWarning, match=r"model of the zeros.* k "):
        ours = mx.glmer("y ~ x", data, "poisson", zi="~ k")
    assert ours.check()["zero inflation"].status == "problem"
    with pytest.raises(ModelError, match="no finite estimate: k"):
        mx.effects(ours, "k")
    with pytest.raises(ModelError, match="no finite estimate"):
        ours.quantile_residuals()
    assert ours.quantile_residuals(seed=1, groups="fitted").std() == pytest.approx(1.0, abs=0.2)
    share = (ours.predict(data.assign(k=1), kind="zero")).mean()
    assert share == pytest.approx(0.4, abs=0.07)


def test_a_break_down_of_the_approximation_is_said():
    """Eight groups, one with nearly no other zeros: glmmTMB ends in NaN here, since log|A| has no lower bound."""
    data = pd.read_csv(PLACE / "flat.csv", dtype={"g": str, "h": str})
    with pytest.warns(ConvergenceWarning, match=r"breaks down.*hurdle model"):
        ours = mx.glmer("y ~ x + (1 | g)", data, "negbinomial", zi="~ 1 + (1 | h)")
    assert not ours.converged
    assert ours.optimization.evaluations < 60


def test_a_singular_model_of_zeros_names_its_own_formula():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(12)], 25), "x": rng.normal(size=300)})
    data["y"] = np.where(np.tile(np.arange(25) < 8, 12), 0, 1 + rng.poisson(3.0, 300))
    with pytest.warns(SingularFitWarning, match="in the model of the zeros.*Try zi='~ 1'"):
        ours = mx.glmer("y ~ x", data, "poisson", zi="~ 1 + (1 | g)")
    assert ours.singular
    assert "Smaller model, zero" in str(ours)


def test_effects_are_asked_of_the_mean():
    ours = fit("poisson_covariate")
    assert isinstance(ours, PredictsMean)
    found = mx.effects(ours, "mined").table
    frame = sites()
    draws = ours.mean_draws(frame.assign(mined=1)) - ours.mean_draws(frame.assign(mined=0))
    assert found["estimate"].item() == pytest.approx(draws.mean(), rel=1e-9)
    means = [ours.predict(frame.assign(mined=k)).mean() for k in (0, 1)]
    assert found["estimate"].item() == pytest.approx(means[1] - means[0], rel=0.05)


def test_missing_values_leave_a_row_out_of_both_parts():
    frame = sites().astype({"mined": float})
    frame.loc[3, "cover"] = np.nan
    frame.loc[5, "mined"] = np.nan
    ours = mx.glmer("animals ~ cover + (1 | site)", frame, "poisson", zi="~ mined")
    assert ours.nobs == 642
    assert not {3, 5} & set(ours.data.index)
    assert ours.predict().index.equals(ours.data.index)
    whole = mx.glmer("animals ~ cover + (1 | site)", frame.drop(index=[3, 5]), "poisson", zi="~ mined")
    assert ours.criterion == pytest.approx(whole.criterion, abs=1e-8)
    assert "2 dropped for missing values" in str(ours)
    with pytest.raises(DataError, match="missing"):
        mx.glmer("animals ~ cover + (1 | site)", frame, "poisson", zi="~ mined", na="raise")


def test_offsets_and_dispersion():
    """An offset of zeros is a predictor with a known coefficient; a model of the dispersion is one of the counts."""
    data = sites()
    offset = mx.glmer("animals ~ cover", data, "poisson", zi="~ 1", offset=np.log(data["effort"].to_numpy()))
    written = mx.glmer("animals ~ cover + offset(log(effort))", data, "poisson", zi="~ 1")
    assert offset.criterion == pytest.approx(written.criterion, abs=1e-8)
    assert written.predict(data.iloc[:3]).tolist() == pytest.approx(written.fitted.iloc[:3].tolist())
    plain = mx.glmer("many ~ cover", data, "negbinomial", zi="~ 1")
    spread = mx.glmer("many ~ cover", data, "negbinomial", zi="~ 1", dispersion="~ mined")
    assert spread.n_parameters == plain.n_parameters + 1
    assert spread.criterion < plain.criterion
    assert spread.dispersion is not None
    assert np.isfinite(spread.simulate(2, seed=1).to_numpy()).all()


@pytest.mark.parametrize("name", ["poisson_crossed", "negbinomial_groups", "poisson_none"])
def test_files(name, tmp_path):
    ours = fit(name)
    again = mx.load(ours.save(tmp_path / "fit.mfx"))
    assert isinstance(again, ZeroInflatedFit)
    assert again.criterion == pytest.approx(ours.criterion, abs=1e-7)
    np.testing.assert_allclose(again.fixef, ours.fixef, rtol=1e-12)
    np.testing.assert_allclose(again.predict(), ours.predict(), rtol=1e-6)
    assert repr(again) == repr(ours)
    assert str(again).splitlines()[:9] == str(ours).splitlines()[:9]
    assert again.update().criterion == pytest.approx(ours.criterion, abs=1e-6)


def test_update_and_names():
    ours = fit("poisson_covariate")
    ref = reference("poisson_covariate")
    named = mx.glmer(ref["formula"], sites(), "zero_inflated_poisson", zi=ref["zi"])
    assert named.criterion == ours.criterion
    assert named.name == "zero_inflated_poisson"
    own = mx.glmer(ref["formula"], sites(), mx.families.poisson(), zi=ref["zi"])
    assert repr(own) == repr(ours)
    assert ours.update(zi="~ . + (1 | site)").criterion == pytest.approx(fit("poisson_groups").criterion, abs=1e-6)
    with pytest.raises(OptionError, match="no argument 'REML'"):
        ours.update(REML=True)


def test_what_cannot_be_is_refused():
    data = sites()
    formula = "animals ~ cover + (1 | site)"

    def glmer(text=formula, frame=data, family="poisson", zi="~ 1", **options):
        return mx.glmer(text, frame, family, zi=zi, **options)

    with pytest.raises(ModelError, match="no count is zero"):
        glmer(frame=data[data["animals"] > 0])
    with pytest.raises(ModelError, match="no count is above zero"):
        glmer("none ~ cover", data.assign(none=0))
    with pytest.raises(OptionError, match="family of counts that may be zero"):
        glmer(family="gamma")
    with pytest.raises(OptionError, match="no link 'sqrt'"):
        glmer(link="sqrt")
    with pytest.raises(OptionError, match="nAGQ=5"):
        glmer(nAGQ=5)
    with pytest.raises(OptionError, match="priors="):
        glmer(priors="default")
    with pytest.raises(FormulaError, match="no left side"):
        glmer(zi="animals ~ 1")
    with pytest.raises(FormulaError, match="no term"):
        glmer(zi="~ 0")
    with pytest.raises(DataError, match="counts 0, 1, 2"):
        glmer("cover ~ mined")
    with pytest.raises(DataError, match="Rename"):
        glmer("animals ~ zi__a", data.assign(zi__a=data["cover"]))
    with pytest.raises(UnseenLevelError):
        fit("poisson_groups").predict(data.iloc[:1].assign(site="nowhere"))
    with pytest.raises(OptionError, match="kind="):
        fit("poisson_groups").residuals("deviance")


METHODS = sorted(
    name for name in dir(GlmerFit)
    if not name.startswith("_") and callable(getattr(GlmerFit, name)) and not hasattr(PredictsMean, name)
)  # fmt: skip
INSIDE = {  # what other layers of the package call
    "apply", "design_for", "draws", "expected", "joint_sample", "power_study", "projection", "reference",
    "with_uncertainty",
}  # fmt: skip
REFUSED = {"vcov_robust", "influence", "leverage", "cooks_distance", "dfbetas", "icc", "r2", "plot"}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in INSIDE])
def test_every_question_of_a_fit_is_answered_or_refused_in_words(name):
    method = getattr(fit("poisson_one"), name)
    if name not in REFUSED:
        assert callable(method)
        return
    with pytest.raises(ModelError, match=rf"no {name}: .*\n.*(fit\.|hurdle)"):
        method()


def test_questions_from_outside_name_the_way():
    ours = fit("poisson_one")
    for ask in (
        lambda: mx.emmeans(ours, "mined"), lambda: mx.emtrends(ours, "mined", "cover"), lambda: mx.table(ours),
        lambda: mx.power(ours, "mined"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=r"mx\.effects"):
            ask()


def test_the_check_of_too_many_zeros_names_the_way():
    found = mx.glmer("animals ~ mined + cover + (1 | site)", sites(), "poisson").check()["zeros"]
    assert found.status == "problem"
    assert 'zi="~ 1"' in found.consequence
    assert fit("poisson_groups").check()["zeros"].status == "ok"


LONG = {
    "drop1": (lambda fit, told: fit.drop1(progress=told), 3),
    "ranova": (lambda fit, told: fit.ranova(simulate=2, seed=1, progress=told), 2),
    "profile": (lambda fit, told: fit.profile("zi__mined", progress=told), 1),
    "bootstrap": (lambda fit, told: fit.bootstrap(3, seed=1, progress=told), 3),
    "refits": (lambda fit, told: fit.refits(fit.simulate(2, seed=1), progress=told), 2),
    "dispersion_test": (lambda fit, told: fit.dispersion_test(n=3, seed=1, progress=told), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_long_work_tells_how_much_is_done(name):
    seen = []
    ask, total = LONG[name]
    ask(fit("poisson_groups"), seen.append)
    assert {one.total for one in seen} == {total}
    assert seen[-1].done in (total - 1, total)
