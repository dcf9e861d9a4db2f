"""What a fit with sampling weights answers: tables, tests, effects, predictions; and what it refuses."""

import numpy as np
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import OptionError
from mixedfx.results.protocol import Fit
from tests.surveys.samples import pupils

W = {"row": "w_pupil", "school": "w_school"}


@pytest.fixture(scope="module")
def data():
    return pupils(seed=21, schools=30, size=9)


@pytest.fixture(scope="module")
def fit(data):
    return mx.lmer("y ~ x * sex + (1 + x | school)", data, sampling_weights=W)


def test_it_is_a_fit_that_effects_know(fit):
    assert isinstance(fit, Fit)
    assert fit.df == 29
    assert fit.REML is False
    assert "30 primary sampling units (school), no strata: 29 degrees of freedom" in fit.uncertainty
    assert fit.with_uncertainty("full") is fit
    with pytest.raises(OptionError, match="no form given theta"):
        fit.with_uncertainty("given theta")


def test_tables_are_estimates_standard_errors_and_t(fit):
    table = fit.tidy()
    np.testing.assert_allclose(table["estimate"], fit.fixef)
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(fit.vcov)))
    np.testing.assert_allclose(table["p_value"], 2 * stats.t.sf(np.abs(table["statistic"]), 29))
    assert np.isinf(fit.tidy(ddf="normal")["df"]).all()
    pars = fit.tidy("ran_pars").set_index("term")
    assert list(pars.index) == ["sd__Intercept", "sd__x", "cor__Intercept.x", "sd__Observation"]
    sd, se = pars.loc["sd__x", ["estimate", "std_error"]].to_numpy(dtype=float)
    assert pars.loc["sd__x", "conf_low"] == pytest.approx(sd * np.exp(-stats.t.ppf(0.975, 29) * se / sd))
    both = fit.confint()
    assert len(both) == 8
    assert (both["conf_low"] < both["estimate"]).all()
    assert (both["estimate"] < both["conf_high"]).all()
    assert -1 < both["conf_low"].iloc[6] < both["conf_high"].iloc[6] < 1
    assert len(fit.tidy("ran_vals")) == 60
    assert fit.glance()["pseudo_logLik"].item() == fit.loglik


def test_wald_tests_are_of_the_samples_covariance(fit):
    names = ["x", "x:sex[m]"]
    b, V = fit.fixef[names].to_numpy(), fit.vcov.loc[names, names].to_numpy()
    found = fit.test(names).iloc[0]
    assert found["f_value"] == pytest.approx(b @ np.linalg.solve(V, b) / 2)
    assert (found["num_df"], found["den_df"]) == (2, 29)
    terms = fit.anova().set_index("term")
    assert list(terms.index) == ["x", "sex", "x:sex"]
    assert terms.loc["x:sex", "f_value"] == pytest.approx(fit.tidy()["statistic"].iloc[-1] ** 2)


def test_effects_and_marginal_means_are_linear_functionals(fit):
    slope = mx.effects(fit, {"x": "per unit"}, by="sex", groups="average").table.set_index("sex")
    L = np.array([0.0, 1.0, 0.0, 1.0])
    se = np.sqrt(L @ fit.vcov.to_numpy() @ L)
    assert slope.loc["m", "estimate"] == pytest.approx(L @ fit.fixef.to_numpy())
    assert slope.loc["m", "sd"] == pytest.approx(se)
    assert slope.loc["m", "upper"] == pytest.approx(L @ fit.fixef.to_numpy() + stats.t.ppf(0.975, 29) * se)
    own = mx.effects(fit, {"x": "per unit"}, by="school").table
    assert len(own) == 30
    assert (own["sd"] > 0).all()
    means = mx.emmeans(fit, "sex")
    text = str(means)
    assert "of the sample: primary sampling units less strata" in text
    L = np.array([1.0, fit.design.frame["x"].mean(), 0.0, 0.0])
    assert means.table["emmean"].iloc[0] == pytest.approx(L @ fit.fixef.to_numpy())
    assert means.table["df"].iloc[0] == 29
    assert mx.emtrends(fit, "x", "sex").table["SE"].iloc[1] == pytest.approx(se)
    with pytest.raises(OptionError, match="ddf='satterthwaite' is not known"):
        mx.emmeans(fit, "sex", ddf="satterthwaite").table  # noqa: B018
    people = mx.effects(fit, {"x": "per unit"}, weights="w_pupil", groups="average").table.iloc[0]
    male = np.average(fit.design.frame["sex"] == "m", weights=fit.design.frame["w_pupil"])
    assert people["estimate"] == pytest.approx(fit.fixef["x"] + male * fit.fixef["x:sex[m]"])
    shown = str(mx.table(fit, mx.lmer("y ~ x * sex + (1 + x | school)", fit.call.data)))
    assert "x:sex[m]" in shown


