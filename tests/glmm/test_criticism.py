"""Residuals, tests against simulation, influence, variance explained, check page and pictures of glmer fits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, ModelError, OptionError
from mixedfx.glmm.pictures import KINDS, fitted_table, observed_table
from mixedfx.inference.quantile_residuals import normal_scores, uniform_residuals
from mixedfx.inference.simulated_test import SimulatedTest
from tests.glmm.data import classic, simulated


def clustered(seed, mean, groups=30, size=12, sd=0.5, shape=None, zeros=0.0):
    """Counts in groups: Poisson, or negative binomial with a shape, some of them made zero."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=len(g))
    mu = np.exp(np.log(mean) + 0.3 * x + sd * rng.normal(size=groups)[g])
    y = rng.poisson(mu if shape is None else mu * rng.gamma(shape, 1 / shape, len(mu)))
    return pd.DataFrame({"y": np.where(rng.random(len(y)) < zeros, 0, y), "x": x, "g": g.astype(str)})


def fitted(data, family="poisson", formula="y ~ x + (1 | g)"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer(formula, data, family)


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")


@pytest.fixture(scope="module")
def ticks():
    formula = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
    return {name: mx.glmer(formula, classic("grouseticks"), name) for name in ("poisson", "negbinomial")}


# --- quantile residuals ----------------------------------------------------------------------------------------------


def test_residuals_of_exchangeable_responses_are_uniform():
    """Whatever the ties: counts of one row, 4,000 times, against 50 others from the same distribution."""
    rng = np.random.default_rng(0)
    y, others = rng.poisson(0.7, 4000), rng.poisson(0.7, (50, 4000))
    found = uniform_residuals(y, (others < y).sum(axis=0), (others == y).sum(axis=0), 50, rng)
    assert stats.kstest(found, "uniform").pvalue > 0.01
    np.testing.assert_allclose(special.ndtr(normal_scores(found)), found)


@pytest.mark.parametrize("name", ["bernoulli", "binomial", "poisson", "negbinomial", "gamma", "gaussian"])
def test_residuals_of_a_right_model_are_standard_normal(name):
    """400 rows, groups drawn: the distribution is normal, and there is no trend in the linear predictor."""
    link = {"gaussian": "identity", "gamma": "log"}.get(name)
    data = simulated(name, link or ("logit" if name in ("bernoulli", "binomial") else "log"), 400, 5)
    response = "y | trials(m)" if name == "binomial" else "y"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer(f"{response} ~ x + (1 | g)", data, name, link=link)
    residual = fit.quantile_residuals(seed=2)
    assert stats.kstest(residual, "norm").pvalue > 0.01
    assert abs(stats.pearsonr(residual, fit.solution.eta).statistic) < 0.2  # 4 standard errors


def test_residuals_see_variation_that_new_groups_hide():
    data = clustered(1, 5.0, sd=1.0, shape=1.5)
    fit = fitted(data)
    assert fit.quantile_residuals(seed=1).std() > 1.3
    assert fit.quantile_residuals(seed=1, groups="new").std() < 1.2
    right = fitted(data, "negbinomial")
    assert right.quantile_residuals(seed=1).std() == pytest.approx(1.0, abs=0.1)


def test_residuals_are_repeated_by_their_seed_and_kept_in_their_range(cbpp):
    one, other = cbpp.quantile_residuals(seed=4), cbpp.quantile_residuals(seed=4)
    pd.testing.assert_series_equal(one, other)
    uniform = cbpp.quantile_residuals(seed=4, scale="uniform")
    assert uniform.between(0, 1).all()
    np.testing.assert_allclose(special.ndtri(uniform), one)
    with pytest.raises(OptionError, match="groups"):
        cbpp.quantile_residuals(groups="all")
    with pytest.raises(OptionError, match="scale"):
        cbpp.quantile_residuals(scale="log")


# --- tests against simulation ----------------------------------------------------------------------------------------


def test_p_values_count_the_data_with_the_simulated_ones():
    found = SimulatedTest("a", "b", 3.0, np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.p_greater == pytest.approx(3 / 5)
    assert found.p_less == pytest.approx(4 / 5)
    assert found.p_value == 1.0
    assert found.ratio == pytest.approx(3.0 / 2.5)
    assert "Ratio" in found.content().text()


def test_dispersion_is_not_biased_by_modes_that_follow_the_data():
    """With 3 rows to a group the naive ratio over rows less parameters is about 0.75; ours is one within noise.

    Mean of 12 data sets of 90 rows: a ratio has a standard deviation of some .15, the mean of .045.
    """
    ours, naive = [], []
    for seed in range(12):
        fit = fitted(clustered(100 + seed, 4.0, groups=30, size=3, sd=0.8))
        ours.append(fit.dispersion_test(60, seed=1).ratio)
        naive.append((fit.residuals("pearson") ** 2).sum() / (fit.nobs - fit.n_parameters))
    assert np.mean(ours) == pytest.approx(1.0, abs=0.14)
    assert np.mean(naive) < np.mean(ours) - 0.1


def test_dispersion_has_its_size_and_power():
    """Of 20 right models at most 4 are rejected at 5 % (p < .003 if the size is right); overdispersed ones all are."""
    right = [fitted(clustered(s, 3.0)).dispersion_test(99, seed=1).p_value for s in range(20)]
    assert sum(p < 0.05 for p in right) <= 4
    wrong = [fitted(clustered(s, 3.0, shape=2.0)).dispersion_test(99, seed=1) for s in range(5)]
    assert all(found.p_value < 0.05 and found.ratio > 1.3 for found in wrong)


def test_zeros_are_found():
    few = fitted(clustered(1, 4.0)).zero_inflation_test(seed=1)
    assert few.p_value > 0.05
    many = fitted(clustered(1, 4.0, zeros=0.25)).zero_inflation_test(seed=1)
    assert many.ratio > 1.5
    assert many.p_greater < 0.01
    data = clustered(1, 4.0)
    assert few.observed == (data["y"] == 0).sum()


def test_tests_that_say_nothing_are_refused():
    fit = mx.glmer("y ~ x + (1 | g)", simulated("bernoulli", "logit"), "bernoulli")
    with pytest.raises(ModelError, match="yes/no"):
        fit.dispersion_test()
    with pytest.raises(ModelError, match="count"):
        fit.zero_inflation_test()


# --- influence -------------------------------------------------------------------------------------------------------


def test_one_step_is_exact_for_a_gaussian_response():
    data = simulated("gaussian", "identity")
    ours = mx.glmer("y ~ x + (1 | g)", data, "gaussian")
    theirs = mx.lmer("y ~ x + (1 | g)", data, REML=False)
    np.testing.assert_allclose(ours.influence("g").dfbeta, theirs.influence("g").dfbeta, atol=2e-5)
    np.testing.assert_allclose(ours.leverage(), theirs.leverage(), atol=1e-4)


def test_refits_are_fits_of_the_rest(cbpp):
    data = classic("cbpp")
    found = cbpp.influence("herd", refit=True)
    for herd in ("1", "11"):
        rest = mx.glmer("incidence | trials(size) ~ period + (1 | herd)", data[data["herd"] != herd], "binomial")
        np.testing.assert_allclose(found.dfbeta.loc[herd], cbpp.fixef - rest.fixef, atol=2e-5)
        assert found.varcorr.loc[herd].iloc[0] == pytest.approx(rest.varcorr["sdcor"].iloc[0], abs=1e-4)


def test_one_step_is_near_the_refit(cbpp):
    """Theta held and one Newton step: changes of single rows correlate .996 with those of refits, herds' with .99."""
    for by in (None, "herd"):
        step, refit = cbpp.influence(by).dfbetas, cbpp.influence(by, refit=True).dfbetas
        assert np.corrcoef(step.to_numpy().ravel(), refit.to_numpy().ravel())[0, 1] > 0.98
        assert (step - refit).abs().to_numpy().max() < 0.25


def test_influence_by_an_unknown_column_is_refused(cbpp):
    with pytest.raises(OptionError, match="herd"):
        cbpp.influence("farm")
    without = mx.glmer("incidence | trials(size) ~ period", classic("cbpp"), "binomial")
    with pytest.raises(ModelError, match="no random term"):
        without.influence()


# --- variance explained ----------------------------------------------------------------------------------------------


def test_r2_is_the_ratio_of_its_parts(cbpp):
    """By hand: variance of X beta, of the herds, and pi^2 / 3."""
    fixed = np.var(cbpp.design.X @ cbpp.fixef.to_numpy(), ddof=1)
    herds = cbpp.varcorr["vcov"].iloc[0]
    total = fixed + herds + np.pi**2 / 3
    found = cbpp.r2().iloc[0]
    assert found["marginal"] == pytest.approx(fixed / total)
    assert found["conditional"] == pytest.approx((fixed + herds) / total)
    assert cbpp.icc()["adjusted"].iloc[0] == pytest.approx(herds / (herds + np.pi**2 / 3))
    delta = cbpp.r2(method="delta").iloc[0]
    mean = cbpp.predict(groups="integrate").mean()
    assert delta["marginal"] == pytest.approx(fixed / (fixed + herds + 1 / (mean * (1 - mean))), rel=1e-6)


def test_r2_of_counts_by_each_method(ticks):
    fit = ticks["negbinomial"]
    mean, shape = fit.predict(groups="integrate").mean(), fit.auxiliary["shape"]
    noise = 1 / mean + 1 / shape
    fixed = np.var(fit.design.X @ fit.fixef.to_numpy(), ddof=1)
    groups = fit.varcorr["vcov"].sum()
    for method, own in {
        "delta": noise,
        "lognormal": np.log1p(noise),
        "trigamma": float(special.polygamma(1, 1 / noise)),
    }.items():
        found = fit.r2(method=method).iloc[0]
        assert found["marginal"] == pytest.approx(fixed / (fixed + groups + own), rel=1e-6)
    pd.testing.assert_frame_equal(fit.r2(), fit.r2(method="trigamma"))
    with pytest.raises(OptionError, match="theoretical"):
        fit.r2(method="theoretical")
    assert fit.r2("term")["share"].sum() == pytest.approx(1.0)


def test_gaussian_r2_is_that_of_lmer():
    data = simulated("gaussian", "identity")
    ours = mx.glmer("y ~ x + (1 | g)", data, "gaussian").r2()
    theirs = mx.lmer("y ~ x + (1 | g)", data, REML=False).r2()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


# --- the page --------------------------------------------------------------------------------------------------------


def test_check_finds_overdispersion_and_its_cure(ticks):
    page = ticks["poisson"].check()
    assert page["dispersion"].status == "problem"
    assert "negbinomial" in page["dispersion"].consequence
    assert ticks["negbinomial"].check()["dispersion"].status == "ok"
    assert "look at dispersion" in page.content().text()


def test_check_says_how_far_off_the_approximation_is():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(150), 3)
    y = (rng.random(450) < special.expit(2.0 * rng.normal(size=150)[g])).astype(int)
    data = pd.DataFrame({"y": y, "g": g.astype(str)})
    page = fitted(data, "bernoulli", "y ~ 1 + (1 | g)").check()
    assert page["approximation"].status == "problem"
    assert "nAGQ" in page["approximation"].consequence
    exact = mx.glmer("y ~ 1 + (1 | g)", data, "bernoulli", nAGQ=15).check()
    assert exact["approximation"].status == "ok"
    assert "dispersion" not in exact.table["check"].tolist()


def test_check_names_separated_columns_zeros_and_outlying_groups():
    data = clustered(3, 4.0).assign(t=lambda d: (d["x"] > 1.2).astype(int))
    separated = data.assign(y=np.where(data["t"] == 1, 0, data["y"]))
    assert "t" in fitted(separated, formula="y ~ t + (1 | g)").check()["separation"].seen
    assert fitted(clustered(1, 4.0, zeros=0.25)).check()["zeros"].status == "problem"
    far = data.assign(y=np.where(data["g"] == "7", data["y"] * 60 + 60, data["y"]))
    assert "g 7" in fitted(far).check()["outlying groups"].seen


def test_check_of_a_right_model_finds_no_problem():
    page = fitted(clustered(5, 3.0)).check()
    assert [f.check for f in page.problems] == []


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "slopes"])
def test_every_picture_is_drawn(cbpp, kind):
    assert len(cbpp.plot(kind).axes) == {"quantile residuals": 2, "fitted": 15}.get(kind, 1)


