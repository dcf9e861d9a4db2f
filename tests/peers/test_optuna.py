"""Tuning by optuna itself; the loop around it is tested in tests/learn/test_tuning.py.

`make test-peers` runs this in an environment of its own.
"""

import numpy as np
import pytest

import mixedfx as mx
from mixedfx.errors import OptionError

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1200, 2))
    w = rng.integers(2, size=1200)
    return X, X[:, 1] + w * (1 + X[:, 0]) + 0.5 * rng.standard_normal(1200), w


def grid():
    from optuna.distributions import FloatDistribution
    from sklearn.linear_model import LinearRegression, Ridge

    ridge = {"outcome": [LinearRegression()], "effect": [Ridge()]}
    return {
        "R": {**ridge, "effect__alpha": FloatDistribution(1e-2, 1e6, log=True)},
        "T": {"outcome": [LinearRegression(), Ridge(alpha=1e5)]},
    }


def tuned(trial, **options):
    from sklearn.linear_model import LinearRegression

    return mx.tune_cate(grid(), *trial, search="optuna", outcome=LinearRegression(), propensity=0.5, **options)


def test_optuna_finds_what_is_good_and_fits_nothing_twice(trial):
    """Effects are linear: a small penalty is best, and T has two candidates, however often they are suggested."""
    found = tuned(trial, n_trials=25)
    table = found.table
    assert 5 < len(table) <= 25
    assert (table["learner"] == "T").sum() <= 2
    assert table["loss"].is_monotonic_increasing
    assert table["explained"][0] > 0.1
    best = table.iloc[0]
    assert best["learner"] == "T" or best["effect__alpha"] < 1e3
    assert (table["rows"] == 1200).all()


def test_a_seed_says_the_same_again(trial):
    first, second = (tuned(trial, n_trials=8, seed=3).table.drop(columns="seconds") for _ in range(2))
    assert first.equals(second)


def test_its_distributions_are_for_it_alone(trial):
    with pytest.raises(OptionError, match="effect__alpha is a distribution, from which only optuna draws"):
        mx.tune_cate(grid(), *trial)


def test_verbosity_is_left_as_it_was(trial):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tuned(trial, n_trials=2)
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
