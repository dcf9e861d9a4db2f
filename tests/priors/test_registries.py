"""Priors and auxiliary parameters have one list each; what is on it is offered, checked, scaled and written in Stan."""

import math
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import ClassVar, get_args

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.stan.joint_priors import JOINT_PRIORS
from mixedfx.errors import ImproperPosteriorError, OptionError
from mixedfx.families.registry import FAMILIES
from mixedfx.priors import distributions
from mixedfx.priors.auxiliary import AUXILIARY, AuxiliaryParameter
from mixedfx.priors.distributions import (
    DISTRIBUTIONS,
    SPECIAL,
    Distribution,
    JointDistribution,
    Positive,
    Prior,
    Real,
    RealDistribution,
)
from mixedfx.priors.location import Flat, Normal
from mixedfx.priors.sets import KINDS, SETS, prior_set
from tests.families.conftest import AUX

DATA = pd.DataFrame({"y": np.linspace(1, 3, 40), "x": np.tile([0.0, 1.0], 20), "g": list("abcde") * 8})
# of averaged meta-analyses, which have no Stan program
OF_BAYES_FACTORS = {
    "Ensemble", "beta", "ensemble", "model", "no_bias", "option", "peese", "pet", "robma3", "robma4", "spike",
    "truncated", "uniform", "weight_function",
}  # fmt: skip
IDS = [kind.__name__ for kind in DISTRIBUTIONS]
SINGLE = pytest.mark.parametrize("kind", DISTRIBUTIONS, ids=IDS)


@SINGLE
def test_it_is_written_by_functions_of_its_names(kind):
    """With every number one, which all of them allow."""
    for name in {*kind.real_names, *kind.positive_names}:
        write = getattr(priors, name)
        assert name in priors.__all__
        numbers = {"df": 3.0} if "student_t" in name else {}
        assert type(write(**numbers, **({"shape": 1.0, "rate": 1.0} if name == "gamma" else {}), **(
            {"shape": 1.0, "scale": 1.0} if name == "inv_gamma" else {}))) is kind  # fmt: skip


@SINGLE
def test_stan_has_its_chunk_and_its_numbers(kind):
    text = files("mixedfx").joinpath("_stan", "priors", f"{kind.stan}.stan").read_text(encoding="utf-8")
    assert all(f"${{name}}_{number}" in text for number in kind.numbers)
    assert set(kind.numbers) <= {field.name for field in fields(kind)}


@SINGLE
def test_what_the_exact_engines_need_is_there(kind):
    if kind.exact and kind.real_names and kind.numbers:
        assert all(hasattr(kind, name) or name in kind.__annotations__ for name in ("loc", "scale", "df"))
    if kind.location_scale:
        assert {"loc", "scale"} <= set(kind.numbers)


VALUES = {
    "Normal": priors.normal(0.5, 2.0),
    "StudentT": priors.student_t(4.0, 0.5, 2.0),
    "Exponential": priors.exponential(0.7),
    "Gamma": priors.gamma(2.0, 0.5),
    "InverseGamma": priors.inv_gamma(3.0, 2.0),
    "Flat": priors.flat(),
}


@SINGLE
def test_it_has_every_member_of_the_protocol_and_they_agree(kind):
    """Densities are of one distribution in every unit; its slope, its draws and its rescaled self belong to it."""
    prior, x = VALUES[kind.__name__], np.linspace(0.3, 4.0, 9)
    assert isinstance(prior, Distribution)
    assert isinstance(prior, RealDistribution) == bool(kind.real_names)
    step = 1e-6
    slope = (prior.log_positive(x * np.exp(step)) - prior.log_positive(x * np.exp(-step))) / (2 * step)
    np.testing.assert_allclose(prior.score_positive(x), slope, atol=1e-7)  # a central difference
    if kind is Flat:
        assert prior.times(3.0) == prior.rescaled(3.0) == prior
        with pytest.raises(ImproperPosteriorError, match="no draws"):
            prior.draw(np.random.default_rng(1), 5)
        return
    other = prior.times(3.0)
    np.testing.assert_allclose(other.log_positive(3.0 * x), prior.log_positive(x) - np.log(3.0), rtol=1e-10)
    drawn = prior.draw(np.random.default_rng(1), 4000, positive=True)
    assert drawn.shape == (4000,)
    assert drawn.min() > 0
    edges = np.quantile(drawn, [0.1, 0.9])
    grid = np.linspace(*edges, 2001)
    share = trapezoid(np.exp(prior.log_positive(grid)), grid)
    assert share == pytest.approx(0.8, abs=0.03)  # four standard errors of a share of 4000 draws
    assert str(prior)
    if bool(kind.real_names):
        assert not prior.half
        np.testing.assert_allclose(np.diff(prior.log_density(x)), np.diff(prior.log_positive(x)), rtol=1e-9)


