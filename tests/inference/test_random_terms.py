"""Tests of random terms and comparisons of fits: mixtures, simulated null distributions, refusals."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx
from mixedfx.errors import DataError, ModelError, NestingWarning, OptionError, RefittedWarning
from mixedfx.inference.likelihood_ratio import mixture_probability


def data(seed, sd, groups=8, size=6):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    frame = pd.DataFrame({"g": g.astype(str), "x": rng.normal(size=groups * size)})
    return frame.assign(y=sd * rng.normal(size=groups)[g] + rng.normal(size=groups * size))


def quiet(formula, frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mx.errors.MixedfxWarning)
        return mx.lmer(formula, frame, **options)


def test_the_mixture_is_half_of_each_chi_square():
    expected = (stats.chi2.sf(3.0, 1) + stats.chi2.sf(3.0, 2)) / 2
    assert mixture_probability(3.0, 1, 1) == pytest.approx(expected)
    assert mixture_probability(2.0, 1, 0) == pytest.approx(stats.chi2.sf(2.0, 1) / 2)
    assert mixture_probability(0.0, 1, 0) == 1.0
    assert np.isnan(mixture_probability(3.0, 2, 1))


def test_the_simulated_p_of_one_variance_is_exact_for_balanced_data():
    """One-way balanced REML: the statistic is a monotone function of the F ratio, whose distribution is known."""
    frame = data(4, 0.6)
    fit = mx.lmer("y ~ 1 + (1 | g)", frame)
    found = fit.ranova(simulate=4000, seed=1)
    row = found.iloc[1]
    means = frame.groupby("g")["y"].transform("mean")
    F = ((means - frame["y"].mean()) ** 2).sum() / 7 / (((frame["y"] - means) ** 2).sum() / 40)
    assert fit.theta.iloc[0] > 0
    exact = stats.f.sf(F, 7, 40)
    assert 0.001 < exact < 0.3
    # within four of its own Monte Carlo standard errors
    assert abs(row["p_simulated"] - exact) < 4 * row["mc_error"]
    assert row["mc_error"] == pytest.approx(np.sqrt(row["p_simulated"] * (1 - row["p_simulated"]) / 4000))
    assert fit.ranova(simulate=50, seed=1).equals(fit.ranova(simulate=50, seed=1))
    assert "p_simulated" not in fit.ranova()


def test_a_variance_on_zero_has_p_one_by_every_method():
    frame = data(1, 0.0)
    frame["y"] -= frame.groupby("g")["y"].transform("mean")
    row = quiet("y ~ x + (1 | g)", frame).ranova(simulate=200, seed=2).iloc[1]
    assert row["lrt"] == pytest.approx(0.0, abs=1e-8)
    assert (row["p_value"], row["p_mixture"], row["p_simulated"]) == pytest.approx((1.0, 1.0, 1.0), abs=1e-3)


def test_the_simulated_statistic_of_a_slope_lies_near_its_mixture():
    """A slope with its covariance: asymptotically half chi square 1, half 2; for few groups a little below."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(40), 8)
    x = np.tile(np.arange(8.0), 40)
    u = rng.normal(size=(2, 40)) * [[1.0], [0.08]]
    frame = pd.DataFrame({"g": g.astype(str), "x": x, "y": u[0][g] + u[1][g] * x + rng.normal(size=320)})
    row = mx.lmer("y ~ x + (x | g)", frame).ranova(simulate=1000, seed=1).iloc[1]
    assert row["term"] == "x in (1 + x | g)"
    assert 0.005 < row["p_mixture"] < 0.6
    # asymptotics with 40 groups and 1,000 simulations: within 0.05
    assert row["p_simulated"] == pytest.approx(row["p_mixture"], abs=0.05)
    assert row["p_mixture"] < row["p_value"]


