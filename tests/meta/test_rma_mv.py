"""Multilevel meta-analyses against metafor and clubSandwich (tests/reference/gen_meta_mv.R), and by brute force.

metafor's optimiser stops at a relative change of 1e-15 of the log likelihood, which leaves variances good to some 1e-7
of their standard errors: 1e-5 relative for variances, 1e-6 for what follows from them to first order.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import mixedfx as mx
from mixedfx.errors import DataError, FewClustersWarning, MixedfxWarning, ModelError, OptionError
from mixedfx.inference.robust_tests import Pieces, covariances, tail_of_ratio

FOLDER = Path(__file__).parents[1] / "reference" / "meta"
KNOWN = json.loads((FOLDER / "mv.json").read_text())
SCHOOLS = pd.read_csv(FOLDER / "konstantopoulos2011.csv")
ASSINK = pd.read_csv(FOLDER / "assink2016.csv")
BERKEY = pd.read_csv(FOLDER / "berkey1998.csv")
BCG = pd.read_csv(FOLDER / "bcg.csv")
PAIRS = [BERKEY.loc[BERKEY.trial == t, ["v1i", "v2i"]].to_numpy() for t in BERKEY.trial.unique()]


def quiet(call, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return call(*args, **options)


FITS = {
    "nested": lambda: mx.rma_mv("yi ~ 1 + (1 | district/school)", SCHOOLS),
    "nested_ml": lambda: mx.rma_mv("yi ~ 1 + (1 | district/school)", SCHOOLS, method="ML"),
    "nested_t": lambda: mx.rma_mv("yi ~ year + (1 | district/school)", SCHOOLS, test="t"),
    "cs": lambda: mx.rma_mv("yi ~ 1 + homcs(0 + C(school) | district)", SCHOOLS),
    "berkey_reml": lambda: mx.rma_mv("yi ~ 0 + outcome + us(0 + outcome | trial)", BERKEY, V=sparse.block_diag(PAIRS)),
    "berkey_ml": lambda: mx.rma_mv(
        "yi ~ 0 + outcome + us(0 + outcome | trial)", BERKEY, V=sparse.block_diag(PAIRS).toarray(), method="ML"
    ),
    "assink": lambda: mx.rma_mv("yi ~ 1 + (1 | study/esid)", ASSINK, vi="vi"),
    "che": lambda: mx.rma_mv("yi ~ 1 + (1 | study/esid)", ASSINK, V=che()),
    "deltype": lambda: mx.rma_mv("yi ~ deltype + (1 | study/esid)", ASSINK, V=che()),
    "mods": lambda: mx.rma_mv("yi ~ year + pubstatus + (1 | study/esid)", ASSINK),
}


def che():
    """Errors of one study correlated .6."""
    return mx.vcalc("vi", ASSINK, cluster="study", obs="esid", rho=0.6)


@pytest.mark.parametrize("name", FITS)
def test_estimates_and_tests_are_metafors(name):
    fit, known = quiet(FITS[name]), KNOWN[name]
    # of three components metafor stops where the derivative of its criterion is 2e-5 to 3e-4, and ours 1e-6
    digits = 5e-5 if name.startswith("berkey") else 1e-6
    np.testing.assert_allclose(fit.beta, known["beta"], rtol=digits, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), known["se"], rtol=digits)
    np.testing.assert_allclose(fit.loglik(), known["loglik"], rtol=1e-9)
    assert fit.loglik() > known["loglik"] - 1e-9
    values = fit.components.set_index("term")["estimate"]
    digits *= 10  # the criterion is flat to second order in them
    variances = np.atleast_1d(known["tau2"] if np.any(known["tau2"]) else known["sigma2"])
    np.testing.assert_allclose(values[~values.index.str.startswith("rho")], variances, rtol=digits)
    if np.any(known["rho"]):
        np.testing.assert_allclose(values[values.index.str.startswith("rho")], known["rho"], rtol=digits)
    np.testing.assert_allclose([fit.QE, fit.QE_p_value], [known["QE"], known["QEp"]], rtol=1e-8)
    np.testing.assert_allclose(fit.QM, known["QM"], rtol=10 * digits)
    np.testing.assert_allclose(np.log(fit.QM_p_value), np.log(known["QMp"]), rtol=10 * digits)
    assert fit.k == known["k"]


def test_both_constants_of_the_restricted_likelihood():
    """That of the error contrasts has log |X'X| / 2 = log(56) / 2 more."""
    fit = FITS["nested"]()
    np.testing.assert_allclose(fit.loglik() - fit.loglik(constant=False), np.log(56) / 2, rtol=1e-12)
    np.testing.assert_allclose(FITS["nested_ml"]().loglik(), FITS["nested_ml"]().loglik(constant=False))