def test_lines_of_slopes_are_the_means_of_their_levels(cbpp):
    """Along x, others averaged on the logit scale; the thick line has random effects at zero."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": rng.integers(8, size=400), "x": rng.normal(size=400), "f": rng.choice(["a", "b"], 400)})
    slope = rng.normal(0.5, 0.8, 8)[data["g"]]
    data["y"] = (rng.random(400) < special.expit(slope * data["x"])).astype(int)
    fit = mx.glmer("y ~ x + f + (1 + x | g)", data, "bernoulli")
    axes = fit.plot("slopes", points=False).ax
    beta, u = fit.fixef, fit.ranef["g"]
    drawn = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 15]
    groups = [lines for one in axes.collections if hasattr(one, "get_segments") for lines in one.get_segments()]
    x = np.linspace(data["x"].min(), data["x"].max(), 15)
    typical = beta["Intercept"] + 0.5 * beta["f[b]"] + beta["x"] * x
    found = [points[:, 1] for points in (*drawn, *groups)]
    assert any(np.allclose(y, special.expit(typical), atol=1e-10) for y in found)
    for level in u.index:
        own = special.expit(typical + u.loc[level, "Intercept"] + u.loc[level, "x"] * x)
        assert any(np.allclose(y, own, atol=1e-10) for y in found), level
    with pytest.raises(OptionError, match="no numeric predictor of this fit has random slopes"):
        cbpp.plot("slopes")


def test_page_and_check_page_are_drawn(cbpp):
    assert len(cbpp.plot().axes) == 5
    assert len(cbpp.check().plot().axes) == 6


def test_tables_of_pictures_hold_shares_of_successes(cbpp):
    table = observed_table(cbpp)
    assert table["observed"].between(0, 1).all()
    np.testing.assert_allclose(table["observed"], cbpp.design.y / cbpp.design.trials)
    groups, n = fitted_table(cbpp)
    assert n == 15
    assert len(groups) == 56


def test_quantile_picture_draws_the_residuals(cbpp):
    drawn = cbpp.plot("quantile residuals", seed=3).axes[0].collections[-1].get_offsets()
    np.testing.assert_allclose(drawn[:, 1], np.sort(cbpp.quantile_residuals(seed=3, scale="uniform")))


def test_unknown_pictures_are_refused(cbpp):
    with pytest.raises(OptionError, match="kind"):
        cbpp.plot("residual")
    with pytest.raises(OptionError, match="takes no options"):
        cbpp.plot(seed=1)
