"""Counts with a model of their zeros: both linear predictors in one program, whose density is the model's.

As in `test_log_density.py` Stan's number is compared with that of `tests.oracles.stan_model`, and as in
`test_parameters.py` each row's log likelihood with that of the family in NumPy.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.bayes.model_design import model_design, model_family
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.data import program_data
from mixedfx.bayes.stan.parameters import joint_draws, variables
from mixedfx.bayes.stan.program import program_text
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.errors import OptionError
from mixedfx.families.registry import TWO_PARTS
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from tests.bayes.stan.models import DATA
from tests.bayes.stan.test_log_density import agree
from tests.bayes.stan.test_parameters import SETTINGS, linear_predictor

p = mx.priors
CASES = {
    "no random terms": ("x + w", "~ x"),
    "one in each": ("x + w + (1 | g)", "~ w + (1 | h)"),
    "the same factor": ("x + (1 + x | g)", "~ x + (1 + x | g)"),
    "diagonal and crossed": ("x + (1 + x || g)", "~ w + (1 | g) + (0 + x | h)"),
    "nothing but intercepts": ("1", "~ 1"),
    "no intercepts": ("0 + x + (1 | g)", "~ 0 + w + (1 | h)"),
    "offsets": ("x + offset(s)", "~ w + offset(s) + (1 | g)"),
}
PRIORS = {
    "default": None,
    "rstanarm": "rstanarm",
    "brms": "brms",
    "of the zeros": {("zi", "intercept"): p.student_t(5, 0, 2), ("zi", "coef"): p.cauchy(0.2, 1)},
    "of the counts": {"coef": p.horseshoe()},
}


@cache
def designed(case, name):
    right, zi = CASES[case]
    family = model_family(name, zi)
    return model_design(f"count ~ {right}", DATA, family, stacklevel=2, zi=zi), family


def modelled(case, name, priors):
    """Design, family and resolved priors."""
    design, family = designed(case, name)
    return design, family, resolve(prior_set(priors), scales_of(design, family))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TWO_PARTS)
def test_the_density_is_that_of_the_model(name, case):
    for key, priors in PRIORS.items():
        if key == "of the counts" and "x" not in CASES[case][0]:
            continue  # there is no coefficient for the horseshoe
        if key == "of the zeros" and CASES[case][1] == "~ 1":
            priors = {("zi", "intercept"): p.student_t(5, 0, 2)}
        at_means = key not in ("rstanarm", "brms")
        agree(*modelled(case, name, priors), at_means=at_means)
        if key == "default":
            agree(*modelled(case, name, priors), prior_only=True)
            agree(*modelled(case, name, priors), threads=2)
            if "|" in CASES[case][0]:
                agree(*modelled(case, name, priors), centred=True)


def test_priors_of_single_effects_of_the_zeros():
    priors = {("zi", "coef", "w"): p.normal(0.3, 0.7), ("zi", "sd", "h"): p.exponential(2), ("zi", "cor"): p.lkj(3)}
    model = modelled("one in each", "poisson", priors)
    agree(*model)
    used = {name: (given, final) for name, given, final in model[2].described}
    assert used["zi: w"] == ("normal(0.3, 0.7)", "normal(0.3, 0.7)")
    assert used["zi: sd of Intercept over h"][1] == "exponential(2)"
    # those of the counts, and of the intercept of the zeros, are the default's
    assert used["w"][0].endswith("autoscale")
    assert used["zi: Intercept, predictors at their means"][1] == "normal(0, 2.5)"


def test_the_scales_of_the_counts_are_of_those_above_zero():
    """The prior of the intercept is around their logarithmic mean, whatever the share of zeros."""
    _, _, resolved = modelled("no random terms", "hurdle_poisson", None)
    above = DATA["count"][DATA["count"] > 0]
    assert resolved.coefficients[0].loc == pytest.approx(np.log(above.mean()))
    assert resolved.zero.coefficients[0].loc == 0.0


@pytest.mark.parametrize("case", ["the same factor", "diagonal and crossed", "offsets"])
@pytest.mark.parametrize("name", TWO_PARTS)
def test_the_likelihood_of_the_draws_is_that_of_the_program(name, case):
    """To ten digits; of y_rep the mean over rows and draws within five standard errors of the family's."""
    design, family, resolved = modelled(case, name, None)
    shape = model_shape(design, family, resolved, log_lik=True, y_rep=True)
    data = program_data(design, family, resolved, shape)
    found = stan_engines()["stanli"].sample(program_text(shape), data, SETTINGS, variables(shape)).variables
    joint = joint_draws(found, design, family, resolved, shape)
    assert [one.category for one in joint.predictors] == ["count", "zero"]
    eta = [linear_predictor(own, one) for own, one in zip((design, design.zero), joint.predictors, strict=True)]
    eta, aux = np.stack(eta, axis=-1), joint.family_parameters()
    known = family.log_density(design.y, eta, aux)
    np.testing.assert_allclose(known, found["log_lik"].reshape(known.shape), rtol=1e-9, atol=1e-9)
    assert np.ptp(known) > 0.1
    mean, variance = family.mean(eta, aux), family.variance(eta, aux)
    near = mean < 1e4  # chains this short may not have come back from where they began
    rest = ((found["y_rep"].reshape(known.shape) - mean) / np.sqrt(variance))[near]
    # standardised rows have heavy tails where shapes are small: their own spread is the standard error
    assert abs(rest.mean()) < 5 * rest.std() / np.sqrt(rest.size)
    assert near.mean() > 0.7


def test_what_a_program_cannot_have_is_refused():
    with pytest.raises(OptionError, match="no random term"):
        mx.stan_code("count ~ x + (1 | g)", DATA, "poisson", zi="~ 1", centred=["h"])
    with pytest.raises(OptionError, match="many quantities together"):
        mx.stan_code("count ~ x", DATA, "poisson", {("zi", "coef"): p.horseshoe()}, zi="~ x")
    with pytest.raises(OptionError, match="'zi'"):
        mx.stan_code("count ~ x", DATA, "poisson", {("zi", "coef"): p.normal()})
    with pytest.raises(OptionError, match=r"\('zi', 'coefs'\)"):
        mx.stan_code("count ~ x", DATA, "poisson", {("zi", "coefs"): p.normal()}, zi="~ x")
    with pytest.raises(OptionError, match="no coefficient 'u'"):
        mx.stan_code("count ~ x", DATA, "poisson", {("zi", "coef", "u"): p.normal()}, zi="~ x")
    with pytest.raises(OptionError, match="needs a model of the zeros"):
        mx.stan_code("count ~ x", DATA, "hurdle_poisson")
    with pytest.raises(mx.errors.FormulaError, match="no left side"):
        mx.stan_code("count ~ x", DATA, "poisson", zi="count ~ x")
    with pytest.raises(OptionError, match=r"importance.*which cannot be done here.*two linear predictors"):
        mx.bayes("count ~ x + (1 | g)", DATA, "poisson", engine="importance", zi="~ x")
    with pytest.raises(OptionError, match=r"integrates|collapsed"):
        mx.bayes("count ~ x + (1 | g)", DATA, "poisson", engine="collapsed", zi="~ x")
