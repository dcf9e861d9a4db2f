"""The registry of samplers is the only list of engines: whatever is in it is offered, checked, named and run."""

import inspect
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.choice import choose_among
from mixedfx.bayes.collapsed.run_collapsed import Collapsed
from mixedfx.bayes.course import Course
from mixedfx.bayes.engines.base import ALGORITHMS, OPTIONS, SamplerStats, StanDraws
from mixedfx.bayes.engines.run_stan import OnStan
from mixedfx.bayes.engines.stanli import Stanli
from mixedfx.bayes.posterior.fit import PosteriorFit
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.samplers import SAMPLERS, stan_engines
from mixedfx.errors import ModelError, OptionError, SamplingWarning
from mixedfx.options import Control
from mixedfx.reml.control import OptimiserControl

DATA = pd.DataFrame({"y": [0, 1] * 20, "x": np.linspace(-1, 1, 40), "g": list("abcde") * 8})
COMMON = {
    "formula",
    "data",
    "family",
    "priors",
    "weights",
    "offset",
    "na",
    "contrasts",
    "env",
    "engine",
    "control",
    "responses",
    "imputations",
    "V",
    "zi",
}
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
    monkeypatch.setitem(SAMPLERS, engine.name, OnStan(engine))
    return engine


def test_every_sampler_has_its_name_and_says_what_it_does():
    assert list(SAMPLERS) == ["collapsed", "nuts", "importance", "stanli", "cmdstan"]
    assert list(stan_engines()) == ["stanli", "cmdstan"]
    for name, sampler in SAMPLERS.items():
        assert name == sampler.name
        assert sampler.way
        assert sampler.courses


@pytest.mark.parametrize("name", SAMPLERS)
def test_options_are_arguments_of_bayes_and_algorithms_are_known(name):
    sampler = SAMPLERS[name]
    assert set(sampler.options) <= {field.name for field in fields(Control)}
    assert set(sampler.algorithms) <= set(ALGORITHMS)
    assert ("algorithm" in sampler.options) == bool(sampler.algorithms)
    assert sampler.warmup > 0


