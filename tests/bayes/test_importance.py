"""Importance sampling of generalised linear mixed models: unbiased integrals, exact posteriors, and refusals.

Where posteriors are compared, an answer may differ by four Monte Carlo errors, those of both sides added in squares.
"""

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.importance import engine
from mixedfx.bayes.importance.engine import forecast
from mixedfx.bayes.importance.importance_course import ImportanceSampling
from mixedfx.bayes.importance.levels import COMPILED_FROM, Rule, _compiled, _vectorised, level_integrals
from mixedfx.bayes.importance.modes import find_modes
from mixedfx.bayes.importance.second import first_factor
from mixedfx.errors import ImportanceError, MixedfxWarning, OptionError, SamplingWarning
from tests.bayes.importance_designs import target_of

HERE = Path(__file__).resolve().parents[1]
REFERENCE = json.loads((HERE / "reference" / "bayes" / "bayes_rstanarm_cbpp.json").read_text())["summary"]
CBPP = pd.read_csv(HERE / "data" / "cbpp.csv").astype({"herd": str, "period": str})
MODEL = "incidence | trials(size) ~ period + (1 | herd)"
FIXED = {"intercept": priors.normal(0.0, 1.5), "coef": priors.normal(0.0, 1.0), "sd": priors.half_normal(1.5)}


def successes(rng, levels, rows, sd=1.0, family="bernoulli"):
    """y ~ x + (1 + x | g): `rows` rows in each of the levels."""
    g = np.repeat(np.arange(levels), rows)
    x = rng.normal(size=len(g))
    eta = 0.3 + 0.5 * x + sd * rng.normal(size=levels)[g] + 0.5 * sd * rng.normal(size=levels)[g] * x
    y = {
        "bernoulli": lambda: rng.binomial(1, special.expit(eta)),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "negbinomial": lambda: rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta))),
        "gamma": lambda: rng.gamma(3.0, np.exp(eta) / 3.0),
        "beta": lambda: rng.beta(5 * special.expit(eta), 5 * special.expit(-eta)).clip(1e-6, 1 - 1e-6),
    }[family]()
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{j:03d}" for j in g]})


@pytest.fixture(scope="module")
def small():
    return successes(np.random.default_rng(2), 6, 4)


@pytest.fixture(scope="module")
def cbpp_fit():
    return mx.bayes(MODEL, CBPP, family="binomial", priors="rstanarm", seed=1)


# --- the integral ----------------------------------------------------------------------------------------------------
def by_quadrature(target, psi, nodes=61):
    """Log likelihood of a model with one factor at one point (size,), and posterior means (k, J) of its v."""
    rows, F, base = target.rows, target.factors(psi[None])[0][0], target.base(psi[None])[:, 0]
    x, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([part.ravel() for part in np.meshgrid(*[x] * rows.k, indexing="ij")])
    log_weight = np.log(weight / weight.sum())
    log_weight = sum(part.ravel() for part in np.meshgrid(*[log_weight] * rows.k, indexing="ij"))
    eta = base[:, None] + rows.z @ F @ grid
    values = rows.sums @ rows.density.family.log_density(rows.density.y, eta.T, {}, rows.density.facts).T + log_weight
    whole = special.logsumexp(values, axis=1)
    return whole.sum(), grid @ np.exp(values - whole[:, None]).T


