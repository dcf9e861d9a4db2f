"""After the fit: predictions, influence, fits of subsets and comparisons, against metafor and fits one at a time."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, NestingWarning, OptionError, RefittedWarning

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
REFERENCE = json.loads((FOLDER / "after.json").read_text())
DATA = {name: pd.DataFrame(columns) for name, columns in json.loads((FOLDER / "rma.json").read_text())["data"].items()}
BCG = DATA["bcg"].assign(ni=lambda d: d.tpos + d.tneg + d.cpos + d.cneg)
# metafor's refits stop at steps of 1e-5 of tau^2 or 1e-13, as they were asked; these are of the latter kind
TOLERANCE = 1e-7
FITS = {
    "bcg": ("yi ~ 1", {}),
    "bcg DL": ("yi ~ 1", {"method": "DL"}),
    "bcg EE": ("yi ~ 1", {"method": "EE"}),
    "bcg knha": ("yi ~ 1", {"test": "knha"}),
    "bcg ablat": ("yi ~ ablat", {}),
    "bcg ablat knha": ("yi ~ ablat", {"test": "knha"}),
}
INFLUENCE = {
    "rstudent": "rstudent", "dffits": "dffits", "cook_d": "cook.d", "cov_ratio": "cov.r", "tau2_deleted": "tau2.del",
    "QE_deleted": "QE.del", "hat": "hat", "weight": "weight",
}  # fmt: skip
REFIT = {
    "estimate": "estimate", "std_error": "se", "statistic": "zval", "p_value": "pval", "conf_low": "ci.lb",
    "conf_high": "ci.ub", "QE": "Q", "QE_p_value": "Qp", "tau2": "tau2", "I2": "I2", "H2": "H2",
}  # fmt: skip


def fitted(name):
    formula, options = FITS[name]
    return mx.rma(formula, BCG, **options)


def close(found, expected, tolerance=TOLERANCE, small=1e-9):
    np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=tolerance, atol=small)


@pytest.mark.parametrize("name", FITS)
class TestAgainstMetafor:
    def test_predictions(self, name):
        fit, expected = fitted(name), REFERENCE["after"][name]["predict"]
        table = fit.predict(None if fit.p == 1 else pd.DataFrame({"ablat": [10, 33, 55]}))
        keys = {"estimate": "pred", "std_error": "se", "conf_low": "ci.lb", "conf_high": "ci.ub"}
        if name != "bcg EE":  # where metafor has the confidence interval once more
            keys |= {"pred_low": "pi.lb", "pred_high": "pi.ub"}
        for column, key in keys.items():
            close(table[column], np.atleast_1d(expected[key]))

    @pytest.mark.parametrize("verb", ["blup", "ranef"])
    def test_true_effects(self, name, verb):
        if name == "bcg EE":
            assert (fitted(name).ranef()["estimate"] == 0).all()
            return
        table, expected = getattr(fitted(name), verb)(), REFERENCE["after"][name][verb]
        keys = {"estimate": "pred", "std_error": "se", "conf_low": "pi.lb", "conf_high": "pi.ub"}
        for column, key in keys.items():
            close(table[column], expected[key])

    def test_influence(self, name):
        table, expected = fitted(name).influence(), REFERENCE["after"][name]["influence"]
        for column, key in INFLUENCE.items():
            close(table[column], expected[key])
        slopes = [column for column in table.columns if column.startswith("dfbetas")]
        for column, values in zip(slopes, list(expected["dfbs"].values())[: len(slopes)], strict=True):
            close(table[column], values)
        assert table["influential"].tolist() == expected["inf"]

    def test_standardized_residuals(self, name):
        table, expected = fitted(name).rstandard(), REFERENCE["after"][name]["rstandard"]
        for column, key in {"residual": "resid", "std_error": "se", "statistic": "z"}.items():
            close(table[column], expected[key])

    def test_leave_one_out(self, name):
        fit, expected = fitted(name), REFERENCE["after"][name]["leave1out"]
        table = fit.leave1out()
        if fit.p > 1:
            one = mx.rma("yi ~ ablat", BCG.drop(index=3), test=fit.test)
            close(table.iloc[3][["Intercept", "ablat"]].astype(float), one.beta, 1e-9)
            return
        for column, key in REFIT.items():
            if key in expected:
                close(table[column], expected[key])


def test_cumulative_fits_are_those_of_metafor():
    table = fitted("bcg").cumul("year")
    for column, key in REFIT.items():
        close(table[column], REFERENCE["cumul"][key])
    assert table["k"].tolist() == list(range(1, 14))
    close(fitted("bcg").cumul(BCG.year)["estimate"], table["estimate"], 1e-14)


def test_comparisons_are_those_of_metafor():
    full, null = (mx.rma(f, BCG, method="ML") for f in ("yi ~ ablat + year", "yi ~ 1"))
    row = full.anova(null).iloc[1]
    close(row[["lrt", "p_value", "R2"]].astype(float), list(REFERENCE["anova"]["ML"].values()))
    close(null.anova(full).iloc[1]["lrt"], row["lrt"], 1e-14)
    row = fitted("bcg").anova(fitted("bcg EE")).iloc[1]
    close(row["lrt"], REFERENCE["anova"]["REML"]["LRT"])
    assert row["df"] == 1


def test_restricted_likelihoods_of_other_moderators_are_not_compared():
    with pytest.warns(RefittedWarning, match="fitted by REML, and is compared by maximum likelihood"):
        table = fitted("bcg ablat").anova(fitted("bcg"))
    ml = [mx.rma(f, BCG, method="ML").loglik() for f in ("yi ~ 1", "yi ~ ablat")]
    close(table["logLik"], ml, 1e-12)


def test_models_that_are_not_nested_are_said_so():
    one, other = (mx.rma(f, BCG, method="ML") for f in ("yi ~ ablat", "yi ~ year + alloc"))
    with pytest.warns(NestingWarning):
        one.anova(other)
    with pytest.raises(ModelError, match="different estimates"):
        one.anova(mx.rma("yi ~ ablat", BCG[:12], method="ML"))


@pytest.mark.parametrize("method", ["REML", "DL", "PM"])
def test_fits_of_all_subsets_are_fits_one_at_a_time(method):
    data = BCG[:6]
    found = mx.rma("yi ~ 1", data, method=method).gosh()
    assert found.complete
    assert len(found.table) == 2**6 - 1
    for i in range(0, 63, 5):
        chosen = data[found.included[i]]
        if len(chosen) == 1:
            close(found.table["estimate"][i], chosen["yi"].iloc[0])
            continue
        one = mx.rma("yi ~ 1", chosen, method=method)
        for column, value in {"estimate": one.beta[0], "tau2": one.tau2, "I2": one.i2, "QE": one.QE}.items():
            close(found.table[column][i], value, 1e-8)


def test_random_subsets_are_repeated_by_their_seed():
    fit = fitted("bcg ablat")
    one, other = fit.gosh(500, seed=4), fit.gosh(500, seed=4)
    pd.testing.assert_frame_equal(one.table, other.table)
    assert not one.complete
    assert (one.table["k"] >= 2).all()
    assert one.included.mean() == pytest.approx(0.5, abs=0.05)


def test_subsets_in_which_moderators_cannot_be_told_apart_are_left_out():
    data = pd.DataFrame({"yi": [0.1, 0.5, 0.3, 0.9], "vi": 0.1, "x": [1.0, 1, 1, 2]})
    found = mx.rma("yi ~ x", data).gosh()
    assert found.included[:, 3].all(), "without the fourth study x does not vary"


@pytest.mark.parametrize("name", REFERENCE["robust"])
def test_robust_covariances_are_those_of_clubsandwich(name):
    """Its degrees of freedom rest on the same algebra in another order: agreement to eight digits."""
    model, kind = name.split()
    fit = mx.rma("yi ~ ablat + year" if model == "moderators" else "yi ~ 1", BCG)
    vcov, expected = fit.vcov_robust(kind, "alloc" if model == "alloc" else None), REFERENCE["robust"][name]
    table = fit.tidy(vcov=vcov)
    close(table["std_error"], np.atleast_1d(expected["se"]))
    close(table["df"], np.atleast_1d(expected["df"]), 1e-6)
    if model == "moderators":
        joint = fit.test_hypothesis(["ablat", "year"], vcov=vcov).iloc[0]
        close(joint[["f_value", "num_df", "den_df"]].astype(float), [expected[k] for k in ("F", "num", "den")], 1e-6)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_marginal_means_over_moderators(test):
    """By hand: the mean over levels of what `predict` says at the mean latitude, with its variance."""
    fit = mx.rma("yi ~ alloc + ablat", BCG, test=test)
    means = mx.emmeans(fit, "alloc").table
    grid = pd.DataFrame({"alloc": means["alloc"].astype(str), "ablat": BCG.ablat.mean()})
    table = fit.predict(grid)
    close(means[["emmean", "SE", "lower", "upper"]], table[["estimate", "std_error", "conf_low", "conf_high"]], 1e-9)
    pairs = mx.emmeans(fit, "alloc").pairs(adjust="none").table
    direct = fit.test_hypothesis("alloc[random]", joint=False).iloc[0]
    row = pairs[pairs["contrast"].isin(["alternate - random", "random - alternate"])].iloc[0]
    close(abs(row["estimate"]), abs(direct["estimate"]), 1e-9)
    close(row["p_value"], direct["p_value"], 1e-9)


def test_predictions_on_another_scale():
    fit = fitted("bcg")
    plain, ratio = fit.predict(), fit.predict(transf="exp")
    for column in ("estimate", "conf_low", "pred_high"):
        close(ratio[column], np.exp(plain[column]), 1e-14)
    assert "std_error" not in ratio
    falling = fit.predict(transf=lambda y: -y)
    close(falling["conf_low"], -plain["conf_high"], 1e-14)
    close(fit.blup(transf="exp")["estimate"], np.exp(fit.blup()["estimate"]), 1e-14)


def test_words_that_are_not_known_are_refused():
    fit = fitted("bcg")
    with pytest.raises(OptionError, match="transf='logit' is not known"):
        fit.predict(transf="logit")
    with pytest.raises(DataError, match="no column 'yaer'"):
        fit.cumul("yaer")
    with pytest.raises(OptionError, match="level=95"):
        fit.leave1out(level=95)


@pytest.mark.parametrize("method", ["REML", "GENQ"])
def test_weights_that_are_given_go_with_their_studies(method):
    data = BCG.assign(w=BCG.ni)
    fit = mx.rma("yi ~ ablat", data, method=method, weights="w")
    table = fit.leave1out()
    one = mx.rma("yi ~ ablat", data.drop(index=5), method=method, weights="w")
    close(table.iloc[5][["Intercept", "ablat", "tau2"]].astype(float), [*one.beta, one.tau2], 1e-9)
    close(table.iloc[5]["std_error ablat"], one.se["ablat"], 1e-9)
    assert 0 < fit.permutation_test(50, seed=1).omnibus <= 1
    with pytest.raises(OptionError, match="weights= were given"):
        fit.influence()


def test_one_study_leaves_nothing():
    table = mx.rma("yi ~ 1", BCG[:2], method="EE").leave1out()
    close(table["estimate"], BCG.yi[:2][::-1], 1e-12)
    assert (table["tau2"] == 0).all()