def test_modes_are_those_of_schools_one_by_one(data, fit):
    """u = G (Z'W (y - X beta)) with the weights within schools, by hand."""
    V = fit.sigma**2 * fit.solution.factors[0] @ fit.solution.factors[0].T
    for school in ("s00", "s17"):
        rows = (data["school"] == school).to_numpy()
        w = data.loc[rows, "w_within"].to_numpy()
        w = w * len(w) / w.sum()
        Z = np.column_stack([np.ones(rows.sum()), data.loc[rows, "x"]])
        rest = fit.design.y[rows] - fit.design.X[rows] @ fit.fixef.to_numpy()
        G = np.linalg.inv(np.linalg.inv(V) + Z.T @ (w[:, None] * Z) / fit.sigma**2)
        np.testing.assert_allclose(fit.ranef["school"].loc[school], G @ Z.T @ (w * rest) / fit.sigma**2, rtol=1e-8)
        np.testing.assert_allclose(fit.ranef_sd["school"].loc[school], np.sqrt(np.diag(G)), rtol=1e-8)


def test_modes_of_three_levels_are_the_maximum_of_the_integrand(three):
    """Given theta and beta the top effects maximise the pseudo likelihood's integrand, schools within them theirs."""
    fit = mx.lmer(
        "y ~ x + (1 | district) + (1 | school)", three,
        sampling_weights={"row": "w_pupil", "school": "w_school", "district": "w_district"},
    )  # fmt: skip
    found = fit.solution.weights.conditional
    from mixedfx.surveys.levels import nesting

    order = nesting(fit.design)
    t_school, t_district = (fit.solution.factors[i].item() for i in (1, 0))
    rest = (fit.design.y - fit.design.X @ fit.fixef.to_numpy())[order.order]
    school, district = order.unit_of_rows(0), order.unit_of_rows(1)
    w, wj = found.rows[0], found.units[0][0]
    S_ww, S_wr = np.bincount(school, w), np.bincount(school, w * rest)
    shrink = 1 / (1 + t_school**2 * S_ww)
    of_district = district[order.levels[0].first_rows]
    P = np.bincount(of_district, wj * S_ww * shrink)
    q = np.bincount(of_district, wj * S_wr * shrink)
    v = t_district**2 * q / (1 + t_district**2 * P)
    names = [fit.design.random[0].levels[c] for c in order.levels[1].code]
    np.testing.assert_allclose(fit.ranef["district"].loc[names, "Intercept"], v, rtol=1e-8)
    u = t_school**2 * (S_wr - S_ww * v[of_district]) / (1 + t_school**2 * S_ww)
    names = [fit.design.random[1].levels[c] for c in order.levels[0].code]
    np.testing.assert_allclose(fit.ranef["school"].loc[names, "Intercept"], u, rtol=1e-8)
    draws = fit.solution.modes.draw(40_000, np.random.default_rng(1))[1]
    np.testing.assert_allclose(draws.std(axis=0)[:6], np.sqrt(np.diag(_cov(fit)))[:6], rtol=0.02)


