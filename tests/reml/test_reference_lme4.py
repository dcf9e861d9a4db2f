"""Every fit of lme4 kept in tests/reference/lmm is reproduced; tests/reference/gen_lmm.R made them.

Tolerances are those of statistical irrelevance: 1e-4 of a standard error for a coefficient, 1e-4 relative for a
standard error or a variance component (components below 1e-6 of sigma count as zero), 1e-3 of its standard deviation
for a mode. Both programs stop within rounding of the same optimum, so most agree far better; the criterion is never
above lme4's by more than 1e-6.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedfx.datasets.load import load
from mixedfx.errors import MixedfxWarning
from mixedfx.reml.lmer import lmer

TESTS = Path(__file__).parents[1]
CASES = sorted(path.stem for path in (TESTS / "reference" / "lmm").glob("lmm_*.json"))


@cache
def reference(case):
    return json.loads((TESTS / "reference" / "lmm" / f"{case}.json").read_text())


def data(case):
    """The data of a case, categories in R's order; the kindergartners of STAR ship with the package."""
    ref = reference(case)
    name = Path(ref["data"]).stem
    frame = load("star") if name == "star_kindergarten" else pd.read_csv(TESTS / "data" / f"{name}.csv")
    categorical = [ref["categorical"]] if isinstance(ref["categorical"], str) else ref["categorical"]
    for column in categorical:
        text = frame[column].astype(str)
        frame[column] = pd.Categorical(text, categories=ref["levels"].get(column) or sorted(set(text)))
    return frame


@cache
def fit(case):
    ref = reference(case)
    with warnings.catch_warnings():
        # what is singular or has few levels is asserted elsewhere; here numbers count
        warnings.simplefilter("ignore", MixedfxWarning)
        return lmer(
            ref["formula"], data(case), ref["REML"], weights=ref["weights"] or None, offset=ref["offset"] or None
        )


def ours(case, name):
    """lme4's name of a coefficient in our notation: ``small:raceWhite`` -> ``small:race[White]``."""
    categorical = reference(case)["levels"]
    parts = []
    for part in name.split(":"):
        found = [c for c in categorical if part.startswith(c) and part[len(c) :] in categorical[c]]
        parts.append(f"{found[0]}[{part[len(found[0]) :]}]" if found else part)
    return ":".join(parts).replace("(Intercept)", "Intercept")


def our_group(case, label):
    """The grouping factor that combines the same columns, and the order of lme4's columns in it."""
    wanted = sorted(label.split(":"))
    matches = [g for g in fit(case).ranef if sorted(g.split(":")) == wanted]
    assert len(matches) == 1, f"no grouping factor {label} among {list(fit(case).ranef)}"
    order = [label.split(":").index(part) for part in matches[0].split(":")]
    return matches[0], order


def our_varcorr_key(case, row):
    """(grp, var1, var2) as we write it: lme4 splits ``||`` into g and g.1, and writes dots for colons there."""
    if row["grp"] == "Residual":
        return "Residual", None, None
    groups = {g.replace(":", "."): g for g in reference(case)["ngrps"]}
    dotted = row["grp"].replace(":", ".")
    label = groups.get(dotted) or groups[dotted.rpartition(".")[0]]
    group, _ = our_group(case, label)
    return group, ours(case, row["var1"]), ours(case, row["var2"]) if row["var2"] else None


