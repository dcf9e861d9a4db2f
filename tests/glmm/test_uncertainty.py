"""Theta's uncertainty in what a generalised linear mixed model answers: nodes, estimates, draws, effects."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, OptionError
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.theta_density import ThetaDensity
from mixedfx.glmm.theta_nodes import theta_nodes
from tests.glmm.coverage import FORMULA, LEVEL, QUESTIONS, binary_ladder, coverage
from tests.glmm.data import classic


@pytest.fixture(scope="module")
def cbpp():
    return mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial")


@pytest.fixture(scope="module")
def ticks():
    return mx.glmer("TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", classic("grouseticks"), "negbinomial")


@pytest.fixture(scope="module")
def ladder():
    data = binary_ladder(np.random.default_rng([3, 15]))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer(FORMULA, data, family="bernoulli")


def test_density_integrates_gamma_out_of_the_criterion(cbpp):
    """By brute force: cubature over gamma at phi, against the parabola; both up to the same constant at two phi."""
    density = ThetaDensity.of(cbpp.solution)
    found, brute = [], []
    for phi in (np.array([-0.6]), np.array([0.1])):
        found.append(density.profile(phi).value)
        rest = density.parameters(phi[None])[0]
        best = density.profile(phi).psi[:4]
        own = density.joint(phi).evaluation.S
        root = np.linalg.inv(np.linalg.cholesky(own)).T
        x, w = np.polynomial.hermite_e.hermegauss(5)
        grid = np.stack(np.meshgrid(x, x, x, x, indexing="ij"), -1).reshape(-1, 4)
        weight = np.prod(np.stack(np.meshgrid(w, w, w, w, indexing="ij"), -1).reshape(-1, 4), axis=1)
        values = [
            -evaluate(cbpp.solution.model, np.concatenate([best + root @ e, rest]), second=False).criterion / 2
            for e in grid
        ]
        terms = np.array(values) + (grid**2).sum(axis=1) / 2
        brute.append(np.log(weight @ np.exp(terms - terms.max())) + terms.max() - np.linalg.slogdet(own)[1] / 2)
    # what is left is the third order of the criterion in gamma, which moves little with phi
    assert found[1] - found[0] == pytest.approx(brute[1] - brute[0], abs=0.03)


def test_nodes_have_the_moments_of_the_density(cbpp):
    """By adaptive quadrature over the only coordinate; 64 evenly spread nodes are good to a hundredth of an sd."""
    nodes = theta_nodes(cbpp.solution)
    density = ThetaDensity.of(cbpp.solution)
    top = density.log_density(nodes.nodes.points).max()

    def moment(power):
        def integrand(x):
            return x**power * float(np.exp(density.log_density(np.array([[x]]))[0] - top))

        return integrate.quad(integrand, -5, 2.5, epsabs=1e-6, limit=60)[0]

    total, first, second = (moment(k) for k in range(3))
    sd = np.sqrt(second / total - (first / total) ** 2)
    assert nodes.trusted
    assert nodes.weights.sum() == pytest.approx(1.0)
    assert nodes.weights @ nodes.nodes.points[:, 0] == pytest.approx(first / total, abs=0.03 * sd)
    spread = np.sqrt(nodes.weights @ (nodes.nodes.points[:, 0] - first / total) ** 2)
    assert spread == pytest.approx(sd, rel=0.05)


def test_nodes_hold_auxiliary_parameters_and_are_the_same_at_every_call(ticks):
    nodes, again = theta_nodes(ticks.solution), theta_nodes(ticks.solution)
    np.testing.assert_array_equal(nodes.nodes.points, again.nodes.points)
    assert nodes.auxiliary.shape == (len(nodes), 1)
    mean = np.exp(nodes.weights @ np.log(nodes.auxiliary[:, 0]))
    assert mean == pytest.approx(ticks.auxiliary["shape"], rel=0.1)  # a standard error is 16 %


def test_numbers_of_fixed_effects_alone_are_those_of_tidy(ticks):
    rows = ticks.design_for(None).take(np.arange(3)).without_random()
    full = ticks.with_uncertainty("full").apply(rows)
    x = ticks.design.X[:3]
    expected = np.sqrt(np.einsum("np,pq,nq->n", x, ticks.vcov.to_numpy(), x))
    np.testing.assert_allclose(full.sd, expected, rtol=1e-10)
    np.testing.assert_allclose(full.interval(0.95)[:, 1] - full.mean, 1.959964 * expected, rtol=1e-6)


def test_estimate_stays_and_intervals_widen(ladder):
    rows = ladder.design_for(None).take(np.arange(0, 3000, 300))
    full, given = (ladder.with_uncertainty(u).apply(rows) for u in ("full", "given theta"))
    np.testing.assert_allclose(full.mean, given.mean, rtol=1e-12)
    assert (full.sd > 0.95 * given.sd).all()
    assert np.median(full.sd / given.sd) > 1.01


def test_draws_agree_with_moments(ladder):
    rows = ladder.design_for(None).take(np.arange(0, 3000, 600))
    full = ladder.with_uncertainty("full").apply(rows)
    draws = full.draws(8000, seed=1)
    # 8,000 draws: means within .011 sd and sds within .8 %; four times that
    np.testing.assert_allclose(draws.mean(axis=0), full.mean, atol=0.05 * full.sd.max())
    np.testing.assert_allclose(draws.std(axis=0), full.sd, rtol=0.04)
    np.testing.assert_allclose(np.cov(draws.T), full.cov, atol=0.06 * full.sd.max() ** 2)


def test_joint_sample_has_the_factors_of_its_nodes(ticks):
    view = ticks.with_uncertainty("full")
    sample = view.joint_sample(2000, seed=2)
    sds = sample.factors[0][:, 0, 0]
    assert len(np.unique(sds.round(12))) > 20
    assert sds.std() > 0.05
    assert len(np.unique(sample.auxiliary["shape"])) > 20
    given = ticks.with_uncertainty("given theta").joint_sample(10, seed=2)
    assert given.factors[0].shape == (1, 1, 1)
    # without being moved to the estimates, beta is that of its node
    free = view.joint_sample(4000, seed=2, about_estimate=False)
    mean = view.uncertain.nodes.mean_effects[0]
    np.testing.assert_allclose(free.beta.mean(axis=0), mean, atol=0.07 * np.sqrt(np.diag(ticks.vcov)).max())


def test_effects_of_a_binary_outcome_take_seconds_and_no_seed(ladder):
    """Fit and 340 effects: under 3 s of one processor's time on 3,000 rows, here with room for a busy machine."""
    data = ladder.design.frame
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer(FORMULA, data, family="bernoulli")
        one = mx.effects(fit, "z", by=QUESTIONS, level=LEVEL)
    assert time.process_time() - start < 6.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        other = mx.effects(ladder, "z", by=QUESTIONS, level=LEVEL)
        given = mx.effects(ladder, "z", by=QUESTIONS, level=LEVEL, uncertainty="given theta")
    pd.testing.assert_frame_equal(one.table, other.table)
    width = other.table["upper"] - other.table["lower"]
    assert (width / (given.table["upper"] - given.table["lower"])).median() > 1.05
    assert "theta is estimated is included" in other.table.attrs["uncertainty"]


