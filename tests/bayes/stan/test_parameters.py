"""Draws of a program, given back as draws of the model: each row's log likelihood, worked out from them, is Stan's."""

import numpy as np
import pytest

from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.parameters import joint_draws, variables
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.design.row_facts import row_facts
from mixedfx.families.registry import FAMILIES, family
from tests.bayes.stan.models import NAMED, PRIORS, modelled

SETTINGS = Settings(seed=5, chains=2, warmup=60, draws=30, cores=1)
EVERYTHING = "x + w + (1 + w + x | g) + (0 + x | h) + (1 + x || mood) + offset(s)"


def sampled(name, right, priors=None, left=None, weights=None, **options):
    """A model, its draws as Stan gives them, and as joint draws."""
    given = {"left": left} if left else {}
    model = modelled(name, right, priors, weights=weights, **given)
    shape = model_shape(*model, log_lik=True, y_rep=True, **options)
    found = stan_engines()["stanli"].sample(
        program_text(shape), program_data(*model, shape), SETTINGS, [*variables(shape), *_more(shape)]
    )
    return model, shape, found.variables, joint_draws(found.variables, *model, shape)


def _more(shape):
    """Variables besides those that joint draws need."""
    return [f"Omega_{t}" for t, term in enumerate(shape.terms, start=1) if term.correlations == "correlations"]


def linear_predictor(design, predictor):
    """X beta + Z u + offset, (D, n), row by row and level by level."""
    eta = predictor.beta @ design.X.T + design.offset
    for t, term in enumerate(design.random):
        for i, (level, z) in enumerate(zip(term.codes, term.z, strict=True)):
            for c in range(term.n_columns):
                eta[:, i] += z[c] * predictor.u[:, design.starts[t] + level * term.n_columns + c]
    return eta


def assert_same_likelihood(model, drawn, joint):
    """To ten digits: Stan's own sums take another order."""
    design, known, _ = model
    eta = [linear_predictor(design, one) for one in joint.predictors]
    eta = np.stack(eta, axis=2) if known.name == "categorical" else eta[0]
    found = known.log_density(design.y, eta, joint.family_parameters(), row_facts(design))
    want = drawn["log_lik"].reshape(found.shape)
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-9)
    assert np.ptp(want) > 0.1


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_likelihood_of_the_draws_is_that_of_the_program(name, centred):
    right = EVERYTHING if name != "categorical" else EVERYTHING.replace("mood", "grade")
    model, _, drawn, joint = sampled(name, right, centred=centred)
    assert_same_likelihood(model, drawn, joint)


@pytest.mark.parametrize("right", ["x + w", "0 + x + (1 | g)", "1 + (1 | g)", "1"])
@pytest.mark.parametrize("name", ["gaussian", "cumulative", "categorical"])
def test_without_an_intercept_predictors_or_terms(name, right):
    if not (name == "cumulative" and right.startswith("0")):
        model, _, drawn, joint = sampled(name, right)
        assert_same_likelihood(model, drawn, joint)


def test_rows_with_weights_and_known_deviations():
    for given in ({"weights": "s"}, {"left": "real | se(s)"}):
        for name in ("gaussian", family("student", "log")):
            model, _, drawn, joint = sampled(name, "x + (1 | g)", **given)
            assert_same_likelihood(model, drawn, joint)


@pytest.mark.parametrize("prior", ["decov", "horseshoe on both", "r2d2 on both", "rstanarm"])
@pytest.mark.parametrize("name", ["gaussian", "categorical"])
def test_covariances_are_those_of_the_program(name, prior):
    """Standard deviations from sd, correlations from the matrix that the program itself multiplies out; with those of
    the first term taken from the covariates' means to zero, but for a set whose priors hold there."""
    model, shape, drawn, joint = sampled(name, "x + w + (1 + w + x | g) + (0 + x | h)", PRIORS.get(prior, prior))
    assert_same_likelihood(model, drawn, joint)
    for c, predictor in enumerate(joint.predictors):
        for t, term in enumerate(shape.terms):
            sd = drawn[f"sd_{t + 1}"].reshape(joint.n_draws, len(joint.predictors), -1)[:, c]
            if not term.correlated:
                np.testing.assert_allclose(predictor.sd(t), sd, rtol=1e-12)
                continue
            cor = drawn[f"Omega_{t + 1}"].reshape(joint.n_draws, len(joint.predictors), 3, 3)[:, c]
            to_zero = np.eye(3)
            if prior != "rstanarm":
                to_zero[0, 1:] = -model[0].random[t].z[:, 1:].mean(axis=0)
            covariance = to_zero @ (sd[:, :, None] * cor * sd[:, None, :]) @ to_zero.T
            np.testing.assert_allclose(predictor.covariance(t), covariance, rtol=1e-9, atol=1e-12)
    keys = {
        "decov": [],
        "horseshoe on both": [("horseshoe", "tau"), ("horseshoe", "c2")],
        "r2d2 on both": [("r2d2", "R2")],
        "rstanarm": [],
    }
    categories = [()] if name == "gaussian" else [("happy",), ("sad",)]
    assert list(joint.extra) == [(k[0], *c, *k[1:]) for k in keys[prior] for c in categories]
    assert all(values.shape == (joint.n_draws,) for values in joint.extra.values())


@pytest.mark.parametrize("structure", NAMED)
@pytest.mark.parametrize("name", ["gaussian", "categorical"])
def test_named_structures_and_related_levels(name, structure):
    """The likelihood is that of the program, and covariances are of the family."""
    model, _, drawn, joint = sampled(name, NAMED[structure])
    assert_same_likelihood(model, drawn, joint)
    for predictor in joint.predictors:
        for t, term in enumerate(model[0].random):
            F = predictor.factors[t]
            again = term.covariance.factor_at(term.covariance.theta(F))
            np.testing.assert_allclose(again @ again.transpose(0, 2, 1), F @ F.transpose(0, 2, 1), rtol=1e-8, atol=1e-9)


def test_draws_are_laid_chain_by_chain():
    _, _, drawn, joint = sampled("gaussian", "x + (1 | g)")
    assert drawn["sigma"].shape == (2, 15)
    np.testing.assert_array_equal(joint.auxiliary["sigma"], np.concatenate([drawn["sigma"][0], drawn["sigma"][1]]))
    assert [one.category for one in joint.predictors] == [None]


def test_categories_come_in_their_order():
    _, _, drawn, joint = sampled("categorical", "x + (1 | g)")
    assert [one.category for one in joint.predictors] == ["happy", "sad"]
    np.testing.assert_array_equal(joint.predictors[1].u, drawn["u_1"].reshape(30, 2, 5)[:, 1])


@pytest.mark.parametrize("name", FAMILIES)
def test_replicated_responses_have_the_mean_of_the_family(name):
    """Over rows and draws the mean of y_rep - E(y), in standard errors, is a standard normal number: below five."""
    model, _, drawn, joint = sampled(name, "1" if name == "student" else "x")
    design, known, _ = model
    eta = [linear_predictor(design, one) for one in joint.predictors]
    eta = np.stack(eta, axis=2) if name == "categorical" else eta[0]
    mean = known.mean(eta, joint.family_parameters(), row_facts(design))
    drawn_anew = drawn["y_rep"].reshape(30, -1)
    if known.categories:
        assert set(np.unique(drawn_anew)) <= set(range(1, mean.shape[2] + 1))
        drawn_anew, mean = drawn_anew == mean.shape[2], mean[:, :, -1]
    difference = drawn_anew - mean
    assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(difference.size)
