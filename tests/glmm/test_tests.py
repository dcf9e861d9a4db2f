"""Tests of terms, of hypotheses and of random effects: against glmmTMB and emmeans, and by brute force.

References are of tests/reference/gen_glmm_verbs.R. Both programs minimise the same criterion, to 1e-8 or so, and a
statistic is a difference of two minima: 1e-5 leaves room for theirs.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, NestingWarning, OptionError, SingularFitWarning
from tests.glmm.data import classic, simulated

PLACE = Path(__file__).parents[1] / "reference" / "glmm_verbs"
CBPP = "incidence | trials(size) ~ period + (1 | herd)"
TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"


@cache
def reference(name):
    return json.loads((PLACE / f"{name}.json").read_text())


@cache
def cbpp(formula=CBPP, nAGQ=1):
    return mx.glmer(formula, classic("cbpp"), "binomial", nAGQ=nAGQ)


@cache
def ticks(formula=TICKS):
    return mx.glmer(formula, classic("grouseticks"), "negbinomial")


@cache
def verbagg(formula="r2 ~ btype * situ + Gender + (1 | id)"):
    frame = classic("verbagg")
    some = frame[frame["id"].isin(list(dict.fromkeys(frame["id"]))[:60])]
    return mx.glmer(formula, some, "bernoulli")


def row(table, term):
    return table.set_index("term").loc[term]


def test_deleting_a_term_is_glmmtmbs_likelihood_ratio():
    ref = reference("cbpp")
    found = cbpp().drop1()
    assert row(found, "period")["lrt"] == pytest.approx(ref["fixed"]["chisq"], abs=1e-5)
    assert row(found, "period")["df"] == ref["fixed"]["df"]
    assert list(found["aic"]) == pytest.approx(ref["aic"], abs=1e-5)
    assert row(found, "period")["p_value"] == pytest.approx(stats.chi2.sf(ref["fixed"]["chisq"], 3), rel=1e-5)
    found, ref = ticks().drop1(), reference("grouseticks")
    for term, name in (("YEAR", "year"), ("cHEIGHT", "height")):
        assert row(found, term)["lrt"] == pytest.approx(ref[name]["chisq"], abs=1e-5)


def test_terms_below_an_interaction_stay():
    found, ref = verbagg().drop1(), reference("verbagg")
    assert verbagg().criterion == pytest.approx(ref["criterion"], abs=1e-6)
    assert list(found["term"]) == ["<none>", "Gender", "btype:situ"]
    assert row(found, "btype:situ")["lrt"] == pytest.approx(ref["interaction"]["chisq"], abs=1e-5)
    assert row(found, "Gender")["lrt"] == pytest.approx(ref["gender"]["chisq"], abs=1e-5)


def test_random_terms_are_tested_with_the_mixture_of_the_boundary():
    found, ref = ticks().ranova(), reference("grouseticks")
    for term, name in (("(1 | BROOD)", "brood"), ("(1 | LOCATION)", "location")):
        one = row(found, term)
        assert one["lrt"] == pytest.approx(ref[name]["chisq"], abs=1e-5)
        assert one["p_value"] == pytest.approx(stats.chi2.sf(ref[name]["chisq"], 1), rel=1e-5)
        assert one["p_mixture"] == pytest.approx(one["p_value"] / 2, rel=1e-10)
    # without the only random term the fit is a generalised linear model
    assert row(cbpp().ranova(), "(1 | herd)")["lrt"] == pytest.approx(reference("cbpp")["random"]["chisq"], abs=1e-5)


def test_a_slope_is_tested_with_its_covariance():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = mx.glmer("y ~ x + (1 + x | g)", simulated("poisson", "log"), "poisson")
        smaller = mx.glmer("y ~ x + (1 | g)", simulated("poisson", "log"), "poisson")
    found = row(fit.ranova(), "x in (1 + x | g)")
    assert found["lrt"] == pytest.approx(smaller.criterion - fit.criterion, abs=1e-6)
    assert found["df"] == 2
    tails = [stats.chi2.sf(found["lrt"], df) for df in (1, 2)]
    assert found["p_mixture"] == pytest.approx(np.mean(tails), rel=1e-8)


@pytest.mark.slow
def test_simulated_null_distributions_are_the_mixture_in_a_large_sample():
    """Without a variance half the statistics are zero; 200 of them: three binomial standard errors are .106."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(60), 10).astype(str), "y": rng.poisson(2.0, 600)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = mx.glmer("y ~ 1 + (1 | g)", data, "poisson")
    found = fit.ranova(simulate=200, seed=1).iloc[1]
    assert found["p_simulated"] == pytest.approx(found["p_mixture"] if found["lrt"] > 1e-6 else 1.0, abs=0.106)


def test_simulated_p_values_count():
    found = cbpp().ranova(simulate=19, seed=1).iloc[1]
    assert found["p_simulated"] == pytest.approx(1 / 20)  # a statistic of 14 is beyond every one of 19
    assert found["mc_error"] == pytest.approx(np.sqrt(0.05 * 0.95 / 19))


def test_anova_compares_nested_fits():
    small = mx.glmer("incidence | trials(size) ~ 1 + (1 | herd)", classic("cbpp"), "binomial")
    found = mx.anova(cbpp(), small)
    assert found["chisq"].iloc[1] == pytest.approx(reference("cbpp")["fixed"]["chisq"], abs=1e-5)
    assert list(found["npar"]) == [2, 5]
    assert mx.anova(cbpp()).equals(cbpp().anova())
    with pytest.warns(NestingWarning, match="not seen to be nested"):  # neither of the smaller ones in the other
        three = mx.anova(small, cbpp("incidence | trials(size) ~ period"), cbpp())
    assert list(three["npar"]) == [2, 4, 5]