@pytest.mark.parametrize("case", CASES)
def test_criterion_is_within_1e_6_of_lme4_or_below(case):
    found, expected = fit(case), reference(case)
    assert found.criterion <= expected["criterion"] + 1e-6
    # no optimiser of both is off by more than a thousandth: a much lower criterion would be another function
    assert found.criterion >= expected["criterion"] - 1e-3
    # criterion, AIC and BIC differ by constants of the model alone
    slack = found.criterion - expected["criterion"]
    assert found.loglik == pytest.approx(expected["logLik"] - slack / 2, abs=1e-7)
    assert found.aic == pytest.approx(expected["AIC"] + slack, abs=1e-7)
    assert found.bic == pytest.approx(expected["BIC"] + slack, abs=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_fixed_effects_within_1e_4_standard_errors(case):
    found, expected = fit(case), reference(case)
    names = [ours(case, name) for name in expected["fixef"]]
    assert sorted(names) == sorted(found.fixef.index)
    se = np.array([row["Std. Error"] for row in expected["coef_table"]])
    difference = found.fixef.loc[names].to_numpy() - np.array(list(expected["fixef"].values()))
    assert np.abs(difference / se).max() < 1e-4
    table = found.tidy().set_index("term").loc[names]
    np.testing.assert_allclose(table["std_error"], se, rtol=1e-4)
    # covariances against the product of their standard errors
    covariance = found.vcov.loc[names, names].to_numpy()
    assert np.abs((covariance - np.array(expected["vcov"])) / np.outer(se, se)).max() < 2e-4


@pytest.mark.parametrize("case", CASES)
def test_variance_components_within_1e_4(case):
    found, expected = fit(case), reference(case)
    sigma = expected["sigma"]
    assert found.sigma == pytest.approx(sigma, rel=1e-4)
    table = {tuple(row[:3]): row[3:] for row in found.varcorr.itertuples(index=False, name=None)}
    assert len(table) == len(expected["varcorr"])
    sds = {key[:2]: sdcor for key, (_, sdcor) in table.items() if key[2] is None}
    for row in expected["varcorr"]:
        vcov, sdcor = table[our_varcorr_key(case, row)]
        if row["var2"] is None:
            assert sdcor == pytest.approx(row["sdcor"], rel=1e-4, abs=1e-6 * sigma)
            assert vcov == pytest.approx(row["vcov"], rel=2e-4, abs=1e-12 * sigma**2)
        else:
            group, first, second = our_varcorr_key(case, row)
            scale = sds[group, first] * sds[group, second]
            # a covariance near zero is compared with the variances it stands between
            assert vcov == pytest.approx(row["vcov"], abs=1e-4 * scale)
            assert sdcor == pytest.approx(row["sdcor"], abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_modes_and_conditional_variances_within_1e_3_of_their_sd(case):
    found, expected = fit(case), reference(case)
    floor = 1e-6 * found.sigma  # where a variance is zero, so are modes and conditional sd
    for label, rows in expected["ranef"].items():
        group, order = our_group(case, label)
        modes, sds = found.ranef[group], found.ranef_sd[group]
        assert len(rows) == len(modes) == expected["ngrps"][label] == found.ngroups[group]
        for row in rows:
            parts = row["level"].split(":")
            level = ":".join(parts[i] for i in order)
            for name in row.keys() - {"level", "_row"}:
                column = ours(case, name)
                assert abs(modes.loc[level, column] - row[name]) <= 1e-3 * sds.loc[level, column] + floor


@pytest.mark.parametrize("case", CASES)
def test_conditional_covariance_of_the_first_level(case):
    found, expected = fit(case), reference(case)
    for label, variance in expected["ranef_condvar_first"].items():
        group, order = our_group(case, label)
        parts = expected["ranef"][label][0]["level"].split(":")
        level = ":".join(parts[i] for i in order)
        term = [t.label for t in found.design.random].index(group)
        got = found.ranef_cov[term][found.design.random[term].levels.index(level)]
        if isinstance(variance, dict):  # lme4 splits ||: variances only
            names = [ours(case, name) for name in variance]
            got = np.array([got[i, i] for i in map(found.design.random[term].columns.index, names)])
            variance = list(variance.values())
            np.testing.assert_allclose(np.sqrt(got), np.sqrt(variance), rtol=1e-3)
        else:
            variance = np.atleast_2d(variance)
            sd = np.sqrt(np.diag(variance))
            assert np.abs(got - variance).max() <= 1e-3 * np.outer(sd, sd).max() + 1e-12 * found.sigma**2


@pytest.mark.parametrize("case", CASES)
def test_fitted_and_residuals(case):
    found, expected = fit(case), reference(case)
    scale = 1e-4 * found.sigma  # fixed effects and modes may differ by their tolerances, no more
    np.testing.assert_allclose(found.fitted.iloc[:10], expected["fitted_head"], rtol=0, atol=scale)
    np.testing.assert_allclose(found.residuals().iloc[:10], expected["resid_head"], rtol=0, atol=scale)
    assert found.nobs == expected["n"]


@pytest.mark.parametrize("case", CASES)
def test_singularity_is_reported_where_lme4_reports_it(case):
    assert fit(case).singular == reference(case)["singular"]
    assert fit(case).converged
