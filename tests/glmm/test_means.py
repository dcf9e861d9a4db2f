"""Marginal means, contrasts and slopes of generalised linear mixed models against emmeans, with infinite df.

tests/reference/gen_glmm_verbs.R made the references from fits of glmmTMB. Estimates agree to 1e-4 standard errors and
standard errors to 1e-3, since glmmTMB's are differences of its gradient.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError
from tests.glmm.data import classic
from tests.glmm.test_tests import cbpp, reference, ticks, verbagg

ESTIMATES = ("emmean", "prob", "response", "estimate", "odds.ratio", "ratio", "rate", "cHEIGHT.trend")


def agrees(means, ref, quantity):
    """Estimates, standard errors, intervals and z tests of a table of emmeans."""
    table = means.table
    theirs = next(np.array(ref[name]) for name in ESTIMATES if name in ref)
    se = np.array(ref["SE"])
    assert means.column == quantity
    np.testing.assert_array_less(np.abs(table[quantity] - theirs), 5e-4 * se)
    np.testing.assert_allclose(table["SE"], se, rtol=2e-3)
    assert np.isinf(table["df"]).all()
    for ours, name in (("lower", "asymp.LCL"), ("upper", "asymp.UCL")):
        np.testing.assert_allclose(table[ours], ref[name], rtol=3e-3, atol=3e-3 * se.min())
    if "p_value" in table:
        np.testing.assert_allclose(table["statistic"], ref["z.ratio"], rtol=3e-3)
        np.testing.assert_allclose(table["p_value"], ref["p.value"], rtol=2e-2, atol=1e-6)  # Tukey's by quadrature


def test_means_on_the_link_and_the_response_scale():
    ref = reference("cbpp")
    agrees(mx.emmeans(cbpp(), "period"), ref["means"], "emmean")
    agrees(mx.emmeans(cbpp(), "period", scale="response"), ref["response"], "response")


def test_differences_of_logits_are_odds_ratios_on_the_response_scale():
    ref = reference("cbpp")
    agrees(mx.emmeans(cbpp(), "period").pairs(), ref["pairs"], "estimate")
    agrees(mx.emmeans(cbpp(), "period", scale="response").pairs(), ref["ratios"], "odds_ratio")


def test_families_of_contrasts():
    ref, means = reference("cbpp"), mx.emmeans(cbpp(), "period")
    agrees(means.contrast("trt.vs.ctrl", adjust="none"), ref["control"], "estimate")
    agrees(means.contrast("eff", adjust="none"), ref["effects"], "estimate")
    joint = means.pairs().joint()
    assert joint["statistic"].item() == pytest.approx(ref["joint"]["F.ratio"][0], abs=2e-3 * joint["statistic"].item())
    assert joint["df1"].item() == 3
    assert np.isinf(joint["df2"].item())


def test_probits_go_back_but_their_differences_do_not():
    fit = mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial", "probit")
    ref = reference("cbpp_probit")
    means = mx.emmeans(fit, "period", scale="response")
    agrees(means, ref["response"], "response")
    agrees(means.pairs(adjust="none"), ref["pairs"], "estimate")
    assert "do not pass through an inverse" in str(means.pairs())


def test_the_complementary_log_log_link():
    fit = mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial", "cloglog")
    agrees(mx.emmeans(fit, "period", scale="response"), reference("cbpp_cloglog")["response"], "response")


def test_counts_and_their_ratios():
    ref = reference("grouseticks")
    means = mx.emmeans(ticks(), "YEAR", scale="response")
    agrees(means, ref["response"], "response")
    agrees(means.pairs(), ref["ratios"], "ratio")


def test_slopes_on_the_link_scale():
    fit = mx.glmer("TICKS ~ YEAR * cHEIGHT + (1 | BROOD)", classic("grouseticks"), "poisson")
    ref = reference("grouseticks_trends")
    slopes = mx.emtrends(fit, "cHEIGHT", "YEAR")
    agrees(slopes, ref["trends"], "trend")
    agrees(slopes.pairs(), ref["pairs"], "estimate")
    agrees(mx.emmeans(fit, "YEAR", at={"cHEIGHT": 30}, scale="response"), ref["at"], "response")


def test_the_inverse_link_turns_intervals_round():
    fit = mx.glmer("Reaction ~ Days + (1 | Subject)", classic("sleepstudy"), "gamma", "inverse")
    at = {"Days": [0, 5, 9]}
    found = mx.emmeans(fit, "Days", at=at, scale="response").table
    link = mx.emmeans(fit, "Days", at=at).table
    eta = link["emmean"]
    np.testing.assert_allclose(found["response"], 1 / eta)
    np.testing.assert_allclose(found["SE"], link["SE"] / eta**2)
    np.testing.assert_allclose(found["lower"], 1 / link["upper"])
    np.testing.assert_allclose(found["upper"], 1 / link["lower"])


def test_means_are_averaged_over_other_factors_with_equal_weights():
    agrees(mx.emmeans(verbagg(), "~ btype | situ"), reference("verbagg")["means"], "emmean")


def test_averages_over_groups_are_integrals_of_the_inverse_link():
    """By 200,000 draws of the herd effect: the error of a mean probability is below 4e-4, four times that here."""
    fit = cbpp()
    found = mx.emmeans(fit, "period", scale="response", bias_adjust=True).table["response"]
    u = fit.varcorr["sdcor"].item() * np.random.default_rng(1).standard_normal(200_000)
    eta = mx.emmeans(fit, "period").table["emmean"].to_numpy()
    np.testing.assert_allclose(found, (1 / (1 + np.exp(-(eta[:, None] + u)))).mean(axis=1), atol=1.6e-3)


def test_z_is_said_and_other_df_refused():
    pairs = mx.emmeans(cbpp(), "period").pairs()
    head = next(line for line in str(pairs).splitlines() if "estimate" in line)
    assert head.split() == ["contrast", "estimate", "SE", "df", "lower", "upper", "z", "p"]
    with pytest.raises(OptionError, match="z and chi square"):
        mx.emmeans(cbpp(), "period", ddf="satterthwaite").table  # noqa: B018


def test_a_table_of_models_holds_both_kinds():
    linear = mx.lmer("TICKS ~ YEAR + (1 | BROOD)", classic("grouseticks"))
    counts = mx.glmer("TICKS ~ YEAR + (1 | BROOD)", classic("grouseticks"), "negbinomial")
    table = mx.table(linear, counts, show="ci", stars=True)
    assert "Degrees of freedom: Satterthwaite; of (2) infinite (normal distribution)." in table.notes
    frame = table.frame
    assert frame.loc[("Fit", "Shape"), "(2)"] == f"{counts.auxiliary['shape']:.3f}"
    assert frame.loc[("Fit", "Estimated by")].tolist() == ["REML", "ML"]
    assert frame.loc[("Fit", "Family")].tolist() == ["gaussian", "negbinomial(link='log')"]
    assert frame.loc[("Random effects", "SD residual"), "(2)"] == ""
    low = counts.tidy()["conf_low"].iloc[1]
    assert f"[{low:.3f}" in frame.loc[("Fixed effects", "YEAR[96]"), "(2)"]
    robust = counts.vcov_robust()
    both = mx.table(linear, counts, vcov=[None, robust])
    assert "Covariance of the fixed effects of (2): CR1, clusters BROOD." in both.notes
    alone = mx.table(counts, ddf="satterthwaite", show="ci").notes
    assert "Degrees of freedom: infinite (normal distribution)." in alone


def test_glance_has_the_shape():
    assert ticks().glance()["shape"].item() == pytest.approx(ticks().auxiliary["shape"])
    assert "shape" not in cbpp().glance()
    assert isinstance(cbpp().glance(), pd.DataFrame)
