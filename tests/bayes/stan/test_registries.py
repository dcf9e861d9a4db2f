"""Every family has a likelihood in Stan, and what is registered is what programs are written from."""

from dataclasses import dataclass
from importlib.resources import files

import pytest

import mixedfx as mx
from mixedfx.bayes.stan import likelihood as likelihoods
from mixedfx.bayes.stan.likelihood import LIKELIHOODS, MEAN, Likelihood
from mixedfx.errors import ModelError, OptionError
from mixedfx.families import registry
from mixedfx.families.location import Gaussian
from mixedfx.families.registry import FAMILIES, TWO_PARTS
from tests.bayes.stan.models import DATA, RESPONSE

LINKED = [(name, link) for name, family in FAMILIES.items() for link in family.links]


def test_every_family_has_one_likelihood_and_every_likelihood_a_family():
    assert set(LIKELIHOODS) == set(FAMILIES) | set(TWO_PARTS)


def test_every_family_is_exported_and_named_in_the_documentation():
    assert sorted(mx.families.__all__) == sorted(FAMILIES)
    for text in (mx.bayes.__doc__, registry.family.__doc__):
        assert all(f'``"{name}"``' in text for name in FAMILIES)


@pytest.mark.parametrize(("name", "link"), LINKED)
def test_a_likelihood_is_complete(name, link):
    found = LIKELIHOODS[name](link, MEAN[link])
    family = FAMILIES[name]
    assert found.discrete == (family.outcome not in ("real", "positive", "nonnegative", "unit"))
    assert ("{trials}" in found.arguments) == (family.outcome == "trials")
    assert all(parameter in found.arguments for parameter in family.auxiliary if parameter != "sigma")
    assert ("{scale}" in found.arguments) == ("sigma" in family.auxiliary)
    if found.function:
        assert files("mixedfx").joinpath("_stan", "functions", f"{found.function}.stan").is_file()


@dataclass(frozen=True, repr=False)
class Laplace(Gaussian):
    """A family that only this test knows."""

    name = "laplace"
    normal = False


def test_a_family_that_is_registered_is_found_named_and_written(monkeypatch):
    monkeypatch.setitem(registry.FAMILIES, "laplace", Laplace.linked())
    formula = f"{RESPONSE['gaussian']} ~ x + (1 | g)"
    with pytest.raises(OptionError, match="'laplace'"):
        mx.stan_code(formula, DATA, family="unheard of")
    with pytest.raises(ModelError, match="laplace has no likelihood in Stan"):
        mx.stan_code(formula, DATA, family="laplace")
    entry = Likelihood("double_exponential", "{eta}, {scale}", likelihoods.REAL)
    monkeypatch.setitem(LIKELIHOODS, "laplace", lambda link, mean: entry)
    text = mx.stan_code(formula, DATA, family="laplace", y_rep=True)
    assert "y ~ double_exponential(eta, sigma);" in text
    assert "double_exponential_rng(eta[n], sigma)" in text
    with pytest.raises(OptionError, match="the family is laplace"):
        mx.bayes(formula, DATA, family="laplace", engine="collapsed")