def test_anova_refuses_what_has_no_likelihood_in_common():
    data = classic("grouseticks")
    poisson = mx.glmer("TICKS ~ YEAR + (1 | BROOD)", data, "poisson")
    with pytest.raises(OptionError, match=r"poisson\(log\), negbinomial\(log\)"):
        mx.anova(poisson, ticks())
    with pytest.raises(OptionError, match="nAGQ=1, 9"):
        mx.anova(cbpp(), mx.glmer("incidence | trials(size) ~ 1 + (1 | herd)", classic("cbpp"), "binomial", nAGQ=9))
    with pytest.raises(OptionError, match="not compared with each other"):
        mx.anova(ticks(), mx.lmer("TICKS ~ YEAR + (1 | BROOD)", data, REML=False))
    with pytest.raises(DataError, match="different responses"):
        mx.anova(poisson, mx.glmer("TICKS ~ 1 + (1 | BROOD)", data.iloc[:300], "poisson"))
    other = classic("cbpp").assign(size=classic("cbpp")["size"] + 1)
    with pytest.raises(DataError, match="numbers of trials"):
        mx.anova(cbpp(), mx.glmer("incidence | trials(size) ~ 1 + (1 | herd)", other, "binomial"))
    with pytest.warns(NestingWarning):
        mx.anova(poisson, mx.glmer("TICKS ~ cHEIGHT + (1 | BROOD)", data, "poisson"))
    with pytest.raises(OptionError, match="anova compares fits"):
        mx.anova(poisson, data)


def test_a_model_without_random_terms_compares_with_any_quadrature():
    plain = mx.glmer("incidence | trials(size) ~ period", classic("cbpp"), "binomial")
    found = mx.anova(plain, cbpp(nAGQ=9))
    assert found["chisq"].iloc[1] == pytest.approx(plain.criterion - cbpp(nAGQ=9).criterion)


def test_terms_of_type_three_are_emmeans_joint_tests():
    """Wald's chi square over its df; emmeans prints three decimals."""
    ref, found = reference("verbagg")["joint"], verbagg().anova()
    for term, df, F in zip(ref["model term"], ref["df1"], ref["F.ratio"], strict=True):
        assert row(found, term)["df"] == df
        assert row(found, term)["chisq"] / df == pytest.approx(F, abs=6e-4 + 2e-3 * F)  # standard errors to 1e-3


@pytest.mark.parametrize("type", ["I", "II", "III"])
def test_wald_tests_are_quadratic_forms(type):
    from mixedfx.inference.terms import term_contrasts

    fit = verbagg()
    beta, V = fit.fixef.to_numpy(), fit.vcov.to_numpy()
    for term, L in term_contrasts(fit.design, type).items():
        chisq = (L @ beta) @ np.linalg.solve(L @ V @ L.T, L @ beta)
        found = row(fit.anova(type), term)
        assert found["chisq"] == pytest.approx(chisq, rel=1e-8)
        assert found["p_value"] == pytest.approx(stats.chi2.sf(chisq, len(L)), rel=1e-8)
    last = list(term_contrasts(fit.design, type))[-1]
    assert row(fit.drop1("wald"), last)["chisq"] == pytest.approx(row(fit.anova(type), last)["chisq"], rel=1e-8)


def test_hypotheses_are_referred_to_chi_square_and_to_the_normal():
    fit = cbpp()
    beta, V = fit.fixef, fit.vcov.to_numpy()
    names = list(beta.index)[1:]
    found = fit.test(names)
    chisq = beta[names] @ np.linalg.solve(V[1:, 1:], beta[names])
    assert found.loc[0, ["chisq", "df"]].tolist() == pytest.approx([chisq, 3])
    assert found["p_value"].item() == pytest.approx(stats.chi2.sf(chisq, 3))
    one = fit.test({names[0]: 1, names[1]: -1}, rhs=0.1, joint=False)
    se = np.sqrt(V[1, 1] + V[2, 2] - 2 * V[1, 2])
    assert one["statistic"].item() == pytest.approx((beta.iloc[1] - beta.iloc[2] - 0.1) / se)
    assert one["p_value"].item() == pytest.approx(2 * stats.norm.sf(abs(one["statistic"].item())))
    assert np.isinf(one["df"].item())
    # a single contrast tested jointly is the square of z
    assert fit.test({names[0]: 1, names[1]: -1}, rhs=0.1)["chisq"].item() == pytest.approx(one["statistic"].item() ** 2)


def test_what_cannot_be_tested_says_why():
    fit = cbpp()
    with pytest.raises(OptionError, match="no coefficient 'period'"):
        fit.test("period")
    with pytest.raises(OptionError, match="contradict"):
        fit.test([{"period[2]": 1}, {"period[2]": 2}], rhs=[0, 1])
    with pytest.raises(OptionError, match="test='F' is not known"):
        fit.drop1("F")
    with pytest.raises(ModelError, match="no term to delete"):
        mx.glmer("incidence | trials(size) ~ 1 + (1 | herd)", classic("cbpp"), "binomial").drop1()
    with pytest.raises(ModelError, match="no random term to test"):
        cbpp("incidence | trials(size) ~ period").ranova()
    with pytest.raises(OptionError, match="z and chi square"):
        fit.reference("satterthwaite")