@pytest.mark.parametrize("pairs", [1, 4, 16])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (1 + x | g)"])
def test_the_integral_over_levels_is_unbiased_and_its_draws_are_exact(small, formula, pairs):
    """20,000 estimates at one point: their mean is the integral, weighted draws have the means of the effects."""
    target = target_of(formula, small, "bernoulli", FIXED)
    psi = 0.4 * np.random.default_rng(3).normal(size=target.size) + 0.3
    exact, means = by_quadrature(target, psi)
    many = np.repeat(psi[None], 20_000, axis=0)
    v = np.zeros((target.rows.k, target.rows.n_levels, len(many)))
    args = (target.rows, target.base(many), first_factor(target.rows, target.factors(many)), {}, v, 2, Rule(pairs))
    log_integral, drawn = level_integrals(*args, np.random.default_rng(4))
    ratio = np.exp(log_integral - exact)
    error = ratio.std() / np.sqrt(len(ratio))
    assert abs(ratio.mean() - 1.0) < 4 * error + 1e-9  # quadrature is exact to far more digits than that
    weighted = (ratio * drawn).mean(axis=2) / ratio.mean()
    spread = (ratio * (drawn - weighted[:, :, None])).std(axis=2) / np.sqrt(len(ratio))
    assert np.all(np.abs(weighted - means) < 4.5 * spread)


def test_more_points_leave_less_variance(small):
    target = target_of("y ~ x + (1 + x | g)", small, "bernoulli", FIXED)
    psi = np.repeat(np.full((1, target.size), 0.3), 2000, axis=0)
    rng, start = np.random.default_rng(1), target.nowhere
    variance = [target.estimates(psi, start, Rule(pairs), rng, prior=False)[0].var() for pairs in (1, 4, 16, 32)]
    assert variance[0] > 2 * variance[2] > 2 * variance[3]
    assert variance[3] < 0.02


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "negbinomial", "gamma"])
@pytest.mark.parametrize("pairs", [1, 4])
def test_compiled_loops_are_their_vectorised_twin(family, pairs):
    target = target_of("y ~ x + (1 + x | g)", successes(np.random.default_rng(5), 9, 7, family=family), family)
    rng = np.random.default_rng(6)
    psi = 0.3 * rng.normal(size=(5, target.size))
    J, k = target.rows.n_levels, target.rows.k
    F, aux, v = target.factors(psi)[0], target.aux(psi), 0.2 * rng.normal(size=(k, J, 5))
    args = (target.rows, target.base(psi), F, aux, v, 2, Rule(pairs), rng.random((5, J, k)), rng.random((5, J)))
    one, two = _vectorised(*args), _compiled(*args)
    # the same sums in another order: digits of sums of some 60 terms
    np.testing.assert_allclose(one[0], two[0], rtol=1e-11)
    np.testing.assert_allclose(one[1], two[1], atol=1e-10)


def test_compiled_loops_take_trials():
    target = target_of(MODEL, CBPP, "binomial")
    rng = np.random.default_rng(6)
    psi, J = 0.3 * rng.normal(size=(4, target.size)), target.rows.n_levels
    args = (target.rows, target.base(psi), target.factors(psi)[0], {}, np.zeros((1, J, 4)), 2, Rule(4))
    rest = (rng.random((4, J, 1)), rng.random((4, J)))
    np.testing.assert_allclose(_vectorised(*args, *rest)[0], _compiled(*args, *rest)[0], rtol=1e-11)


def crossed(rng):
    """Eight persons who answer each of three items twice."""
    p, i = np.repeat(np.arange(8), 6), np.tile([0, 1, 2], 16)
    eta = 0.2 + rng.normal(size=8)[p] + rng.normal(size=3)[i]
    return pd.DataFrame({"y": rng.binomial(1, special.expit(eta)), "p": p.astype(str), "i": i.astype(str)})


