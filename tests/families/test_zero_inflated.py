"""Zero-inflated counts: densities of a mixture, their derivatives in both linear predictors, moments, draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mixedfx.errors import DataError, OptionError
from mixedfx.families.registry import FAMILIES
from mixedfx.families.zero_inflated import ZERO_INFLATED

AUX = {"poisson": {}, "negbinomial": {"shape": np.array([1.7])}, "nbinom1": {"dispersion": np.array([0.8])}}
NAMES = list(ZERO_INFLATED)
Y = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 7.0, 30.0])
ETA = np.stack([np.array([-2.0, 0.3, 1.5, 3.0, -0.5, 0.9, 2.0, 2.5]), np.linspace(-2.5, 2.0, 8)], axis=-1)[None]


def kind(name):
    return ZERO_INFLATED[name].linked()


def counts(name, mu):
    """The distribution of the counts, from SciPy."""
    if name == "poisson":
        return stats.poisson(mu)
    if name == "negbinomial":
        return stats.nbinom(1.7, 1.7 / (1.7 + mu))
    return stats.nbinom(mu / 0.8, 1 / 1.8)


@pytest.mark.parametrize("name", NAMES)
def test_density_is_that_of_the_mixture(name):
    """Against SciPy's mass functions, and summing to one over the counts."""
    mu, pi = np.exp(ETA[0, :, 0]), 1 / (1 + np.exp(-ETA[0, :, 1]))
    expected = np.log((1 - pi) * counts(name, mu).pmf(Y) + pi * (Y == 0))
    np.testing.assert_allclose(kind(name).log_density(Y, ETA, AUX[name])[0], expected, rtol=1e-10)
    every = np.arange(400.0)
    at = np.broadcast_to(ETA[:, 2:3], (1, 400, 2))
    assert np.exp(kind(name).log_density(every, at, AUX[name])).sum() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_every_order_are_those_of_differences(name):
    """Each order from the one before, in both predictors: central differences over 1e-5 leave 1e-9 of the third."""
    family, step = kind(name), 1e-5
    found = family.pair_derivatives(Y, ETA, AUX[name])
    assert [len(one) for one in found] == [2, 3, 4, 5]

    def lower(order, eta):
        if order == 0:
            return family.log_density(Y, eta, AUX[name])[None]
        return family.pair_derivatives(Y, eta, AUX[name], order)[order - 1]

    for order, one in enumerate(found, start=1):
        for which in (0, 1):
            e = np.zeros((1, 1, 2))
            e[..., which] = step
            slope = (lower(order - 1, ETA + e) - lower(order - 1, ETA - e)) / (2 * step)
            np.testing.assert_allclose(one[which : which + order], slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["negbinomial", "nbinom1"])
def test_derivatives_in_the_parameter_are_those_of_differences(name):
    family, step = kind(name), 1e-5
    ((parameter, value),) = AUX[name].items()
    found = family.auxiliary_derivatives(Y, ETA, AUX[name])[parameter]

    def six(factor):
        aux = {parameter: value * np.exp(factor)}
        first, second = family.pair_derivatives(Y, ETA, aux, 2)
        return np.concatenate([family.log_density(Y, ETA, aux)[None], first, second])

    np.testing.assert_allclose(found, (six(step) - six(-step)) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_complete_information_is_above_the_observed_one_and_positive(name):
    """At counts of zero, where the density is not log-concave: the difference is the missing information."""
    family = kind(name)
    second = -family.pair_derivatives(Y, ETA, AUX[name], 2)[1][:, 0]
    complete = family.complete_information(Y, ETA, AUX[name])[:, 0]
    assert (complete >= 0).all()
    for a, b, c, x, z in np.column_stack([*second, *complete])[Y == 0]:
        gap = np.array([[x - a, -b], [-b, z - c]])
        assert np.linalg.eigvalsh(gap).min() > -1e-12
    indefinite = second[0] * second[2] - second[1] ** 2 < 0
    assert indefinite[Y == 0].any()


@pytest.mark.parametrize("name", NAMES)
def test_moments_and_draws(name):
    """Mean and variance from the mass function; draws to five standard errors."""
    family, every = kind(name), np.arange(600.0)
    for at in ETA[0]:
        mass = np.exp(family.log_density(every, np.broadcast_to(at, (1, 600, 2)), AUX[name]))[0]
        mean = mass @ every
        one = at[None, None]
        np.testing.assert_allclose(family.mean(one, AUX[name]), mean, rtol=1e-8)
        np.testing.assert_allclose(family.variance(one, AUX[name]), mass @ (every - mean) ** 2, rtol=1e-7)
    eta = np.broadcast_to(ETA[:, 2:3], (1, 40_000, 2))
    drawn = family.draw(np.random.default_rng(3), eta, AUX[name])
    se = np.sqrt(family.variance(eta[:, :1], AUX[name]).item() / 40_000)
    assert abs(drawn.mean() - family.mean(eta[:, :1], AUX[name]).item()) < 5 * se


def test_starting_values_know_both_sources():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(4000) < 0.3, 0.0, rng.poisson(3.0, 4000))
    assert kind("poisson").starting_share(y) == pytest.approx(0.3, abs=0.03)
    assert kind("poisson").starting_share(rng.poisson(3.0, 4000).astype(float)) == 0.05
    assert kind("negbinomial").starting_values(y) == FAMILIES["negbinomial"].starting_values(y)


def test_one_linear_predictor_is_refused():
    with pytest.raises(OptionError, match="two linear predictors"):
        kind("poisson").derivatives(Y, ETA[..., 0], {})
    with pytest.raises(OptionError, match="two linear predictors"):
        kind("poisson").information(ETA[..., 0], {})
    with pytest.raises(DataError, match="counts 0, 1, 2"):
        kind("nbinom1").check(np.array([0.5]), None, np.array([0]))
