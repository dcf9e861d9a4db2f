"""Tests of terms, deletions, random terms and robust covariances against lmerTest, pbkrtest and clubSandwich.

The numbers are in tests/reference/inference/tests.json, made by gen_inference.R beside it on unbalanced data.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import RefittedWarning

TESTS = Path(__file__).parents[1]
REFERENCE = json.loads((TESTS / "reference" / "inference" / "tests.json").read_text())
CODINGS = {"contr.treatment": "treatment", "contr.sum": "sum", "contr.helmert": "helmert"}


def cake():
    data = pd.read_csv(TESTS / "data" / "cake.csv", dtype={"temperature": str, "replicate": str})
    data["temp"] = data["temp"] / 10 - 20
    row = np.arange(1, len(data) + 1)
    return data[(row % 7 != 0) & ~((data["recipe"] == "B") & (row % 5 == 0))]


def sleep():
    data = pd.read_csv(TESTS / "data" / "sleepstudy.csv", dtype={"Subject": str})
    subject = data["Subject"].astype("category").cat.codes + 1
    return data[~((subject % 3 == 0) & (data["Days"] > 5)) & (np.arange(1, len(data) + 1) % 11 != 0)]


DATA = {
    "cake": cake(),
    "sleep": sleep(),
    "sleep_uncorrelated": sleep(),
    "pastes": pd.read_csv(TESTS / "data" / "pastes.csv"),
    "penicillin": pd.read_csv(TESTS / "data" / "penicillin.csv", dtype={"plate": str}),
}


def check_terms(found, expected, f=2e-5, p=1e-3, df=5e-3):
    """Tables of F tests.

    F to 2e-5, since both optimisers stop at about 1e-6 of theta. Fai and Cornelius's df of several contrasts depends a
    little on how the rows of L are written. lmerTest's for type III are the canonical ones, so that df agree to 1e-4
    there, as they do for a single contrast; for types I and II and single deletions it writes other rows of the same
    hypothesis: 0.5 %.
    """
    found = found.set_index("term")
    assert found.index.tolist() == [row["term"] for row in expected]
    for row in expected:
        ours = found.loc[row["term"]]
        assert ours["num_df"] == row["NumDF"]
        assert ours["den_df"] == pytest.approx(row["DenDF"], rel=1e-4 if row["NumDF"] == 1 else df)
        for name, theirs in {"f_value": "F value", "sum_sq": "Sum Sq", "mean_sq": "Mean Sq"}.items():
            assert ours[name] == pytest.approx(row[theirs], rel=f)
        assert ours["p_value"] == pytest.approx(row["Pr(>F)"], rel=p)


@pytest.fixture(scope="module", params=list(REFERENCE["terms"]))
def terms(request):
    return REFERENCE["terms"][request.param]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("type", ["I", "II", "III"])
def test_anova_is_lmertests_for_every_type_and_coding(terms, type, coding):
    factors = {name: CODINGS[coding] for name in ("recipe", "temperature") if name in terms["formula"].split("(1")[0]}
    fit = mx.lmer(terms["formula"], DATA["cake"], contrasts=factors)
    check_terms(fit.anova(type), terms[f"satterthwaite_{type}"][coding], df=1e-4 if type == "III" else 5e-3)


@pytest.mark.parametrize("type", ["I", "II", "III"])
def test_anova_by_kenward_roger_is_pbkrtests(terms, type):
    fit = mx.lmer(terms["formula"], DATA["cake"])
    # lmerTest prints the F that is not scaled; the scale is 1 but for 1e-4 here, and compared in the next test
    check_terms(fit.anova(type, ddf="kenward-roger"), terms[f"kenward_roger_{type}"], f=3e-4)


def test_kenward_rogers_scaled_f_is_pbkrtests(terms):
    fit = mx.lmer(terms["formula"], DATA["cake"])
    used = fit.reference("kenward-roger")
    for rows, expected in terms["KRmodcomp"].items():
        at = [int(r) - 1 for r in rows.split()]
        L = np.eye(len(fit.fixef))[at]
        F, q, df = used.f_test(L, L @ fit.fixef.to_numpy())
        assert (F, q, df) == (
            pytest.approx(expected["F"], rel=2e-5), len(at), pytest.approx(expected["df"], rel=1e-5),
        )  # fmt: skip
        assert fit.test(L, ddf="kenward-roger")["p_value"][0] == pytest.approx(expected["p"], rel=1e-4)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_coefficients(terms, ddf):
    fit = mx.lmer(terms["formula"], DATA["cake"])
    check_coefficients(fit.tidy(ddf=ddf), terms[f"coef_{ddf.replace('-', '_')}"])


def check_coefficients(found, expected):
    np.testing.assert_allclose(found["std_error"], [row["Std. Error"] for row in expected], rtol=1e-5)
    np.testing.assert_allclose(found["df"], [row["df"] for row in expected], rtol=1e-4)
    np.testing.assert_allclose(found["p_value"], [row["Pr(>|t|)"] for row in expected], rtol=1e-3)


def test_drop1_by_f_is_lmertests(terms):
    fit = mx.lmer(terms["formula"], DATA["cake"])
    check_terms(fit.drop1(), terms["drop1_F"])


def test_drop1_by_likelihood_ratio_is_lme4s(terms):
    fit = mx.lmer(terms["formula"], DATA["cake"])
    with pytest.warns(RefittedWarning, match="maximum likelihood"):
        found = fit.drop1("chisq")
    expected = terms["drop1_chisq"]
    assert found["term"].tolist() == [row["term"] for row in expected]
    np.testing.assert_allclose(found["aic"], [row["AIC"] for row in expected], rtol=1e-8)
    np.testing.assert_allclose(found["lrt"][1:], [row["LRT"] for row in expected[1:]], atol=1e-5)
    np.testing.assert_allclose(found["df"][1:], [row["npar"] for row in expected[1:]])
    np.testing.assert_allclose(found["p_value"][1:], [row["Pr(Chi)"] for row in expected[1:]], rtol=1e-4)


def check_ranova(found, expected):
    found, expected = found.sort_values("loglik"), sorted(expected, key=lambda row: row["logLik"])  # any order of terms
    assert found["term"].iloc[-1] == "<none>"
    assert found["npar"].tolist() == [row["npar"] for row in expected]
    np.testing.assert_allclose(found["loglik"], [row["logLik"] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found["aic"], [row["AIC"] for row in expected], atol=1e-5)
    np.testing.assert_allclose(found["lrt"][:-1], [row["LRT"] for row in expected[:-1]], atol=2e-5)
    np.testing.assert_allclose(found["df"][:-1], [row["Df"] for row in expected[:-1]])
    np.testing.assert_allclose(found["p_value"][:-1], [row["Pr(>Chisq)"] for row in expected[:-1]], rtol=1e-4)


@pytest.mark.parametrize("case", REFERENCE["ranova"])
def test_ranova_is_lmertests(case):
    reference = REFERENCE["ranova"][case]
    fit = mx.lmer(reference["formula"], DATA[case])
    check_ranova(fit.ranova(), reference["table"])
    if "coef_satterthwaite" in reference:
        check_coefficients(fit.tidy(), reference["coef_satterthwaite"])
        check_coefficients(fit.tidy(ddf="kenward-roger"), reference["coef_kenward_roger"])


def test_likelihood_ratio_tests_of_three_fits_are_lme4s():
    formulas = ["1", "Days", "Days + I(Days**2)"]
    fits = [mx.lmer(f"Reaction ~ {f} + (Days | Subject)", DATA["sleep"]) for f in formulas]
    with pytest.warns(RefittedWarning, match="3 fit"):
        found = mx.anova(fits[2], fits[0], fits[1])
    expected = REFERENCE["anova_models"]
    columns = {"npar": "npar", "aic": "AIC", "bic": "BIC", "loglik": "logLik", "deviance": "deviance"}
    for ours, theirs in columns.items():
        np.testing.assert_allclose(found[ours], [row[theirs] for row in expected], rtol=1e-7)
    np.testing.assert_allclose(found["chisq"][1:], [row["Chisq"] for row in expected[1:]], rtol=1e-5)
    np.testing.assert_allclose(found["p_value"][1:], [row["Pr(>Chisq)"] for row in expected[1:]], rtol=1e-4)


ROBUST = {
    "sleep": ("Reaction ~ Days + (Days | Subject)", np.eye(2)),
    "cake": ("angle ~ recipe * temp + (1 | replicate)", np.eye(6)[[1, 2, 4, 5]]),
    "pastes": ("strength ~ 1 + (1 | batch/cask)", np.eye(1)),
}


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR2"])
@pytest.mark.parametrize("case", ROBUST)
def test_robust_covariance_df_and_joint_test_are_clubsandwichs(case, kind):
    formula, L = ROBUST[case]
    fit = mx.lmer(formula, DATA[case])
    expected = REFERENCE["robust"][case][kind]
    robust = fit.vcov_robust(kind)
    # the covariance at two optima that differ by 1e-6 of theta
    np.testing.assert_allclose(robust.vcov, np.reshape(expected["vcov"], robust.vcov.shape), rtol=1e-4, atol=1e-6)
    table = fit.tidy(vcov=robust)
    np.testing.assert_allclose(table["std_error"], [row["SE"] for row in expected["coef"]], rtol=2e-5)
    np.testing.assert_allclose(table["df"], [row["df_Satt"] for row in expected["coef"]], rtol=1e-4)
    np.testing.assert_allclose(table["p_value"], [row["p_Satt"] for row in expected["coef"]], rtol=1e-3)
    joint = fit.test(L, vcov=robust).iloc[0]
    wald = expected["wald"][0]
    assert joint["f_value"] == pytest.approx(wald["Fstat"], rel=1e-4)
    assert joint["den_df"] == pytest.approx(wald["df_denom"], rel=1e-4)
    assert joint["p_value"] == pytest.approx(wald["p_val"], rel=1e-3)