def test_the_integral_with_crossed_factors_is_unbiased():
    """Against quadrature over three items, with quadrature over each person given them."""
    target = target_of("y ~ 1 + (1 | p) + (1 | i)", crossed(np.random.default_rng(7)), "bernoulli", FIXED)
    psi = np.array([0.2, 0.1, -0.2])
    x, weight = np.polynomial.hermite_e.hermegauss(21)
    items = np.stack([part.ravel() for part in np.meshgrid(x, x, x, indexing="ij")])
    log_items = sum(np.log(part / weight.sum()).ravel() for part in np.meshgrid(weight, weight, weight, indexing="ij"))
    rows = target.rows
    persons, other = (f[0, 0, 0] for f in target.factors(psi[None]))
    base, y = target.base(psi[None]) + other * (rows.Z2 @ items), rows.density.y[:, None]
    inner = [rows.sums @ (y * e - np.logaddexp(0, e)) + np.log(w / weight.sum())
             for z, w in zip(x, weight, strict=True) for e in [base + persons * z]]  # fmt: skip
    given = special.logsumexp(inner, axis=0)
    exact = special.logsumexp(given.sum(axis=0) + log_items)
    many = np.repeat(psi[None], 20_000, axis=0)
    found, u = target.estimates(many, target.nowhere, Rule(4), np.random.default_rng(8), prior=False)
    ratio = np.exp(found - exact)
    assert abs(ratio.mean() - 1.0) < 4 * ratio.std() / np.sqrt(len(ratio))
    shares = np.exp(given.sum(axis=0) + log_items - exact)
    drawn = u[:, 8:]
    means = ratio @ drawn / ratio.sum()
    spread = (ratio[:, None] * (drawn - means)).std(axis=0) / np.sqrt(len(ratio))
    assert np.all(np.abs(means - other * (items @ shares)) < 4 * spread)


@pytest.mark.parametrize("formula", ["y ~ x + (1 + x | g) + (1 | h)", "y ~ x + (1 | g) + (1 + x | h)"])
def test_laplace_is_glmers_and_what_it_lacks_is_what_glmer_reports(formula):
    """Laplace's criterion at glmer's estimate to the digits of its optimiser; the rest by its second-order term."""
    rng = np.random.default_rng(9)
    data = successes(rng, 40, 8).assign(h=rng.integers(0, 10, 320).astype(str))
    target = target_of(formula, data, "bernoulli")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # singular fits are fits
        fit = mx.glmer(formula, data, "bernoulli")
    phi = target.coordinates.from_used(1.0, fit.solution.evaluation.mode.T, least=1e-4, steepest=6.0)
    psi = np.concatenate([target.R @ np.asarray(fit.fixef), phi])[None]
    log_prior = target.log_prior(psi)
    laplace = target.laplace(psi, target.nowhere)[0] - log_prior
    assert laplace[0] == pytest.approx(fit.loglik, abs=5e-3)  # correlations of one are moved inside
    many = np.repeat(psi, 3000, axis=0)
    found = target.estimates(many, target.effects(psi[0], target.nowhere), Rule(4), rng, prior=False)[0]
    more = special.logsumexp(found) - np.log(len(found)) - laplace[0]
    assert more == pytest.approx(-fit.laplace_error / 2, abs=0.3 * abs(fit.laplace_error))  # of the next order


# --- the posterior ---------------------------------------------------------------------------------------------------
def test_posterior_and_evidence_of_a_tiny_model_are_those_of_dense_quadrature(small):
    """Six groups: the evidence and all posterior means over a grid of (intercept, log sd), integrals by quadrature."""
    target = target_of("y ~ 1 + (1 | g)", small, "bernoulli", FIXED)
    middle, log_sd = np.meshgrid(np.linspace(-5, 6, 45), np.linspace(-9, 2.5, 47), indexing="ij")
    points = np.column_stack([middle.ravel(), log_sd.ravel()])
    sd, (x, weight) = np.exp(points[:, 1]), np.polynomial.hermite_e.hermegauss(61)
    eta = target.base(points)[:, :, None] + sd[:, None] * x
    log_f = target.rows.density.y[:, None, None] * eta - np.logaddexp(0, eta)
    by_level = np.add.reduceat(log_f, target.rows.starts[:-1], axis=0) + np.log(weight / weight.sum())
    whole = special.logsumexp(by_level, axis=2)
    effects = sd * (np.exp(by_level - whole[:, :, None]) @ x)
    density = whole.sum(axis=0) + target.log_prior(points)
    cell = (11 / 44) * (11.5 / 46)  # smooth, so that sums are integrals to many digits
    evidence = special.logsumexp(density) + np.log(cell)
    share = np.exp(density - special.logsumexp(density))
    exact = np.r_[share @ target.beta(points)[:, 0], share @ sd, effects @ share]
    fit = mx.bayes("y ~ 1 + (1 | g)", small, "bernoulli", FIXED, draws=40_000, seed=3)
    assert fit.sampling.method == "importance"
    drawn = np.column_stack([fit.predictor.beta, fit.predictor.sd(0), fit.predictor.u])
    error = drawn.std(axis=0) / np.sqrt(min(fit.sampling.ess, 40_000))
    assert np.all(np.abs(drawn.mean(axis=0) - exact) < 4 * error)
    log_evidence = fit.log_evidence
    assert abs(log_evidence.value - evidence) < 4 * log_evidence.error
    assert log_evidence.error < 0.01