def test_every_option_belongs_to_some_sampler_or_to_the_optimiser():
    known = {option for sampler in SAMPLERS.values() for option in sampler.options}
    assert set(inspect.signature(mx.bayes).parameters) - COMMON - RUN <= known
    optimiser = {field.name for field in fields(OptimiserControl)}
    assert {field.name for field in fields(Control)} == known | optimiser
    assert list(inspect.signature(mx.control).parameters) == [field.name for field in fields(Control)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_option_that_a_sampler_does_not_know_is_refused_with_its_list(name, monkeypatch):
    sampler = SAMPLERS[name]
    values = {"start": [1.0], "adapt_delta": 0.9, "algorithm": "nuts", "inits": "random", "centred": True}
    values |= {"solver": "direct", "pushdown": True}
    monkeypatch.setattr(type(sampler), "obstacle", lambda self, *model: "")
    for option in {field.name for field in fields(Control)} - set(sampler.options):
        with pytest.raises(OptionError, match=f"engine='{name}' has no {option}: it has {', '.join(sampler.options)}"):
            mx.bayes("y ~ x + (1 | g)", DATA, engine=name, control={option: values.get(option, 1)})


def test_every_algorithm_belongs_to_some_engine():
    assert set(ALGORITHMS) == {algorithm for engine in stan_engines().values() for algorithm in engine.algorithms}


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_documentation_of_bayes_names_it(name):
    assert f'``"{name}"``' in mx.bayes.__doc__


def test_an_unknown_engine_is_refused_with_the_whole_registry(recorder):
    with pytest.raises(OptionError) as caught:
        mx.bayes("y ~ x", DATA, engine="jags")
    assert all(repr(name) in str(caught.value) for name in ("auto", *SAMPLERS))
    assert "'recorder'" in str(caught.value)


@pytest.mark.parametrize("name", [name for name, sampler in SAMPLERS.items() if isinstance(sampler, Collapsed)])
def test_an_exact_sampler_says_what_is_in_its_way(name):
    with pytest.raises(OptionError, match=rf"engine='{name}' integrates[\s\S]*the family is bernoulli"):
        mx.bayes("y ~ x + (1 | g)", DATA, family="bernoulli", engine=name)


def test_an_option_is_refused_with_the_samplers_that_have_it(recorder):
    with pytest.raises(OptionError, match="engine='recorder' has no cores") as caught:
        mx.bayes("y ~ x", DATA, family="bernoulli", engine="recorder", cores=1)
    having = [name for name, sampler in SAMPLERS.items() if "cores" in sampler.options]
    assert str(caught.value).endswith(f"{', '.join(map(repr, having))}.")
    with pytest.raises(OptionError, match=r"has no inits[\s\S]*'stanli', 'cmdstan', 'recorder'"):
        mx.bayes("y ~ x + (1 | g)", DATA, engine="nuts", inits="random")
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
    for name, engine in stan_engines().items():
        if name != "recorder":
            monkeypatch.setattr(type(engine), "available", lambda self: "missing\ncommand")
    monkeypatch.setattr(Recorder, "available", lambda self: None, raising=False)
    able = [SAMPLERS[name] for name in stan_engines()]
    assert choose_among(able, 10).name == "recorder"
    assert choose_among(able, 10, algorithm="variational").name == "recorder"


@dataclass(frozen=True, eq=False)
class Steps:
    """How a random walk went."""

    accepted: float
    ess: float
    engine: str = "walk"
    method: str = "Metropolis"
    label: str = "random walk"
    independent: bool = False
    r_hat: float = float("nan")
    k_hat: float = float("nan")
    divergences: int = 0
    log_evidence: None = None

    def concerns(self, random):
        return ((SamplingWarning, "The walk hardly moved. Take shorter steps."),) if self.accepted < 0.05 else ()

    def facts(self, n_draws):
        return [("Method", "random walk on beta"), ("Accepted", f"{self.accepted:.0%} of {n_draws}")]


class Walk:
    """A sampler without Stan that integrates nothing out: a random walk on the coefficients of a Poisson regression."""

    name = "walk"
    way = "walks over the coefficients of Poisson regressions"
    options = ("progress", "step")
    algorithms = ()
    warmup = 200
    compiles = False
    courses = (Steps,)
    missing = None

    def available(self):
        return self.missing

    def obstacle(self, design, family, priors):
        return "" if family.name == "poisson" and not design.random else "it is no Poisson regression"

    def sample(self, design, family, priors, *, reason, draws, chains, warmup, seed, options):
        kept, accepted = self._walk(design, priors, draws, warmup, seed, likelihood=True, **options)
        return self._fit(design, family, priors, kept, Steps(accepted, draws / 10), chains, seed)

    def sample_prior(self, design, family, priors, *, reason, draws, seed):
        kept, accepted = self._walk(design, priors, draws, 200, seed, likelihood=False)
        return self._fit(design, family, priors, kept, Steps(accepted, draws / 10, method="prior"), 1, seed)

    def _fit(self, design, family, priors, beta, sampling, chains, seed):
        joint = JointDraws((Predictor(beta, np.zeros((len(beta), 0)), ()),), {})
        return PosteriorFit(design, family, priors, joint, sampling, chains, seed)

    def _walk(self, design, priors, draws, warmup, seed, likelihood, step=0.12):
        rng, beta, accepted = np.random.default_rng(seed), np.zeros(design.X.shape[1]), 0
        scale = step if likelihood else 1.5

        def log_density(beta):
            eta = design.X @ beta
            return -0.5 * float(beta @ beta) + likelihood * float(design.y @ eta - np.exp(eta).sum())

        now, kept = log_density(beta), []
        for _ in range(10 * (warmup + draws)):
            other = beta + scale * rng.normal(size=len(beta))
            new = log_density(other)
            if np.log(rng.random()) < new - now:
                beta, now, accepted = other, new, accepted + 1
            kept.append(beta)
        return np.array(kept[10 * warmup :: 10]), accepted / len(kept)


@pytest.fixture
def walk(monkeypatch):
    sampler = Walk()
    monkeypatch.setitem(SAMPLERS, sampler.name, sampler)
    return sampler


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=200), rng.integers(0, 2, 200)
    return pd.DataFrame({"y": rng.poisson(np.exp(0.5 + 0.4 * z + 0.3 * x)), "x": x, "z": z})