def test_the_story_of_the_school_calendars():
    """Schools alone: mu .128 (.044), tau .297; districts with schools in them: .185 (.085), tau2 .0978, rho .665."""
    flat = mx.rma("yi ~ 1", SCHOOLS)
    nested, cs = FITS["nested"](), FITS["cs"]()
    assert flat.tidy()[["estimate", "std_error"]].round(4).to_numpy().tolist() == [[0.1279, 0.0439]]
    assert round(flat.tau, 4) == 0.2974
    assert nested.tidy()[["estimate", "std_error", "statistic", "p_value"]].round(4).to_numpy().tolist() == [
        [0.1847, 0.0846, 2.1845, 0.0289]
    ]
    assert cs.components["estimate"].round(4).tolist() == [0.0978, 0.6653]
    np.testing.assert_allclose(nested.components["estimate"].sum(), cs.components["estimate"][0], rtol=1e-5)
    np.testing.assert_allclose(nested.loglik(), cs.loglik(), rtol=1e-9)


def test_profile_intervals_of_components():
    """metafor prints [.0222, .2072], [.0163, .0628]; tau2 [.0528, .2398], rho [.3282, .8855].

    An end is where twice the restricted log likelihood, all else maximised, is 3.84 below its maximum.
    """
    nested, cs = FITS["nested"](), FITS["cs"]()
    ends = nested.confint("components")[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(ends, [[0.0222, 0.2072], [0.0163, 0.0628]], atol=5e-5)
    both = cs.confint("components")[["conf_low", "conf_high"]].to_numpy()
    np.testing.assert_allclose(both, [[0.0528, 0.2398], [0.3282, 0.8855]], atol=6e-5)

    from scipy import optimize

    X, y, v = np.ones((56, 1)), SCHOOLS.yi.to_numpy(), SCHOOLS.vi.to_numpy()
    same = (SCHOOLS.district.to_numpy()[:, None] == SCHOOLS.district.to_numpy()).astype(float)

    def deviance(between, within):
        V = np.diag(v + within) + between * same
        Vi = np.linalg.inv(V)
        S = X.T @ Vi @ X
        e = y - X @ np.linalg.solve(S, X.T @ Vi @ y)
        return np.linalg.slogdet(V)[1] + np.linalg.slogdet(S)[1] + e @ Vi @ e

    lowest = deviance(*nested.components["estimate"])
    for end in ends[0]:
        held = optimize.minimize_scalar(lambda w, b=end: deviance(b, w), bounds=(1e-6, 1), method="bounded",
                                        options={"xatol": 1e-10})  # fmt: skip
        np.testing.assert_allclose(held.fun - lowest, 3.841459, atol=1e-3)


def test_predictions_and_shares_of_levels():
    fit, known = FITS["nested"](), KNOWN["nested"]["predict"]
    row = fit.predict().iloc[0]
    np.testing.assert_allclose(row[["estimate", "std_error"]], [known["pred"], known["se"]], rtol=1e-6)
    np.testing.assert_allclose(row[["conf_low", "conf_high"]], known["ci"], rtol=1e-5)
    np.testing.assert_allclose(row[["pred_low", "pred_high"]], known["pi"], rtol=1e-5)
    table = fit.i2().set_index("group")
    np.testing.assert_allclose(table["i2"].drop("(all)").sum(), 100.0)
    # the typical variance of independent errors is Higgins and Thompson's
    w = 1 / SCHOOLS.vi
    typical = 55 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    np.testing.assert_allclose(fit.typical_variance, typical, rtol=1e-10)
    berkey = FITS["berkey_reml"]()
    new = berkey.predict(pd.DataFrame({"outcome": ["AL", "PD"]}))
    spread = berkey.components["estimate"][:2].to_numpy()
    half = ((new.pred_high - new.pred_low) / 2 / 1.959964) ** 2
    np.testing.assert_allclose(half, new.std_error**2 + spread, rtol=1e-6)
    blups = fit.blup()
    np.testing.assert_allclose(blups["estimate"], fit.model.fitted, rtol=1e-10)


@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1p", "CR2", "CR3"])
@pytest.mark.parametrize("name", ["nested", "assink", "che", "deltype"])
def test_robust_standard_errors_and_degrees_of_freedom(name, kind):
    """clubSandwich's; where one cluster alone tells a coefficient pseudo-inverses differ, and CR2 and CR3 say so."""
    if (name, kind) == ("deltype", "CR3"):
        return  # one cluster alone tells deltype: I - H is singular there, and its inverse is what rounding makes of it
    fit, known = quiet(FITS[name]), KNOWN[name]["robust"][kind]
    found = {
        df: quiet(lambda d=df: fit.robust(kind=kind, df=d).tidy()) for df in ("satterthwaite", "saddlepoint", "naive")
    }
    np.testing.assert_allclose(found["satterthwaite"].std_error, known["se"], rtol=5e-5)
    np.testing.assert_allclose(found["satterthwaite"].df, known["df"], rtol=1e-4)
    np.testing.assert_allclose(found["satterthwaite"].p_value, known["p"], rtol=2e-4)
    np.testing.assert_allclose(found["naive"].p_value, known["p_naive"], rtol=2e-4, atol=1e-12)
    np.testing.assert_allclose(found["saddlepoint"].p_value, known["p_saddle"], rtol=2e-3)


@pytest.mark.parametrize("test", ["HTZ", "HTA", "EDF", "naive"])
@pytest.mark.parametrize("name", ["deltype", "mods"])
def test_several_contrasts_at_once(name, test):
    """With V of correlation .6, deltype has HTZ 66.64 on 2 and .878: p .110, where the naive test has 6e-11."""
    fit, known = quiet(FITS[name]), KNOWN[name]["joint"]["Naive-F" if test == "naive" else test]
    row = quiet(lambda: fit.robust().test(list(fit.names[1:]), test=test)).iloc[0]
    np.testing.assert_allclose([row.num_df, row.den_df], [known["num"], known["den"]], rtol=2e-4)
    np.testing.assert_allclose([row.f_value, row.p_value], [known["F"], known["p"]], rtol=5e-4)


def test_few_degrees_of_freedom_are_warned_about_in_words():
    robust = quiet(FITS["deltype"]().robust)
    with pytest.warns(FewClustersWarning, match=r"fewer than four degrees of freedom: .*cannot be trusted"):
        robust.tidy()
    with pytest.warns(FewClustersWarning, match="fewer than four"):
        robust.test(["deltype[general]", "deltype[overt]"])


def test_covariances_of_an_estimated_covariance_by_their_sums():
    """The sum over all pairs of clusters, written out."""
    rng = np.random.default_rng(0)
    q, m, p = 3, 7, 4
    within = rng.normal(size=(m, q, q))
    within = within @ within.transpose(0, 2, 1)
    b = 0.2 * rng.normal(size=(m, p, q))
    P = np.array([[(within[i] if i == j else 0) - b[i].T @ b[j] for j in range(m)] for i in range(m)])
    known = np.einsum("ijsu,ijtv->stuv", P, P) + np.einsum("ijsv,ijtu->stuv", P, P)
    np.testing.assert_allclose(covariances(within, b), known, atol=1e-12)


def test_the_saddlepoint_of_equal_weights_is_nearly_t():
    """Its relative error is below five per cent from three degrees of freedom on (Kuonen 1999)."""
    from scipy import stats

    for df in (3, 8, 40):
        for t in (0.5, 1.0, 2.5):
            np.testing.assert_allclose(tail_of_ratio(t, np.ones(df)), 2 * stats.t.sf(t, df), rtol=0.05)


def test_lmer_has_the_same_verbs():
    model = FITS["nested"]().model
    ours, theirs = model.robust("district").tidy(), FITS["nested"]().robust().tidy()
    np.testing.assert_allclose(ours["df"], theirs["df"])
    assert isinstance(model.robust("district").covariance.pieces, Pieces)
    assert "CR2" in str(model.robust("district"))


def test_a_cluster_need_not_be_in_the_formula():
    flat = mx.rma_mv("yi ~ 1 + (1 | study)", SCHOOLS)
    found = flat.robust("district")
    assert found.covariance.cluster == "district"
    assert found.covariance.n_clusters == 11


def test_sensitivity_to_the_correlation_of_errors():
    found = quiet(mx.rho_sensitivity, "yi ~ 1 + (1 | study/esid)", ASSINK, cluster="study", rhos=(0.0, 0.6))
    known = [KNOWN["assink"], KNOWN["che"]]
    np.testing.assert_allclose(found.table["estimate"], [k["beta"] for k in known], rtol=1e-6)
    np.testing.assert_allclose(found.table["std_error"], [k["robust"]["CR2"]["se"] for k in known], rtol=1e-5)
    assert found.plot().ax.get_xlabel() == "correlation of errors within study"
    assert "Sensitivity" in str(found)


def test_without_each_cluster():
    fit = FITS["nested"]()
    table = fit.leave_out()
    assert len(table) == 11
    one = mx.rma_mv("yi ~ 1 + (1 | district/school)", SCHOOLS[SCHOOLS.district != int(table["district"][3])])
    row = table.iloc[3]
    np.testing.assert_allclose(row["Intercept"], one.beta[0], rtol=1e-6)
    np.testing.assert_allclose(row["QE"], one.QE, rtol=1e-10)
    np.testing.assert_allclose(row[["sigma2 district", "sigma2 district:school"]].astype(float),
                               one.components["estimate"], rtol=1e-4)  # fmt: skip


def test_missing_and_impossible_variances():
    data = SCHOOLS.assign(vi=SCHOOLS.vi.where(SCHOOLS.index != 5))
    fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", data)
    assert fit.k == 55
    np.testing.assert_allclose(fit.beta, mx.rma_mv("yi ~ 1 + (1 | district/school)", SCHOOLS.drop(5)).beta)
    with pytest.raises(DataError, match="missing in 1 of 56"):
        mx.rma_mv("yi ~ 1 + (1 | district)", data, na="raise")
    with pytest.raises(DataError, match="row 3"):
        mx.rma_mv("yi ~ 1 + (1 | district)", SCHOOLS.assign(vi=SCHOOLS.vi.where(SCHOOLS.index != 3, -0.1)))
    with pytest.raises(OptionError, match="both"):
        mx.rma_mv("yi ~ 1 + (1 | district)", SCHOOLS, vi="vi", V=np.diag(SCHOOLS.vi))
    with pytest.raises(OptionError, match="no column 'vi'"):
        mx.rma_mv("yi ~ 1 + (1 | district)", SCHOOLS.drop(columns="vi"))
    with pytest.raises(DataError):
        mx.rma_mv("yi ~ 1 + (1 | district)", SCHOOLS, V=np.eye(3))
    with pytest.raises(DataError, match="positive definite"):
        mx.rma_mv("yi ~ 1 + (1 | district)", SCHOOLS, V=np.ones((56, 56)))
    with pytest.raises(ModelError, match="are of one level"):
        mx.rma_mv("yi ~ 1 + (1 | all)", SCHOOLS.assign(all="x"))


def test_pages_and_tables():
    fit = FITS["nested_t"]()
    page = str(fit.summary())
    for words in ("Multilevel meta-regression of 56 estimates (REML)", "Residual heterogeneity", "Moderators", "sigma2",
                  "t with 54 degrees of freedom", "logLik_without_constant"):  # fmt: skip
        assert words in page
    assert "<table" in fit._repr_html_()
    assert repr(fit).startswith("<RmaMvFit yi ~ year + (1 | district/school): 56 estimates (REML)")
    joint = fit.test_hypothesis(["Intercept", "year"])
    assert joint["num_df"].item() == 2
    anova = quiet(fit.anova, FITS["nested"]())
    assert len(anova) == 2