@pytest.mark.parametrize("kind", SPECIAL, ids=lambda kind: kind.__name__)
def test_a_joint_prior_has_every_member_of_its_protocol(kind):
    assert isinstance(kind(), JointDistribution)
    assert set(kind.serves) <= set(KINDS)


def test_the_types_for_type_checkers_are_the_registry():
    assert set(get_args(Positive)) == {kind for kind in DISTRIBUTIONS if kind.positive_names}
    assert set(get_args(Real)) == {kind for kind in DISTRIBUTIONS if kind.real_names}
    assert set(get_args(Prior)) == {*DISTRIBUTIONS, *SPECIAL}


def test_every_function_that_writes_a_prior_is_on_a_list():
    written = {name for kind in DISTRIBUTIONS for name in (*kind.real_names, *kind.positive_names)}
    written |= {kind.name for kind in SPECIAL}
    assert written == set(priors.__all__) - {"PriorSet", *SETS, "pooled_interactions", *OF_BAYES_FACTORS}


def test_joint_priors_are_those_that_stan_knows():
    joint = {kind.name: kind for kind in SPECIAL if "coef" in kind.serves}
    assert set(joint) == set(JOINT_PRIORS)
    for name, about in JOINT_PRIORS.items():
        assert set(about.numbers.values()) <= {field.name for field in fields(joint[name])}


@pytest.mark.parametrize("kind", [*KINDS, *AUXILIARY])
def test_a_refused_prior_is_answered_with_all_that_can_serve(kind):
    wrong = priors.lkj(1) if kind != "cor" else priors.normal(0, 1)
    with pytest.raises(OptionError) as caught:
        prior_set({kind: wrong})
    real = kind in ("intercept", "coef")
    names = () if kind == "cor" else [n for d in DISTRIBUTIONS for n in (d.real_names if real else d.positive_names)]
    names = [*names, *(special.name for special in SPECIAL if kind in special.serves)]
    said = str(caught.value).split("\n")[-1].replace(" or ", ", ").rstrip(".").split(" take")[1].lstrip("s ")
    assert said.split(", ") == list(names)


def test_an_unknown_key_is_answered_with_all_keys():
    with pytest.raises(OptionError) as caught:
        prior_set({"sigmma": priors.exponential(1)})
    assert all(repr(name) in str(caught.value) for name in (*KINDS, *AUXILIARY))


@pytest.mark.parametrize("name", AUXILIARY)
def test_an_auxiliary_parameter_has_a_family_and_a_prior_in_every_set(name):
    assert any(name in family.auxiliary for family in FAMILIES.values())
    assert set(AUXILIARY[name].priors) == set(SETS)
    assert all(make().entries[name] == AUXILIARY[name].priors[words] for words, make in SETS.items())
    assert AUXILIARY[name].limit in ("0", "infinity")
    lower, upper = AUXILIARY[name].bounds
    assert all(lower < value < upper for value in AUX[name])  # where the contracts of families are tested


@pytest.mark.parametrize("name", FAMILIES)
def test_the_auxiliary_parameters_of_a_family_are_known(name):
    assert set(FAMILIES[name].auxiliary) <= set(AUXILIARY)


@dataclass(frozen=True)
class Narrow(Normal):
    """A prior that only this test knows."""

    stan: ClassVar[str] = "normal"
    real_names: ClassVar[tuple[str, ...]] = ("narrow",)
    positive_names: ClassVar[tuple[str, ...]] = ()
    exact: ClassVar[bool] = False


