"""Predictions over the population of groups, for unseen groups, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

import mixedfx as mx
from mixedfx.errors import OptionError
from tests.glmm.data import classic, simulated


@pytest.fixture(scope="module")
def slopes():
    return mx.glmer("y ~ x + (1 + x | g)", simulated("poisson", "log"), "poisson")


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")


def test_mean_over_the_population_is_the_integral(cbpp):
    frame = cbpp.design.frame.iloc[[0, 1]]
    eta = cbpp.predict(frame, groups="average", kind="link").to_numpy()
    sd = cbpp.varcorr["sdcor"].iloc[0]
    for one, found in zip(eta, cbpp.predict(frame, groups="integrate"), strict=True):
        mean = integrate.quad(lambda b, eta=one: stats.norm.pdf(b, 0, sd) / (1 + np.exp(-eta - b)), -9, 9)[0]
        assert found == pytest.approx(mean, abs=1e-6)
    link = cbpp.predict(frame, groups="integrate", kind="link")
    np.testing.assert_allclose(1 / (1 + np.exp(-link)), cbpp.predict(frame, groups="integrate"), rtol=1e-12)


def test_log_link_has_a_closed_form_with_slopes(slopes):
    """E exp(eta + z'b) = exp(eta + z' Sigma z / 2); the rule of nodes is good to 1e-6."""
    rows = slopes.design.frame.iloc[:20]
    z = np.column_stack([np.ones(20), rows["x"]])
    F = slopes.covariance_factors[0][0]
    expected = np.exp(slopes.predict(rows, groups="average", kind="link") + 0.5 * ((z @ F) ** 2).sum(axis=1))
    np.testing.assert_allclose(slopes.predict(rows, groups="integrate"), expected, rtol=2e-6)


def test_intervals_over_the_population_agree_with_the_delta_method(cbpp):
    """Given theta, the mean is a smooth function of beta: 1,000 draws give its standard error to 2 %, checked to 10."""
    frame = cbpp.design.frame.iloc[[0]]
    table = cbpp.with_uncertainty("given theta").predict(frame, groups="integrate", se=True)
    x, sd = cbpp.design.X[0], cbpp.varcorr["sdcor"].iloc[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    p = 1 / (1 + np.exp(-(x @ cbpp.fixef.to_numpy()) - sd * nodes))
    slope = (weights / weights.sum()) @ (p * (1 - p))
    se = slope * np.sqrt(x @ cbpp.vcov.to_numpy() @ x)
    assert table["se"].iloc[0] == pytest.approx(se, rel=0.1)
    assert table["lower"].iloc[0] < table["estimate"].iloc[0] < table["upper"].iloc[0]
    full = cbpp.predict(frame, groups="integrate", se=True)
    assert full["se"].iloc[0] > 0.95 * table["se"].iloc[0]
    assert full.equals(cbpp.predict(frame, groups="integrate", se=True))


def test_new_responses_in_new_groups_vary_as_the_population(slopes):
    """Against the variance of Poisson counts of lognormal means; 1,000 draws of a skewed variable: 15 %."""
    row = slopes.design.frame.iloc[[0]]
    table = slopes.with_uncertainty("given theta").predict(row, groups="integrate", kind="predictive")
    z = np.array([1.0, row["x"].iloc[0]])
    v = float(((z @ slopes.covariance_factors[0][0]) ** 2).sum())
    mean = slopes.predict(row, groups="integrate").iloc[0]
    assert table["estimate"].iloc[0] == pytest.approx(mean, rel=0.15)
    assert table["se"].iloc[0] ** 2 == pytest.approx(mean + mean**2 * np.expm1(v), rel=0.3)


def test_an_unseen_group_has_the_interval_of_its_population(cbpp):
    new = cbpp.design.frame.iloc[[0]].assign(herd="new")
    table = cbpp.with_uncertainty("given theta").predict(new, new_levels="sample", kind="link", se=True)
    x, sd = cbpp.design.X[0], cbpp.varcorr["sdcor"].iloc[0]
    expected = np.sqrt(x @ cbpp.vcov.to_numpy() @ x + sd**2)
    assert table["se"].iloc[0] == pytest.approx(expected, rel=1e-8)
    full = cbpp.predict(new, new_levels="sample", kind="link", se=True)
    assert full["se"].iloc[0] > expected  # a standard deviation among 15 herds may be larger


def test_intervals_of_means_are_those_of_effects_of_the_linear_predictor(cbpp):
    rows = cbpp.design.frame.iloc[:5]
    table = cbpp.predict(rows, kind="link", interval="confidence", level=0.9)
    found = cbpp.with_uncertainty("full").apply(cbpp.design_for(rows))
    np.testing.assert_allclose(table[["lower", "upper"]], found.interval(0.9), rtol=1e-10)


def test_what_is_no_kind_of_groups_is_refused(cbpp):
    with pytest.raises(OptionError, match="groups"):
        cbpp.predict(groups="everybody")