def test_a_sampler_without_stan_that_integrates_nothing_out_is_one_entry(walk, counts, tmp_path):
    """It is asked for by name, warned about, summarised, asked for effects, saved and read again."""
    fit = mx.bayes("y ~ z + x", counts, family="poisson", engine="walk", draws=2000, seed=1)
    course: Course = fit.sampling
    assert course.method == "Metropolis"
    found = fit.tidy().set_index("term")["estimate"]
    exact = mx.bayes("y ~ z + x", counts, family="poisson", engine="stanli", draws=2000, seed=1, progress=False)
    # 2000 draws, of which some 500 count: a Monte Carlo error of 0.005
    np.testing.assert_allclose(found, exact.tidy().set_index("term")["estimate"].loc[found.index], atol=0.02)
    assert "random walk on beta" in fit.diagnostics().text()
    assert "random walk; nothing speaks against these draws" in " ".join(fit.summary().text().split())
    assert fit.glance()["method"].iloc[0] == "Metropolis"
    effect = mx.effects(fit, "z").table
    assert np.isfinite(effect[["estimate", "lower", "upper"]].to_numpy()).all()
    assert len(fit.predict(counts.head(3))) == 3
    with pytest.raises(ModelError, match="draws by walk do not give the marginal likelihood"):
        fit.log_evidence()
    again = mx.load(fit.save(tmp_path / "walk.mfx"))
    assert type(again.sampling) is Steps
    pd.testing.assert_frame_equal(again.tidy(), fit.tidy())


def test_its_concerns_are_warnings(walk, counts, monkeypatch):
    monkeypatch.setattr(Walk, "_walk", lambda self, design, *args, **kinds: (np.zeros((400, design.X.shape[1])), 0.01))
    with pytest.warns(SamplingWarning, match="The walk hardly moved"):
        fit = mx.bayes("y ~ z + x", counts, family="poisson", engine="walk", draws=400, seed=1)
    assert "The walk hardly moved" in fit.diagnostics().text()


def test_it_says_what_it_cannot_do_and_which_options_it_has(walk, counts):
    with pytest.raises(OptionError, match=r"walks over the coefficients[\s\S]*here: it is no Poisson[\s\S]*'stanli'"):
        mx.bayes("y ~ z + x", counts, engine="walk")
    steps = [mx.bayes("y ~ z + x", counts, family="poisson", engine="walk", draws=200, seed=1, control={"step": step})
             for step in (0.01, 0.1)]  # fmt: skip
    assert steps[0].sampling.accepted > steps[1].sampling.accepted  # an option that no other engine has
    with pytest.raises(OptionError, match="engine='walk' has no adapt_delta: it has progress, step"):
        mx.bayes("y ~ z + x", counts, family="poisson", engine="walk", adapt_delta=0.9)


def test_it_is_chosen_where_no_other_can_and_draws_from_the_prior(walk, counts, monkeypatch):
    for engine in stan_engines().values():
        monkeypatch.setattr(type(engine), "available", lambda self: "missing\ncommand")
    fit = mx.bayes("y ~ z + x", counts, family="poisson", draws=100, seed=1)
    assert fit.sampling.engine == "walk"
    prior = mx.prior_predictive("y ~ z + x", counts, family="poisson", draws=100, seed=1)
    assert prior.sampling.method == "prior"
    assert prior.simulate(2, seed=1).shape == (200, 2)


def test_every_engine_that_weights_or_samples_has_cores_and_progress():
    """Whoever changes the engine need not change the call; those without chains use one core."""
    assert all(
        {"cores", "progress"} <= set(sampler.options) for name, sampler in SAMPLERS.items() if name != "recorder"
    )