def cbpp_draws(fit, name):
    """Draws of a quantity by rstanarm's name."""
    d = fit.draws()
    if name.startswith("Sigma"):
        return d["sd", "herd", "Intercept"].ravel() ** 2
    if name.startswith("b["):
        return d["u", "herd", name[:-1].split(":")[1], "Intercept"].ravel()
    return d["beta", "Intercept" if name == "(Intercept)" else f"period[{name[-1]}]"].ravel()


@pytest.mark.parametrize(
    "row", [r for r in REFERENCE if r["par"] not in ("mean_PPD", "log-posterior")], ids=lambda r: r["par"]
)
def test_cbpp_is_rstanarms(cbpp_fit, row):
    """Means of all within .1 sd, sds and quantiles within four Monte Carlo errors of both sides."""
    x = cbpp_draws(cbpp_fit, row["par"])
    assert abs(x.mean() - row["mean"]) < 0.1 * row["sd"]
    n = 1 / (1 / row["n_eff"] + 1 / min(cbpp_fit.sampling.ess, len(x)))
    assert abs(x.std() - row["sd"]) < 4 * x.std() * np.sqrt((stats.kurtosis(x, fisher=False) - 1) / (4 * n))
    for q in (0.025, 0.975):
        at = np.quantile(x, q)
        assert abs(at - row[f"{100 * q:g}%"]) < 4 * np.sqrt(q * (1 - q) / n) / stats.gaussian_kde(x)(at)[0]


def test_cbpp_has_even_weights(cbpp_fit):
    sampling = cbpp_fit.sampling
    assert isinstance(sampling, ImportanceSampling)
    assert sampling.k_hat < 0.5
    assert sampling.ess > 0.6 * sampling.proposals
    assert sampling.forecast < 0.05  # the herds add next to nothing to the variance of the weights
    assert sampling.distinct > 0.85 * cbpp_fit.n_draws