def test_integrated_effects_agree_with_integrated_predictions(ladder):
    """The mean of draws of an average against the average at the estimates: within a third of its standard error."""
    frame = ladder.design.frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        table = mx.effects(ladder, "z", groups="integrate").table
    means = [ladder.predict(frame.assign(z=z), groups="integrate").mean() for z in (0, 1)]
    assert table["estimate"].iloc[0] == pytest.approx(means[1] - means[0], abs=table["sd"].iloc[0] / 3)


def test_ratios_and_odds_ratios_are_of_the_averages(cbpp):
    rows = cbpp.design.frame
    p, q = (cbpp.predict(rows.assign(period=one)).mean() for one in ("1", "2"))
    ratio = mx.effects(cbpp, {"period": ["1", "2"]}, comparison="ratio", weights=1.0).table["estimate"].iloc[0]
    odds = mx.effects(cbpp, {"period": ["1", "2"]}, comparison="odds_ratio", weights=1.0).table["estimate"].iloc[0]
    assert ratio == pytest.approx(q / p, rel=0.06)
    assert odds == pytest.approx(q / (1 - q) / (p / (1 - p)), rel=0.06)


def test_quadrature_has_nodes_of_its_own_likelihood():
    fit = mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial", nAGQ=9)
    nodes = theta_nodes(fit.solution)
    laplace = theta_nodes(
        mx.glmer("incidence | trials(size) ~ period + (1 | herd)", classic("cbpp"), "binomial").solution
    )
    assert nodes.trusted
    ours, theirs = (n.weights @ n.nodes.points[:, 0] for n in (nodes, laplace))
    assert 0.0 < ours - theirs < 0.1  # Laplace's standard deviation is a little too small


def test_unknown_uncertainty_is_refused(cbpp):
    with pytest.raises(OptionError, match="uncertainty"):
        cbpp.with_uncertainty("all")


@pytest.mark.slow
def test_coverage_of_effects_on_a_binary_outcome(request, capsys, record_property):
    """40 data sets of 339 subgroups: 90 % intervals hold 87 to 93 in 100 of the effects by group and cell.

    The standard error over data sets, which share their groups, is about .012 for groups and .005 for cells; for x1:x2
    and the population, a few numbers for each data set, .03 to .05.
    """
    table = coverage(40, request.config.cache.mkdir("glmm-ladder"))
    record_property("coverage", table.round(3).to_string())
    with capsys.disabled():
        print(f"\n{table.round(3).to_string()}")
    covered = table["covered"]
    full, given = covered["theta included"], covered["given theta"]
    assert ((full[["x3", "x4", "x3:x4"]] - LEVEL).abs() < 0.03 + 0.02).all()
    assert ((full[["x1:x2", "population"]] - LEVEL).abs() < 0.1).all()
    assert (given[["x3", "x4", "x3:x4"]] < full[["x3", "x4", "x3:x4"]] - 0.04).all()
