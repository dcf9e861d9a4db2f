"""Refits together are those one by one; likelihood-ratio tests by bootstrap count simulations and failures."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedfx as mx
from mixedfx.errors import FewGroupsWarning, MixedfxWarning, OptionError, ResamplingWarning
from mixedfx.glmm import batch, random_tests
from mixedfx.glmm.bootstrapping import TOGETHER
from mixedfx.glmm.refits import many, one_by_one
from tests.glmm.data import classic


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return function(*args, **options)


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")


def simulated(rng, groups, size, sd, slope_sd=0.0):
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=len(g))
    eta = 0.2 + 0.4 * x + sd * rng.normal(size=groups)[g] + slope_sd * rng.normal(size=groups)[g] * x
    frame = pd.DataFrame({"x": x, "t": (g % 2).astype(float), "g": g.astype(str), "m": rng.integers(1, 6, len(g))})
    frame["b"] = (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int)
    frame["k"] = rng.binomial(frame["m"], 1 / (1 + np.exp(-eta)))
    frame["n"] = rng.poisson(np.exp(0.3 * eta))
    return frame


def assert_same(together, alone):
    """Both minimise to about 1e-8 of the criterion, which leaves 1e-4 of a standard error in the estimates.

    Of responses that groups all but decide (sds above 4) the criterion is flat, and only it is compared.
    """
    both = together.converged & alone.converged
    assert both.mean() > 0.9
    np.testing.assert_allclose(together.criterion[both], alone.criterion[both], atol=2e-6)
    both &= (np.abs(alone.theta) < 4).all(axis=1) & (np.abs(alone.beta) < 8).all(axis=1)
    np.testing.assert_allclose(together.beta[both], alone.beta[both], atol=5e-3)
    np.testing.assert_allclose(together.theta[both] ** 2, alone.theta[both] ** 2, rtol=2e-3, atol=1e-2)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    groups=st.integers(5, 30),
    size=st.integers(2, 12),
    sd=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    what=st.sampled_from(["b", "k | trials(m)", "n"]),
    term=st.sampled_from(["(1 | g)", "(1 + x | g)", "(1 + x || g)", "(0 + x | g)"]),
)
def test_refits_together_are_those_one_by_one(seed, groups, size, sd, what, term):
    data = simulated(np.random.default_rng(seed), groups, size, sd, sd / 2)
    family = {"b": "bernoulli", "k | trials(m)": "binomial", "n": "poisson"}[what]
    try:
        fit = quietly(mx.glmer, f"{what} ~ x + offset(0.1 * x) + {term}", data, family)
    except mx.errors.MixedfxError:
        return
    assert batch.can_batch(fit.solution)
    Y = fit.simulate(12, seed=seed).to_numpy()
    assert_same(quietly(many, fit.design, fit.solution, Y), quietly(one_by_one, fit.design, fit.solution, Y))


def test_gradients_of_all_replicates_are_those_of_differences(monkeypatch):
    """Five-point differences with steps of 1e-3 leave 1e-8 of the criterion, at modes that are exact."""
    monkeypatch.setattr(batch, "DECREMENT", 1e-22)
    data = simulated(np.random.default_rng(1), 9, 8, 1.0, 0.5)
    fit = quietly(mx.glmer, "b ~ x + (1 + x | g)", data, "bernoulli")
    engine = batch._Engine(fit.solution.model)
    y = fit.simulate(3, seed=1).to_numpy()[fit.solution.model.rows.order].T
    psi = fit.solution.psi + 0.2 * np.random.default_rng(2).normal(size=(3, len(fit.solution.psi)))
    v = np.zeros((3, engine.q, engine.k))

    def at(x):
        return engine.evaluate(y, engine.constants(y), x, v)

    found = at(psi).gradient
    for j, unit in enumerate(np.eye(psi.shape[1])):
        sides = {h: at(psi + h * 1e-3 * unit).criterion for h in (-2, -1, 1, 2)}
        wanted = (8 * (sides[1] - sides[-1]) - (sides[2] - sides[-2])) / 12e-3
        np.testing.assert_allclose(found[:, j], wanted, atol=2e-7)


def test_the_criterion_at_the_estimate_is_the_fit_s(cbpp):
    engine, solution = batch._Engine(cbpp.solution.model), cbpp.solution
    y = cbpp.design.y[solution.model.rows.order][None]
    found = engine.evaluate(y, engine.constants(y), solution.psi[None], np.zeros((1, engine.q, engine.k)))
    assert found.criterion[0] == pytest.approx(184.052564, abs=2e-6)
    assert np.abs(found.gradient).max() < 1e-3


def test_a_thousand_refits_of_cbpp_are_quick(cbpp):
    """0.6 s of processor time on an idle core; one by one they take fifteen."""
    Y = cbpp.simulate(1000, seed=1)
    begin = time.process_time()
    found = cbpp.refits(Y)
    assert time.process_time() - begin < 5.0
    assert found.converged.mean() > 0.99


def test_others_are_refitted_one_by_one():
    """Several factors, quadrature, other links, a prior: not of the kind that is one array."""
    data = simulated(np.random.default_rng(4), 12, 6, 1.0).assign(h=lambda d: np.arange(len(d)) % 5)
    data["h"] = data["h"].astype(str)
    for text, options in (
        ("b ~ x + (1 | g) + (1 | h)", {"family": "bernoulli"}), ("b ~ x + (1 | g)", {"family": "bernoulli", "nAGQ": 5}),
        ("b ~ x + (1 | g)", {"family": "bernoulli", "link": "probit"}), ("b ~ x", {"family": "bernoulli"}),
        ("b ~ x + (1 | g)", {"family": "bernoulli", "priors": "default"}),
        ("n ~ x + (1 | g)", {"family": "negbinomial"}),
    ):  # fmt: skip
        fit = quietly(mx.glmer, text, data, **options)
        assert not batch.can_batch(fit.solution)
        assert len(quietly(fit.refits, fit.simulate(2, seed=1))) == 2


# --- likelihood-ratio tests -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def pair():
    data = simulated(np.random.default_rng(6), 10, 8, 1.0)
    return [quietly(mx.glmer, f"b ~ {x} + (1 | g)", data, "bernoulli") for x in ("x", "x + t")]


def test_p_values_are_the_share_of_simulated_statistics(pair):
    small, large = pair
    table = mx.anova(small, large, bootstrap=199, seed=3)
    seeds, sizes = np.random.SeedSequence(3).spawn(2), (TOGETHER, 199 - TOGETHER)  # blocks have seeds of their own
    blocks = [random_tests.null_block(large.solution, small.solution, *one) for one in zip(sizes, seeds, strict=True)]
    null = np.concatenate(blocks)
    assert len(null) == 199
    assert table["p_bootstrap"][1] == (1 + np.sum(null >= table["chisq"][1] - 1e-6)) / 200
    p = table["p_bootstrap"][1]
    assert table["mc_error"][1] == pytest.approx(np.sqrt(p * (1 - p) / 199))
    assert np.isnan(table["p_bootstrap"][0])
    pd.testing.assert_frame_equal(table, mx.anova(large, small, bootstrap=199, seed=3))


def test_statistics_together_are_those_one_by_one(pair, monkeypatch):
    small, large = pair
    seeds = np.random.SeedSequence(1)
    together = random_tests.null_block(large.solution, small.solution, 20, seeds)
    monkeypatch.setattr(random_tests, "can_batch", lambda solution: False)
    alone = random_tests.null_block(large.solution, small.solution, 20, seeds)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_refits_that_fail_are_counted(pair, monkeypatch):
    small, large = pair

    def half(*args):
        return np.where(np.arange(50) % 2, np.nan, 100.0)

    monkeypatch.setattr("mixedfx.glmm.comparison.null_block", half)
    with pytest.warns(ResamplingWarning, match="25 of 50"):
        table = mx.anova(small, large, bootstrap=50, seed=1)
    assert table["p_bootstrap"][1] == 1.0


def test_few_groups_are_said_without_a_bootstrap(pair):
    with pytest.warns(FewGroupsWarning, match=r"10 levels of 'g'.*bootstrap=1000"):
        mx.anova(*pair)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FewGroupsWarning)
        mx.anova(*pair, bootstrap=20, seed=1)
        many_groups = simulated(np.random.default_rng(8), 40, 4, 1.0)
        mx.anova(*(quietly(mx.glmer, f"b ~ {x} + (1 | g)", many_groups, "bernoulli") for x in ("1", "x")))


def test_random_terms_and_several_models_are_tested_alike():
    """A model without random terms is below them; the boundary's p value is about half of chi square's."""
    data = simulated(np.random.default_rng(12), 15, 6, 0.4)
    models = [
        quietly(mx.glmer, text, data, "bernoulli") for text in ("b ~ x", "b ~ x + (1 | g)", "b ~ x + t + (1 | g)")
    ]
    table = quietly(mx.anova, *models, bootstrap=60, seed=2)
    assert table["p_bootstrap"][1:].between(1 / 61, 1).all()


def test_linear_mixed_models_too():
    course = mx.datasets.load("flipped_classroom", plan="crossed")
    small, large = (mx.lmer(f"score ~ {x} + (1 | professor)", course) for x in ("1", "style"))
    table = quietly(mx.anova, small, large, bootstrap=500, seed=1)
    assert table["p_bootstrap"][1] == 1 / 501
    noise = course.assign(z=np.random.default_rng(5).normal(size=len(course)))
    large = mx.lmer("score ~ z + (1 | professor)", noise)
    small = mx.lmer("score ~ 1 + (1 | professor)", noise)
    table = quietly(mx.anova, small, large, bootstrap=2000, seed=1)
    # z varies within professors, who have 375 students: chi square is right, up to 3 Monte Carlo errors
    assert table["p_bootstrap"][1] == pytest.approx(table["p_value"][1], abs=3 * table["mc_error"][1] + 0.01)
    nothing = mx.lmer("score ~ z", noise)  # least squares below, by REML: the fixed parts are the same
    table = quietly(mx.anova, nothing, large, refit=False, bootstrap=99, seed=1)
    assert table["p_bootstrap"][1] == 0.01


def test_processes_do_not_change_the_answer(pair):
    one, two = (mx.anova(*pair, bootstrap=40, seed=9, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("options", [{"bootstrap": -1}, {"bootstrap": 1.5}, {"bootstrap": True, "seed": "x"}])
def test_numbers_that_are_none_are_refused(pair, options):
    with pytest.raises(OptionError):
        mx.anova(*pair, **options)
    with pytest.raises(OptionError, match="two fits"):
        mx.anova(pair[0], bootstrap=10)


@pytest.mark.slow
def test_the_bootstrap_has_its_size_with_ten_groups(tmp_path):
    """Of 1,000 data sets without an effect 4 to 6 % are rejected, where chi square rejects more."""
    from tests.glmm.bootstrap_lrt import type_one_errors

    table = type_one_errors(1000, tmp_path)
    assert 0.035 <= table.loc["bootstrap", "rejected"] <= 0.065  # twice the error of 1,000 data sets
    assert table.loc["chi_square", "rejected"] > table.loc["bootstrap", "rejected"]
