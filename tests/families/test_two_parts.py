"""Counts with a model of their zeros: probabilities that add up to one, and moments that are sums over them."""

from __future__ import annotations

import numpy as np
import pytest

from mixedfx.errors import DataError, OptionError
from mixedfx.families.facts import NO_FACTS
from mixedfx.families.registry import TWO_PARTS, find_two_parts

AUX = {"shape": np.array([1.7, 0.6]), "dispersion": np.array([0.8, 2.5])}
ETA = np.stack(
    [np.array([[-0.4, 1.1, 2.0], [0.3, -2.0, 1.5]]), np.array([[0.5, -1.0, 2.5], [-3.0, 0.0, 0.7]])], axis=-1
)
Y = np.arange(2000.0)  # beyond which no count has a probability of 1e-12 here


def parameters(family):
    return {name: AUX[name] for name in family.auxiliary}


def probabilities(family):
    """(2, 3, counts) probabilities of counts, one after the other."""
    one_by_one = [family.log_density(np.full(3, y), ETA, parameters(family)) for y in Y]
    return np.exp(np.stack(one_by_one, axis=-1))


@pytest.mark.parametrize("name", TWO_PARTS)
def test_probabilities_and_moments(name):
    """Sums of 2,000 probabilities in double precision."""
    family = TWO_PARTS[name]
    p, aux = probabilities(family), parameters(family)
    np.testing.assert_allclose(p.sum(axis=-1), 1.0, rtol=1e-10)
    mean = p @ Y
    np.testing.assert_allclose(family.mean(ETA, aux), mean, rtol=1e-9)
    np.testing.assert_allclose(family.variance(ETA, aux), p @ Y**2 - mean**2, rtol=1e-8)
    pi = 1 / (1 + np.exp(-ETA[..., 1]))
    np.testing.assert_allclose(family.zero(ETA), pi)
    np.testing.assert_allclose(family.conditional(ETA, aux) * (1 - pi), mean, rtol=1e-9)
    if name.startswith("hurdle"):
        np.testing.assert_allclose(p[..., 0], pi)
    else:
        assert (p[..., 0] > pi).all()


@pytest.mark.parametrize("name", TWO_PARTS)
def test_draws_have_these_moments(name):
    """100,000 draws of each row: means and shares of zeros within five of their standard errors."""
    family, D = TWO_PARTS[name], 100_000
    aux = {key: np.full(D, value[0]) for key, value in parameters(family).items()}
    drawn = family.draw(np.random.default_rng(2), np.broadcast_to(ETA[:1], (D, 3, 2)), aux)
    one = {key: value[:1] for key, value in parameters(family).items()}
    mean, sd = family.mean(ETA[:1], one)[0], np.sqrt(family.variance(ETA[:1], one)[0])
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * sd / np.sqrt(D)).all()
    none = np.exp(family.log_density(np.zeros(3), ETA[:1], one))[0]
    assert (np.abs((drawn == 0).mean(axis=0) - none) < 5 * np.sqrt(none * (1 - none) / D)).all()


@pytest.mark.parametrize("name", TWO_PARTS)
def test_what_are_no_counts_is_refused(name):
    family = TWO_PARTS[name]
    family.check(np.array([0.0, 1.0, 7.0]), NO_FACTS, np.arange(3))
    for wrong in (-1.0, 0.5, np.inf):
        with pytest.raises(DataError):
            family.check(np.array([0.0, wrong]), NO_FACTS, np.arange(2))


def test_a_family_and_a_model_of_zeros_are_asked_for_together():
    assert find_two_parts("hurdle_poisson", "~ 1").name == "hurdle_poisson"
    assert find_two_parts("negbinomial", "~ 1").name == "zero_inflated_negbinomial"
    assert find_two_parts(TWO_PARTS["zero_inflated_nbinom1"], "~ 1").name == "zero_inflated_nbinom1"
    assert find_two_parts("gaussian", None) is None
    for name in TWO_PARTS:
        with pytest.raises(OptionError, match="needs a model of the zeros"):
            find_two_parts(name, None)
    with pytest.raises(OptionError, match="not with family='gamma'"):
        find_two_parts("gamma", "~ 1")
