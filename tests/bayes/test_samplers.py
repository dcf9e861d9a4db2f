"""The registry of samplers is the only list of engines: whatever is in it is offered, checked, named and run."""

import inspect

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.engines.base import ALGORITHMS, OPTIONS, SamplerStats, StanDraws
from mixedfx.bayes.engines.registry import ENGINES, choose
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.bayes.samplers import EXACT, samplers
from mixedfx.errors import OptionError

DATA = pd.DataFrame({"y": [0, 1] * 20, "x": np.linspace(-1, 1, 40), "g": list("abcde") * 8})
COMMON = {"formula", "data", "family", "priors", "weights", "offset", "na", "contrasts", "env", "engine"}
RUN = {"draws", "chains", "warmup", "seed"}


class Recorder(Stanli):
    """An engine that keeps what it is asked, and answers with the draws of stanli."""

    name = "recorder"
    options = (*OPTIONS[:-2], "progress")
    algorithms = ("nuts",)

    def __init__(self):
        self.asked = []

    def sample(self, text, data, settings, keep):
        self.asked.append((text, settings))
        found = super().sample(text, data, settings, keep)
        assert isinstance(found, StanDraws)
        assert isinstance(found.sampler, SamplerStats)
        return found


@pytest.fixture
def recorder(monkeypatch):
    engine = Recorder()
    monkeypatch.setitem(ENGINES, engine.name, engine)
    return engine


def test_every_sampler_has_its_name_and_every_stan_engine_is_one():
    assert all(name == sampler.name for name, sampler in samplers().items())
    assert list(samplers()) == [*EXACT, *ENGINES]


@pytest.mark.parametrize("name", samplers())
def test_options_are_arguments_of_bayes_and_algorithms_are_known(name):
    sampler = samplers()[name]
    assert set(sampler.options) <= set(inspect.signature(mx.bayes).parameters) - COMMON - RUN
    assert set(sampler.algorithms) <= set(ALGORITHMS)
    assert ("algorithm" in sampler.options) == bool(sampler.algorithms)
    assert sampler.warmup > 0


def test_every_argument_of_bayes_that_is_an_option_belongs_to_some_sampler():
    options = set(inspect.signature(mx.bayes).parameters) - COMMON - RUN
    assert options == {option for sampler in samplers().values() for option in sampler.options}


def test_every_algorithm_belongs_to_some_engine():
    assert set(ALGORITHMS) == {algorithm for engine in ENGINES.values() for algorithm in engine.algorithms}


@pytest.mark.parametrize("name", samplers())
def test_the_documentation_of_bayes_names_it(name):
    assert f'``"{name}"``' in mx.bayes.__doc__


def test_an_unknown_engine_is_refused_with_the_whole_registry(recorder):
    with pytest.raises(OptionError) as caught:
        mx.bayes("y ~ x", DATA, engine="jags")
    assert all(repr(name) in str(caught.value) for name in ("auto", *samplers()))
    assert "'recorder'" in str(caught.value)


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_sampler_says_what_is_in_its_way(name):
    with pytest.raises(OptionError, match=rf"engine='{name}' integrates[\s\S]*the family is bernoulli"):
        mx.bayes("y ~ x + (1 | g)", DATA, family="bernoulli", engine=name)


def test_an_option_is_refused_with_the_samplers_that_have_it(recorder):
    with pytest.raises(OptionError, match="engine='recorder' has no cores") as caught:
        mx.bayes("y ~ x", DATA, family="bernoulli", engine="recorder", cores=1)
    having = [name for name, sampler in samplers().items() if "cores" in sampler.options]
    assert str(caught.value).endswith(f"{', '.join(map(repr, having))}.")
    with pytest.raises(OptionError, match=r"has no adapt_delta[\s\S]*'stanli', 'cmdstan', 'recorder'"):
        mx.bayes("y ~ x + (1 | g)", DATA, engine="nuts", adapt_delta=0.9)
    with pytest.raises(OptionError, match=r"has no algorithm[\s\S]*'cmdstan'\.$"):
        mx.bayes("y ~ x + (1 | g)", DATA, engine="nuts", algorithm="laplace")


def test_an_engine_that_is_registered_draws(recorder):
    fit = mx.bayes(
        "y ~ x + (1 | g)", DATA, family="bernoulli", engine="recorder", draws=40, warmup=60, chains=2, seed=1,
        progress=False, max_treedepth=6,
    )  # fmt: skip
    assert (fit.sampling.engine, fit.n_draws) == ("recorder", 40)
    (text, settings), *others = recorder.asked
    assert not others
    assert "bernoulli" in text
    assert settings.max_treedepth == 6


def test_it_is_chosen_where_it_alone_can_do_what_was_asked(recorder, monkeypatch):
    monkeypatch.setattr(type(recorder), "algorithms", ("nuts", "variational"))
    for name, engine in ENGINES.items():
        if name != "recorder":
            monkeypatch.setattr(type(engine), "available", lambda self: "missing\ncommand")
    monkeypatch.setattr(Recorder, "available", lambda self: None, raising=False)
    assert choose(10) == "recorder"
    assert choose(10, algorithm="variational") == "recorder"