def test_a_prior_that_is_registered_can_be_given_is_named_and_goes_to_stan():
    with pytest.raises(OptionError, match="cannot be"):
        prior_set({"coef": Narrow(0.0, 0.1)})
    distributions.DISTRIBUTIONS.append(Narrow)
    try:
        with pytest.raises(OptionError, match="narrow"):
            prior_set({"coef": priors.lkj(1)})
        with pytest.raises(OptionError, match="cannot be"):
            prior_set({"sd": Narrow(0.0, 0.1)})
        text = mx.stan_code("y ~ x + (1 | g)", DATA, priors={"coef": Narrow(0.0, 0.1)})
        assert "beta ~ normal(prior_beta_loc, prior_beta_scale)" in text
        assert mx.stan_data("y ~ x + (1 | g)", DATA, priors={"coef": Narrow(0.0, 0.1)})["prior_beta_scale"] == [0.1]
        with pytest.raises(OptionError, match="a coefficient has a prior"):
            mx.bayes("y ~ x + (1 | g)", DATA, priors={"coef": Narrow(0.0, 0.1)}, engine="collapsed")
    finally:
        distributions.DISTRIBUTIONS.remove(Narrow)


def test_an_auxiliary_parameter_that_is_registered_has_keys_sets_and_a_declaration(monkeypatch):
    from mixedfx.families.location import Gaussian

    skew = AuxiliaryParameter("skewness", (-1, math.inf), "infinity", dict.fromkeys(SETS, priors.gamma(2.0, 4.0)))
    monkeypatch.setitem(AUXILIARY, "skew", skew)
    monkeypatch.setattr(Gaussian, "auxiliary", ("skew", "sigma"))
    text = mx.stan_code("y ~ x", DATA)
    assert "real<lower=-1> skew;  // skewness" in text
    assert "skew ~ gamma(prior_skew_shape, prior_skew_rate);" in text
    assert mx.stan_data("y ~ x", DATA, priors={"skew": priors.gamma(2.0, 5.0)})["prior_skew_rate"] == 5.0
    with pytest.raises(OptionError, match="'skew'"):
        prior_set({"sigmma": priors.exponential(1)})


@pytest.mark.parametrize(
    ("name", "bounds", "declared", "bounded"),
    [
        ("above", (0, math.inf), "real<lower=0> above;", False),
        ("between", (1, 2), "real<lower=1, upper=2> between;", True),
        ("below", (-math.inf, 0.5), "real<upper=0.5> below;", False),
        ("anywhere", (-math.inf, math.inf), "real anywhere;", False),
    ],
)
def test_bounds_of_an_auxiliary_parameter_are_declared(name, bounds, declared, bounded, monkeypatch):
    from mixedfx.families.location import Gaussian

    about = AuxiliaryParameter("power", bounds, "infinity", dict.fromkeys(SETS, priors.flat()))
    monkeypatch.setitem(AUXILIARY, name, about)
    monkeypatch.setattr(Gaussian, "auxiliary", (name, "sigma"))
    assert declared in mx.stan_code("y ~ x", DATA)
    assert about.bounded == bounded
    proper = {"intercept": priors.normal(2, 1), "coef": priors.normal(0, 1), "sigma": priors.exponential(1)}
    if not bounded:
        with pytest.raises(ImproperPosteriorError, match=name):
            mx.prior_predictive("y ~ x", DATA, priors=proper, draws=400, seed=1)
        return
    fit = mx.prior_predictive("y ~ x", DATA, priors=proper, draws=2000, seed=1)
    drawn = fit.joint.auxiliary[name]
    assert 1 < drawn.min() < 1.1
    assert 1.9 < drawn.max() < 2
    assert drawn.mean() == pytest.approx(1.5, abs=0.05)  # a uniform distribution: its standard error is below 0.01
    assert "uniform(1, 2)" in fit.prior_summary().text()


def test_bounds_that_leave_nothing_between_them_are_none():
    with pytest.raises(ValueError, match="no number lies between"):
        AuxiliaryParameter("power", (2, 1), "infinity", {})