def test_terms_of_a_correlated_factor_go_together_and_have_no_simple_mixture():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"g": rng.choice(list("abcdefghij"), 300), "f": rng.choice(list("xyz"), 300)})
    frame["y"] = rng.normal(size=300) + frame["g"].map(dict(zip("abcdefghij", rng.normal(size=10), strict=True)))
    found = quiet("y ~ f + (f | g)", frame).ranova()
    assert found["term"].tolist() == ["<none>", "f in (1 + f | g)"]
    assert found["df"][1] == 5
    assert np.isnan(found["p_mixture"][1])


def test_crossed_terms_are_tested_one_by_one():
    frame = data(2, 1.0)
    frame["h"] = np.tile(list("abcdef"), 8)
    found = quiet("y ~ x + (1 | g) + (1 | h)", frame).ranova(simulate=20, seed=1)
    assert found["term"].tolist() == ["<none>", "(1 | g)", "(1 | h)"]
    assert found["p_simulated"][1] == pytest.approx(1 / 21)


def test_random_terms_are_needed_and_the_number_of_simulations_is_checked():
    with pytest.raises(ModelError, match="no random term"):
        mx.lmer("y ~ x", data(1, 1.0)).ranova()
    with pytest.raises(OptionError, match="simulate=-1"):
        mx.lmer("y ~ x + (1 | g)", data(1, 1.0)).ranova(simulate=-1)


def test_likelihood_ratios_need_the_same_response_weights_and_offset():
    frame = data(1, 1.0)
    fit = mx.lmer("y ~ x + (1 | g)", frame, REML=False)
    with pytest.raises(DataError, match=r"40 and 48 rows"):
        mx.anova(fit, mx.lmer("y ~ 1 + (1 | g)", frame.iloc[:40], REML=False))
    with pytest.raises(DataError, match="different responses"):
        mx.anova(fit, mx.lmer("I(2 * y) ~ 1 + (1 | g)", frame, REML=False))
    with pytest.raises(DataError, match="weights or offsets"):
        mx.anova(fit, mx.lmer("y ~ 1 + (1 | g)", frame, REML=False, weights=np.linspace(1, 2, 48)))
    with pytest.raises(OptionError, match="fit1"):
        mx.anova(fit, "y ~ 1")


def test_models_that_are_not_nested_are_warned_about():
    frame = data(1, 1.0).assign(z=np.random.default_rng(9).normal(size=48))
    x, z = (mx.lmer(f"y ~ {name} + (1 | g)", frame, REML=False) for name in "xz")
    with pytest.warns(NestingWarning, match="not seen to be nested"):
        table = mx.anova(x, z)
    assert table["p_value"].isna().all()
    # a correlated slope is not nested in an uncorrelated one, the other way round it is
    correlated, diagonal = (quiet(f"y ~ x + (x {bar} g)", frame, REML=False) for bar in ("|", "||"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mx.anova(correlated, diagonal)["df"][1] == 1
        assert mx.anova(diagonal, mx.lmer("y ~ 1", frame, REML=False))["df"][1] == 3


def test_reml_fits_are_refitted_and_it_is_said_or_compared_where_they_can_be():
    frame = data(1, 1.0)
    small, large = (mx.lmer(f"y ~ {fixed} + (1 | g)", frame) for fixed in ("1", "x"))
    by_ml = [mx.lmer(f"y ~ {fixed} + (1 | g)", frame, REML=False) for fixed in ("1", "x")]
    with pytest.warns(RefittedWarning, match="2 fit"):
        found = mx.anova(small, large)
    np.testing.assert_allclose(found["deviance"], [fit.criterion for fit in by_ml], rtol=1e-9)
    with pytest.raises(OptionError, match="different fixed parts"):
        mx.anova(small, large, refit=False)
    with pytest.raises(OptionError, match="some by maximum likelihood"):
        mx.anova(small, by_ml[1], refit=False)
    same = mx.anova(large, mx.lmer("y ~ x", frame), refit=False)
    assert same["chisq"][1] == pytest.approx(large.ranova()["lrt"][1], abs=1e-7)
    pd.testing.assert_frame_equal(mx.anova(large), large.anova())
