"""Programs that mixedfx writes, sampled by every engine that is usable here: from a formula to draws with its names."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.bayes.engines.base import Settings
from mixedfx.bayes.samplers import stan_engines
from mixedfx.bayes.stan.code import stan_code, stan_data
from mixedfx.bayes.stan.parameters import joint_draws, variables
from mixedfx.bayes.stan.shape import model_shape
from mixedfx.design.build import build_design
from mixedfx.errors import ApproximationWarning, MissingPackageError
from mixedfx.families.registry import find_family
from mixedfx.formula.parse import parse_formula
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set

USABLE = [name for name, engine in stan_engines().items() if engine.available() is None]
FORMULA = "y ~ x + (1 + x | g)"
GROUPS = 12


@pytest.fixture(scope="module")
def frame():
    """Bernoulli responses with an intercept of 0.5, a slope of 1 and sds of 0.6 and 0.3 over 12 groups of 50."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(GROUPS), 50)
    x = rng.normal(size=g.size)
    u = rng.normal(size=(GROUPS, 2)) * [0.6, 0.3]
    eta = 0.5 + u[g, 0] + (1.0 + u[g, 1]) * x
    return pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "x": x, "g": [f"g{i}" for i in g]})


@pytest.mark.parametrize("engine", USABLE)
def test_a_model_comes_back_from_its_program(frame, engine):
    """The fixed effects within four posterior sds of the truth, which a seed that is fixed cannot leave by chance."""
    family = find_family("bernoulli")
    design = build_design(parse_formula(FORMULA), frame, family=family)
    resolved = resolve(prior_set(None), scales_of(design, family))
    shape = model_shape(design, family, resolved)
    text, data = stan_code(FORMULA, frame, "bernoulli"), stan_data(FORMULA, frame, "bernoulli")
    stan_engines()[engine].check(text)
    settings = Settings(seed=1, chains=2, warmup=400, draws=800)
    found = stan_engines()[engine].sample(text, data, settings, variables(shape))
    assert set(found.variables) == set(variables(shape))
    joint = joint_draws(found.variables, design, family, resolved, shape)
    (predictor,) = joint.predictors
    assert predictor.beta.shape == (800, 2)
    assert predictor.u.shape == (800, 2 * GROUPS)
    error = np.abs(predictor.beta.mean(0) - [0.5, 1.0]) / predictor.beta.std(0)
    assert (error < 4).all()
    assert not found.sampler.divergent.any()


@pytest.fixture(scope="module")
def fits(frame):
    """A fit by every engine that is usable here."""
    options = {"chains": 2, "warmup": 400, "draws": 2000, "seed": 1, "progress": False}
    return {name: mx.bayes(FORMULA, frame, "bernoulli", engine=name, **options) for name in USABLE}


@pytest.mark.parametrize("engine", USABLE)
def test_a_fit_is_the_same_from_every_engine(frame, fits, engine):
    """Names and shapes; and posterior means within five Monte Carlo errors of 400 effective draws each."""
    fit, first = fits[engine], fits["stanli"]
    assert fit.sampling.engine == engine
    assert f"NUTS on all parameters by {engine}" in fit.diagnostics().text()
    ours, theirs = fit.draws(), first.draws()
    assert ours.names == theirs.names
    assert ours.array.shape == theirs.array.shape == (2, 1000, 2 + 2 + 1 + 2 * GROUPS)
    error = np.sqrt(2 * theirs.array.var((0, 1)) / 400)
    assert (np.abs(ours.array.mean((0, 1)) - theirs.array.mean((0, 1))) < 5 * error).all()
    effects = [mx.effects(one, "x", by="g").table["estimate"].to_numpy() for one in (fit, first)]
    assert effects[0] == pytest.approx(effects[1], abs=0.03)


@pytest.mark.parametrize("algorithm", ["pathfinder", "laplace", "variational"])
def test_an_approximation_says_that_it_is_one(frame, fits, algorithm):
    """Where CmdStan is installed; elsewhere the error has the command that installs it."""
    if "cmdstan" not in USABLE:
        with pytest.raises(MissingPackageError, match="install"):
            mx.bayes(FORMULA, frame, "bernoulli", algorithm=algorithm)
        return
    with pytest.warns(ApproximationWarning, match=f"Draws by {algorithm}"):
        fit = mx.bayes(FORMULA, frame, "bernoulli", algorithm=algorithm, draws=400, seed=1)
    assert fit.sampling.engine == "cmdstan"
    assert fit.draws().array.shape == (4, 100, 29)
    error = np.abs(fit.fixef - fits["stanli"].fixef) / np.sqrt(np.diag(fits["stanli"].vcov))
    assert (error < 1.5).all()
    assert "an approximation" in fit.diagnostics().text()


def test_an_engine_that_is_missing_is_named_with_its_command(frame, monkeypatch):
    monkeypatch.setattr(
        type(stan_engines()["cmdstan"]), "available", lambda self: "CmdStan is not installed\nthe command"
    )
    with pytest.raises(MissingPackageError, match="CmdStan is not installed\nthe command"):
        mx.bayes(FORMULA, frame, "bernoulli", engine="cmdstan")
