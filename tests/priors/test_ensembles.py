"""Priors of Bayes factors: distributions that agree with themselves, named sets as they are pinned, clear refusals."""

import numpy as np
import pytest
from scipy import integrate

import mixedfx as mx
from mixedfx import priors as p
from mixedfx.errors import ImproperPosteriorError, OptionError
from mixedfx.priors.bias import Weights
from mixedfx.priors.marginal import _LINES, marginal

CASES = {
    "Normal": p.normal(0.15, 0.1),
    "StudentT": p.student_t(3, 0.2, 0.5),
    "Exponential": p.exponential(2.0),
    "Gamma": p.gamma(2.0, 5.0),
    "InverseGamma": p.inv_gamma(1.0, 0.15),
    "Uniform": p.uniform(-0.5, 2.0),
    "Beta": p.beta(2.0, 3.0),
}


def test_every_distribution_has_a_case():
    assert {kind.__name__ for kind in _LINES} == set(CASES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("cut", [(-np.inf, np.inf), (0.05, 0.6)])
def test_density_distribution_function_and_quantile_agree(name, cut):
    prior = marginal(CASES[name], *cut)
    q = np.array([0.01, 0.2, 0.5, 0.9])
    x = prior.quantile(q)
    np.testing.assert_allclose(prior.cdf(x), q, rtol=1e-10)
    for low, high in ((x[0], x[2]), (x[1], x[3])):
        area = integrate.quad(lambda t: float(np.exp(prior.log_density(np.array([t]))[0])), low, high, epsabs=1e-12)[0]
        # quad's own accuracy
        assert area == pytest.approx(float(prior.cdf(high) - prior.cdf(low)), abs=1e-9)
    assert np.isneginf(prior.log_density(np.array([prior.lower - 1e-6]))[0])


def test_truncated_priors_divide_by_what_remains():
    half = marginal(p.truncated(p.normal(0, 1), lower=0))
    assert half.log_density(np.array([0.3]))[0] == pytest.approx(np.log(2) - 0.5 * np.log(2 * np.pi) - 0.045)
    assert half.mass == 0.5


def test_sticks_make_the_weights_of_a_cumulative_dirichlet():
    """Moments of w_j = 1 - (eta_0 + ... + eta_{j-1}), Dirichlet(2, 1, 3): products of those of the sticks."""
    alpha = np.array([2.0, 1.0, 3.0])
    sticks = Weights("one-sided", (0.025, 0.5), tuple(alpha)).sticks
    means = np.cumprod(sticks[:, 0] / sticks.sum(axis=1))
    np.testing.assert_allclose(means, 1 - np.cumsum(alpha[:-1]) / alpha.sum())
    squares = np.cumprod(sticks[:, 0] * (sticks[:, 0] + 1) / (sticks.sum(axis=1) * (sticks.sum(axis=1) + 1)))
    # w_j ~ Beta(sum of the later alphas, sum of the earlier)
    a = alpha.sum() - np.cumsum(alpha[:-1])
    np.testing.assert_allclose(squares, a * (a + 1) / (alpha.sum() * (alpha.sum() + 1)))


def test_the_set_of_robma_3():
    found = p.robma3()
    assert [str(o) for o in found.effect] == ["spike(0)", "normal(0, 1)"]
    assert [str(o) for o in found.heterogeneity] == ["spike(0)", "inv_gamma(1, 0.15)"]
    assert [str(o) for o in found.hierarchical] == ["beta(1, 1)"]
    assert [(str(o), round(12 * o.odds)) for o in found.bias] == [
        ("none", 12), ("two-sided 0.05", 1), ("two-sided 0.05, 0.1", 1), ("one-sided 0.05", 1),
        ("one-sided 0.025, 0.05", 1), ("one-sided 0.05, 0.5", 1), ("one-sided 0.025, 0.05, 0.5", 1),
        ("PET half_cauchy(1)", 3), ("PEESE half_cauchy(5)", 3),
    ]  # fmt: skip
    assert (found.scale, found.direction) == ("fisher_z", "positive")


def test_the_set_of_robma_4():
    found = p.robma4("SMD")
    assert [str(o) for o in found.effect] == ["spike(0)", "normal(0, 0.7071)"]
    assert [str(o) for o in found.heterogeneity] == ["spike(0)", "half_normal(0.3536)"]
    assert str(found.bias[-1]) == "PEESE half_cauchy(5)"
    assert str(p.robma4("OR").effect[1]) == "normal(0, 1)"
    assert str(p.robma4(unit_sd=10).effect[1]) == "normal(0, 5)"
    assert (found.scale, found.direction) == ("yi", "detect")


def test_components_can_be_exchanged_and_hypotheses_weighted():
    found = p.robma3(hierarchical=[p.spike(0), p.option(p.beta(1, 1), odds=3)], bias="PP")
    assert [(str(o), o.odds, o.null) for o in found.hierarchical] == [("spike(0)", 1.0, True), ("beta(1, 1)", 3, False)]
    assert [str(o) for o in found.bias] == ["none", "PET half_cauchy(1)", "PEESE half_cauchy(5)"]
    assert p.option(p.normal(0, 0.05), null=True).null


REFUSED = {
    "flat effect": (lambda: p.ensemble(effect=[p.flat()], heterogeneity=[p.spike(0)]), "not defined"),
    "flat tau": (lambda: p.ensemble(effect=[p.spike(0)], heterogeneity=[p.flat()]), "not defined"),
    "autoscaled": (
        lambda: p.ensemble(effect=[p.normal(0, 1, autoscale=True)], heterogeneity=[p.spike(0)]), "look at the data"),
    "negative tau": (lambda: p.ensemble(effect=[p.spike(0)], heterogeneity=[p.spike(-1)]), "no value of"),
    "tau below 0": (lambda: p.ensemble(effect=[p.spike(0)], heterogeneity=[p.uniform(-2, -1)]), "no probability"),
    "rho of 1": (lambda: p.robma3(hierarchical=[p.spike(1)]), "no value of hierarchical"),
    "gamma effect": (lambda: p.ensemble(effect=[p.gamma(1, 1)], heterogeneity=[p.spike(0)]), "cannot be a prior"),
    "moderators off 0": (lambda: p.robma3(covariates=[p.normal(1, 1)]), "normal ones around 0"),
    "no list": (lambda: p.ensemble(effect=[], heterogeneity=[p.spike(0)]), "has no prior"),
    "nothing": (lambda: p.ensemble(), "priors of the effect"),
    "bias": (lambda: p.robma3(bias=[p.normal(0, 1)]), "no hypothesis of bias"),
    "steps": (lambda: p.weight_function("one-sided", (0.5, 0.05)), "no rising"),
    "alpha": (lambda: p.weight_function("one-sided", (0.05,), alpha=(1, 1, 1)), "2 intervals"),
    "odds": (lambda: p.option(p.spike(0), odds=0), "no odds"),
    "unit": (lambda: p.robma4("MD"), "no unit"),
    "empty": (lambda: p.truncated(p.normal(0, 1), 2, 1), "leaves nothing"),
    "pet": (lambda: p.pet(p.spike(0)), "no hypotheses of bias"),
    "two in a model": (lambda: p.model([p.spike(0), p.normal(0, 1)], p.spike(0)), "one prior"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_prior_is_refused_in_words(name):
    ask, words = REFUSED[name]
    with pytest.raises((OptionError, ImproperPosteriorError), match=words) as caught:
        ask()
    assert caught.value.hint


def test_fits_of_stan_refuse_them():
    data = mx.datasets.load("flipped_classroom", plan="crossed")
    with pytest.raises(OptionError):
        mx.bayes("score ~ 1", data, priors={"intercept": p.spike(0)})