def _cov(fit):
    from scipy import sparse

    q = fit.design.n_random
    return fit.solution.modes.covariance(np.zeros((q, len(fit.fixef))), sparse.csr_array(sparse.eye_array(q)))


def test_predictions_are_linear_predictors(data, fit):
    np.testing.assert_allclose(fit.predict(), fit.fitted)
    np.testing.assert_allclose(fit.residuals(), fit.design.y - fit.fitted)
    new = data.iloc[:2].assign(school="elsewhere")
    average = fit.predict(new, groups="average")
    np.testing.assert_allclose(fit.predict(new, new_levels="population"), average)
    table = fit.predict(data.iloc[:3], se=True)
    assert list(table.columns) == ["estimate", "se", "lower", "upper"]
    assert (table["lower"] < table["estimate"]).all()
    some = data.iloc[:3].assign(x=[0.1, np.nan, 0.3])
    assert fit.predict(some).isna().tolist() == [False, True, False]
    assert fit.draws(50, seed=1)["beta", "x"].shape == (1, 50)


def test_likelihoods_are_not_compared(data, fit):
    small = mx.lmer("y ~ x + (1 + x | school)", data, sampling_weights=W)
    with pytest.raises(OptionError, match=r"pseudo likelihoods.*fit.test"):
        mx.anova(small, fit)
    with pytest.raises(OptionError, match="vcov= is for fits without sampling weights"):
        fit.tidy(vcov=np.eye(4))
    with pytest.raises(OptionError, match="ddf='kenward-roger' is not known"):
        fit.tidy(ddf="kenward-roger")


def test_update_fits_again(data, fit):
    again = fit.update(". ~ . - x:sex", sampling_weights=mx.sampling_weights(W, scaling="effective"))
    assert list(again.fixef.index) == ["Intercept", "x", "sex[m]"]
    assert "effective" in str(again.summary())
    assert again.call.data is data


SUMMARY = """\
Linear mixed model with sampling weights

Formula:          y ~ x + (1 | school)
"""


def test_the_summary_says_what_the_sample_was(data):
    sample = data.assign(region=np.where(data["school"] < "s15", "a", "b"))
    fit = mx.lmer("y ~ x + (1 | school)", sample, sampling_weights=mx.sampling_weights(W, strata="region"))
    text = str(fit.summary())
    assert text.startswith(SUMMARY)
    for line in (
        "row 'w_pupil', school 'w_school': overall, made conditional on the unit above; scaled within",
        "effective rows",
        "30 primary sampling units (school), 2 strata (region): 28 degrees of freedom",
        "pseudo maximum likelihood; REML has no weighted form",
        "converged: gradient zero and curvature positive",
    ):
        assert line in " ".join(text.split()), line
    assert max(map(len, text.splitlines())) <= 100
    assert isinstance(fit._repr_html_(), str)
    assert repr(fit).startswith("<WeightedFit y ~ 1 + x + (1 | school): -2 log pseudo L ")


def test_progress_is_told(data):
    seen = []
    values = np.random.default_rng(1).choice([0.5, 1.5], (len(data), 6)) * data["w_pupil"].to_numpy()[:, None]
    mx.lmer("y ~ x + (1 | school)", data, sampling_weights=W, replicates=mx.replicates(values, "fay"),
            progress=seen.append)  # fmt: skip
    assert (seen[-1].done, seen[-1].total) == (6, 6)


def test_a_report_of_effects_names_the_weights(fit):
    page = mx.effects(fit, {"x": "per unit"}, by="sex").to_html()
    assert "sampling_weights=" in page
    assert "by pseudo maximum likelihood with sampling weights" in page
    assert "Satterthwaite" not in page
    shown = str(mx.table(fit, mx.lmer("y ~ x + (1 | school)", fit.call.data)))
    assert "pseudo ML" in shown


def test_strings_and_missing_columns_are_explained(data):
    with pytest.raises(OptionError, match="does not say of what"):
        mx.lmer("y ~ x + (1 | school)", data, sampling_weights="w_pupil")