FAMILIES = {
    "probit": (mx.families.bernoulli("probit"), "bernoulli"),
    "cloglog": (mx.families.bernoulli("cloglog"), "bernoulli"),
    "poisson": ("poisson", "poisson"),
    "negbinomial": ("negbinomial", "negbinomial"),
    "gamma": ("gamma", "gamma"),
    "beta": ("beta", "beta"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families_and_links_are_nuts_on_all_parameters(name):
    """Means of all parameters, correlated slopes with the predictor's mean away from zero, against stanli."""
    family, simulated = FAMILIES[name]
    data = successes(np.random.default_rng(11), 15, 8, sd=0.7, family=simulated)
    data["x"] = data["x"] + 1.0
    weighted, chains = (
        mx.bayes("y ~ x + (1 + x | g)", data, family, engine=engine, seed=1, progress=False)
        for engine in ("importance", "stanli")
    )
    (keys, one), (_, two) = weighted.parameters, chains.parameters
    one, two = (
        np.column_stack([one, weighted.predictor.beta, weighted.predictor.u[:, :4]]),
        np.column_stack([two, chains.predictor.beta, chains.predictor.u[:, :4]]),
    )
    assert len(keys) == 3 + len(weighted.family.auxiliary)
    n = 1 / (1 / min(weighted.sampling.ess, 4000) + 1 / chains.sampling.ess)
    sd = two.std(axis=0)
    assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 4 * sd / np.sqrt(n))
    assert np.all(np.abs(np.log(one.std(axis=0) / sd)) < 0.25)


def test_offsets_and_a_model_without_fixed_effects():
    data = successes(np.random.default_rng(12), 12, 6, family="poisson").assign(time=np.linspace(1, 3, 72))
    plain = mx.bayes("y ~ x + (1 | g)", data, "poisson", FIXED, seed=1, draws=4000)
    moved = mx.bayes("y ~ x + (1 | g)", data, "poisson", FIXED | {"intercept": priors.normal(-1.0, 1.5)}, seed=2,
                     offset=np.ones(72), draws=4000)  # fmt: skip
    gap = plain.predictor.beta.mean(axis=0) - moved.predictor.beta.mean(axis=0)
    assert np.all(np.abs(gap - [1.0, 0.0]) < 4 * plain.predictor.beta.std(axis=0) * np.sqrt(2 / 3000))
    fit = mx.bayes("y ~ 0 + offset(time) + (1 | g)", data, "poisson", FIXED, seed=1, draws=1000)
    assert fit.predictor.beta.shape == (1000, 0)
    assert fit.sampling.k_hat < 0.7


def test_draws_of_the_prior_have_its_moments(small):
    """20,000 draws: intercept at the mean of the predictor, sds, correlations and the variance of effects."""
    data = small.assign(x=small["x"] + 3.0)
    prior = mx.prior_predictive("y ~ x + (1 + x | g)", data, FIXED, draws=20_000, seed=1, family="bernoulli")
    beta = prior.predictor.beta
    at_mean = beta[:, 0] + data["x"].mean() * beta[:, 1]
    assert at_mean.std() == pytest.approx(1.5, rel=0.02)  # four errors of an sd of 20,000 draws
    assert beta[:, 1].std() == pytest.approx(1.0, rel=0.02)
    assert prior.predictor.sd(0)[:, 1].mean() == pytest.approx(1.5 * np.sqrt(2 / np.pi), rel=0.025)
    ratio = prior.predictor.u[:, 1] / prior.predictor.sd(0)[:, 1]
    assert ratio.std() == pytest.approx(1.0, rel=0.02)
    assert prior.sampling.method == "prior"


# --- choice and refusal ----------------------------------------------------------------------------------------------
def answers(sd):
    """150 persons who each answer three of 110 questions, of great variance: crossed effects that few rows inform."""
    rng = np.random.default_rng(13)
    p, i = np.repeat(np.arange(150), 3), rng.integers(0, 110, 450)
    eta = sd * rng.normal(size=150)[p] + sd * rng.normal(size=110)[i]
    return pd.DataFrame({"y": rng.binomial(1, special.expit(eta)), "p": p.astype(str), "i": i.astype(str)})


@pytest.fixture(scope="module")
def hard():
    return answers(4.5)


def test_a_model_that_its_forecast_lets_pass_is_refused_after_a_few_weights(monkeypatch):
    """Variance 1.7 of 1.8, and 3 % of points effective: 1,500 weights tell what 48,000 would, in a hundred seconds."""

    def weigh(*args):
        raise AssertionError("many points are weighed")

    monkeypatch.setattr(engine, "weigh", weigh)
    with pytest.raises(ImportanceError, match=r"k-hat of the first 500 importance weights is \d\.\d\d, above 0\.7"):
        mx.bayes("y ~ 1 + (1 | p) + (1 | i)", answers(3.5), "bernoulli", engine="importance", seed=1)


def test_a_hard_model_refuses_itself_by_forecast(hard):
    with pytest.raises(ImportanceError, match=r"log weights are forecast to have variance[\s\S]*engine='stanli'"):
        mx.bayes("y ~ 1 + (1 | p) + (1 | i)", hard, "bernoulli", engine="importance", seed=1)


def test_auto_goes_on_to_chains_and_says_why(hard):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # of chains that are much too short
        fit = mx.bayes(
            "y ~ 1 + (1 | p) + (1 | i)", hard, "bernoulli", seed=1, draws=40, chains=2, warmup=40, progress=False
        )
    assert fit.sampling.engine == "stanli"
    assert "importance sampling refuses this model: the log weights are forecast" in fit.diagnostics().text()


def test_weights_above_the_limit_refuse(small):
    with pytest.raises(ImportanceError, match="k-hat of the importance weights is"):
        mx.bayes("y ~ x + (1 + x | g)", small, "bernoulli", engine="importance", seed=1, control={"k_hat": 1e-3})


def test_too_many_coordinates_refuse(small):
    with pytest.raises(ImportanceError, match="5 parameters besides the random effects, more than 4"):
        mx.bayes("y ~ x + (1 + x | g)", small, "bernoulli", engine="importance", control={"max_coordinates": 4})


@pytest.mark.parametrize(
    ("formula", "family", "given", "words"),
    [
        ("y ~ x + (1 | g)", "gaussian", {}, "the model is Gaussian"),
        ("y ~ x", "bernoulli", {}, "no random terms"),
        ("y ~ x + (1 | g)", "bernoulli", {"priors": {"coef": priors.horseshoe()}}, "horseshoe"),
    ],
)
def test_what_it_cannot_sample_is_said(small, formula, family, given, words):
    with pytest.raises(OptionError, match=words):
        mx.bayes(formula, small, family, engine="importance", **given)


def test_an_option_that_only_chains_have_goes_to_chains(small):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        fit = mx.bayes("y ~ x + (1 | g)", small, "bernoulli", adapt_delta=0.9, draws=40, warmup=40, chains=2, seed=1,
                       progress=False)  # fmt: skip
    assert fit.sampling.engine == "stanli"
    assert mx.bayes("y ~ x + (1 | g)", small, "bernoulli", proposals=2000, draws=500, seed=1).sampling.proposals == 2000


def test_the_forecast_is_the_variance_that_the_weights_have():
    """Two estimates at points of the posterior differ by twice the forecast, within its own error of a tenth or so."""
    target = target_of("y ~ x + (1 + x | g)", successes(np.random.default_rng(14), 60, 5), "bernoulli")
    modes, start = find_modes(target)
    expected = forecast(target, modes, start, np.random.default_rng(1))
    rng, psi = np.random.default_rng(2), np.repeat(modes.best.phi[None], 1000, axis=0)
    one, two = (target.estimates(psi, start, expected.rule, rng, effects=False)[0] for _ in range(2))
    assert expected.variance == pytest.approx(np.mean((one - two) ** 2) / 2, rel=0.5)
    assert expected.passes


def test_points_far_out_have_a_density_or_none_and_never_an_error():
    target = target_of("y ~ 1 + (1 | p) + (1 | i)", crossed(np.random.default_rng(7)), "bernoulli", FIXED)
    psi = np.array([[0.0, 35.0, 35.0], [30.0, -30.0, 25.0], [0.0, 50.0, 0.0], [0.0, -39.0, -39.0]])
    found = target.estimates(psi, target.nowhere, Rule(1), np.random.default_rng(1))[0]
    assert not np.isnan(found).any()
    assert found[2] == -np.inf
    assert np.isfinite(found[3])


# --- what comes of it ------------------------------------------------------------------------------------------------
def test_a_fit_answers_as_any_posterior_does(cbpp_fit, tmp_path):
    assert "k-hat" in cbpp_fit.diagnostics().text()
    assert "importance" in cbpp_fit.summary().text()
    assert cbpp_fit.glance()["method"].iloc[0] == "importance"
    effects = mx.effects(cbpp_fit, "period")
    assert np.isfinite(effects.table[["estimate", "lower", "upper"]].to_numpy()).all()
    assert len(cbpp_fit.predict(CBPP.head(3))) == 3
    assert cbpp_fit.simulate(2, seed=1).shape == (len(CBPP), 2)
    again = mx.load(cbpp_fit.save(tmp_path / "cbpp.mfx"))
    assert again.sampling == cbpp_fit.sampling or repr(again.sampling) == repr(cbpp_fit.sampling)
    pd.testing.assert_frame_equal(again.tidy(), cbpp_fit.tidy())
    with pytest.raises(mx.errors.ModelError, match="have no collapsed density"):
        _ = again.target


def test_the_same_seed_gives_the_same_draws(small):
    one, two, other = (
        mx.bayes("y ~ x + (1 | g)", small, "bernoulli", draws=400, seed=seed).predictor.u for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_effects_that_are_made_again_are_the_same(small, monkeypatch):
    """Where effects of all weighted points are too many numbers to hold, those chosen come from the same numbers."""
    held = mx.bayes("y ~ x + (1 + x | g)", small, "bernoulli", draws=400, seed=1)
    monkeypatch.setattr(engine, "MOST_HELD", 2000)
    again = mx.bayes("y ~ x + (1 + x | g)", small, "bernoulli", draws=400, seed=1)
    assert np.isfinite(again.predictor.u).all()
    # other blocks, other random numbers: the same posterior within six errors of 400 draws on both sides
    gap = held.predictor.u.mean(axis=0) - again.predictor.u.mean(axis=0)
    assert np.all(np.abs(gap) < 6 * held.predictor.u.std(axis=0) * np.sqrt(2 / 300))
    target = target_of("y ~ x + (1 + x | g)", small, "bernoulli")
    modes, start = find_modes(target)
    proposal = engine.at_modes(modes.found)
    found = engine._weighted(target, proposal, start, Rule(1), 900, np.random.default_rng(1), lambda *stage: None)
    assert len(found.blocks) > 5
    chosen = np.array([0, 899, 450, 450, 7])
    u = engine._effects(target, found, chosen, start, Rule(1))
    block = next(b for b in found.blocks if 450 in b.at)
    density, whole = target.estimates(found.psi[block.at], start, Rule(1), block.rng)
    np.testing.assert_array_equal(u[2], whole[450 - block.at[0]])
    np.testing.assert_allclose(density - proposal.log_density(found.psi[block.at]), found.log_ratios[block.at])


def test_chains_lay_the_draws_out(small):
    fit = mx.bayes("y ~ x + (1 | g)", small, "bernoulli", draws=401, chains=4, seed=1)
    assert fit.draws()["beta", "x"].shape == (4, 101)


def test_small_data_compile_nothing():
    text = (
        "import sys, numpy as np, pandas as pd, mixedfx as mx; rng = np.random.default_rng(1)\n"
        "d = pd.DataFrame({'y': rng.integers(0, 2, 60), 'g': np.repeat(list('abcdef'), 10)})\n"
        "fit = mx.bayes('y ~ 1 + (1 | g)', d, 'bernoulli', seed=1, draws=400)\n"
        "assert fit.sampling.engine == 'importance'\n"
        "assert not {'mixedfx.linalg.level_integrals', 'mixedfx.linalg.density_rows'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)


def test_data_from_a_thousand_rows_on_are_compiled_and_mean_the_same():
    data = successes(np.random.default_rng(15), 60, 18)
    target = target_of("y ~ x + (1 | g)", data, "bernoulli", FIXED)
    assert target.rows.n >= COMPILED_FROM
    psi = np.full((3, target.size), 0.1)
    rng = np.random.default_rng(1)
    compiled = target.estimates(psi, target.nowhere, Rule(4), rng, effects=False)[0]
    plain = replace(target, rows=replace(target.rows, density=replace(target.rows.density)))
    v = np.zeros((1, 60, 3))
    again = np.random.default_rng(1)
    args = (again.random((3, 60, 1)), again.random((3, 60)))
    twin = _vectorised(plain.rows, plain.base(psi), plain.factors(psi)[0], {}, v, 1, Rule(4), *args)[0]
    np.testing.assert_allclose(compiled, twin + plain.log_prior(psi), rtol=1e-11)
