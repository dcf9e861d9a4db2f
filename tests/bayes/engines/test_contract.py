"""What every engine of the registry owes: the same names, shapes and log density for the same program and data.

An engine that is not installed here is held to the part of the contract about that; `test_cmdstan_installed.py` says
which.
"""

import numpy as np
import pytest
from scipy import stats

from mixedfx.bayes.engines.base import Settings, require
from mixedfx.bayes.samplers import stan_engines
from mixedfx.errors import MissingPackageError, ModelError, UnknownQuantityError
from tests.bayes.engines.programs import SHAPES, SHAPES_DATA, SHAPES_KEEP, SHAPES_OF, UNCONSTRAINED

USABLE = [name for name, engine in stan_engines().items() if engine.available() is None]


def means():
    """Posterior means of `SHAPES`: mu is normal(y, 1) under normal(0, 1), the rest have their priors."""
    b = np.array([1.0, 2.0, 3.0])
    j = np.arange(1, 4)
    mu = 1.5 / 3
    return {
        "mu": mu,
        "tau": 2.0,
        "b": b,
        "B": np.array([10 + j, 20 + j]),
        "v": np.array([100 + j, 200 + j]),
        "z": np.empty(0),
        "shifted": b + 10,
        "twice": np.array([[2 * mu, 4.0], [2 * b[0], 2 * b[1]]]),
    }


@pytest.fixture(scope="module", params=USABLE)
def engine(request):
    return stan_engines()[request.param]


@pytest.fixture(scope="module")
def draws(engine):
    return engine.sample(SHAPES, SHAPES_DATA, Settings(seed=2, chains=3, draws=3000, warmup=500), keep=SHAPES_KEEP)


def test_every_name_is_the_name_of_the_engine():
    assert all(name == engine.name for name, engine in stan_engines().items())


def test_stanli_is_always_there():
    assert "stanli" in USABLE


def test_variables_have_the_shapes_of_the_program_and_the_order_asked_for(draws):
    assert list(draws.variables) == SHAPES_KEEP
    assert {name: value.shape[2:] for name, value in draws.variables.items()} == SHAPES_OF
    assert {value.shape[:2] for value in draws.variables.values()} == {(3, 1000)}


def test_every_element_is_where_it_belongs(draws):
    """Neighbours' means are one apart; the largest sd is 1, so that 0.2 is six Monte Carlo errors and more."""
    for name, mean in means().items():
        assert draws.variables[name].mean((0, 1)) == pytest.approx(mean, abs=0.2), name
    assert np.allclose(draws.variables["shifted"], draws.variables["b"] + 10, rtol=1e-12)
    assert np.allclose(draws.variables["twice"][..., 1, 0], 2 * draws.variables["b"][..., 0], rtol=1e-12)


def test_only_what_is_asked_for_is_kept(engine):
    few = engine.sample(SHAPES, SHAPES_DATA, Settings(seed=2, chains=1, draws=10), keep=["b"])
    assert list(few.variables) == ["b"]
    with pytest.raises(UnknownQuantityError, match="sigma"):
        engine.sample(SHAPES, SHAPES_DATA, Settings(seed=2, chains=1, draws=10), keep=["sigma"])


def test_the_sampler_says_how_it_fared(draws):
    sampler = draws.sampler
    assert (sampler.divergent.dtype, sampler.treedepth.dtype) == (bool, np.int64)
    each = ("divergent", "treedepth", "energy", "lp", "acceptance", "leapfrogs")
    assert {getattr(sampler, name).shape for name in each} == {(3, 1000)}
    assert sampler.step_size.shape == (3,)
    assert (sampler.step_size > 0).all()
    assert sampler.max_treedepth == 10
    assert sampler.treedepth.min() >= 1
    assert (sampler.energy > -sampler.lp).all()  # the kinetic energy is positive
    assert 0.7 < sampler.acceptance.mean() < 0.95  # adapted to 0.8


def test_the_same_seed_gives_the_same_draws(engine, draws):
    again = engine.sample(SHAPES, SHAPES_DATA, Settings(seed=2, chains=3, draws=3000, warmup=500), keep=["mu", "v"])
    assert np.array_equal(again.variables["mu"], draws.variables["mu"])
    assert np.array_equal(again.variables["v"], draws.variables["v"])
    other = engine.sample(SHAPES, SHAPES_DATA, Settings(seed=3, chains=3, draws=3000, warmup=500), keep=["mu"])
    assert not np.array_equal(other.variables["mu"], draws.variables["mu"])


def test_draws_say_where_they_come_from(engine, draws):
    assert (draws.engine, draws.algorithm) == (engine.name, "nuts")
    assert draws.version[0].isdigit()
    assert draws.seconds > 0


def test_the_log_density_is_that_of_the_program(engine):
    """Written out with SciPy up to the constants that ``~`` drops; tau = exp(t) brings the Jacobian t."""
    points = np.random.default_rng(1).normal(size=(5, UNCONSTRAINED))
    j = np.arange(1, 4)
    centres = np.concatenate([[0, 0], [1, 2, 3], np.column_stack([10 + j, 20 + j]).ravel(), 100 + j, 200 + j])
    mu, t = points[:, 0], points[:, 1]
    rest = np.delete(points - centres, 1, axis=1)
    expected = -0.5 * (rest**2).sum(1) - 0.5 * ((0.5 - mu) ** 2 + (1.0 - mu) ** 2)
    expected += stats.gamma(4, scale=0.5).logpdf(np.exp(t)) + t
    found = engine.log_density(SHAPES, SHAPES_DATA, points)
    assert found.shape == (5,)
    # Constants may differ, the same at all points; doubles are exact to 1e-16 of terms up to 1e5.
    assert found - found[0] == pytest.approx(expected - expected[0], abs=1e-9)


def test_a_point_without_a_density_has_minus_infinity(engine):
    text = 'parameters { real x; } model { if (x > 1) reject("no"); x ~ std_normal(); }'
    assert engine.log_density(text, {}, np.array([[0.0], [2.0]])).tolist() == [0.0, -np.inf]


def test_data_that_do_not_fit_are_an_error_of_the_log_density_too(engine):
    with pytest.raises(ModelError, match="y"):
        engine.log_density(SHAPES, {"N": 3, "y": [0.5, 1.0], "K": 0}, np.zeros((1, UNCONSTRAINED)))


def test_a_program_is_checked_without_sampling(engine):
    engine.check(SHAPES)
    with pytest.raises(ModelError, match=r"not compile[\s\S]*nor_mal"):
        engine.check("parameters { real x; } model { x ~ nor_mal(0, 1); }")
    with pytest.raises(ModelError, match='";"'):
        engine.check("parameters { real x } model { }")


def test_an_engine_that_is_missing_says_how_to_install_it(monkeypatch):
    for engine in stan_engines().values():
        monkeypatch.setattr(type(engine), "available", lambda self: "it is not installed\nthe command")
        with pytest.raises(MissingPackageError, match="it is not installed\nthe command"):
            require(engine)
