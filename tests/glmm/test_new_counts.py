"""Counts simulated for new rows, of hurdle and of zero-inflated fits: their means and zeros are those of the model."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, MixedfxWarning, OptionError

N = 4000  # simulations: five standard errors of their mean are 0.08 standard deviations


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(8)
    n = 600
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n), "g": (np.arange(n) % 20).astype(str)})
    level = np.exp(0.9 + 0.3 * frame["x"] + 0.4 * rng.normal(size=20)[np.arange(n) % 20])
    none = rng.random(n) < 1 / (1 + np.exp(0.3 - 0.6 * frame["w"]))
    return frame.assign(y=np.where(none, 0, rng.poisson(level)))


@pytest.fixture(scope="module", params=["poisson", "hurdle_poisson"])
def fit(request, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer("y ~ x + (1 | g)", data, request.param, zi="~ w + (1 | g)")


def test_known_groups_keep_their_effects(fit, data):
    rows = data.iloc[[3, 40, 7]].assign(x=[0.0, 1.0, 2.0]).set_axis(["a", "b", "c"], axis=0)
    drawn = fit.simulate(N, seed=1, use_u=True, newdata=rows)
    assert drawn.index.tolist() == ["a", "b", "c"]
    mean = fit.predict(rows).to_numpy()
    assert (np.abs(drawn.mean(axis=1) - mean) < 0.08 * drawn.std(axis=1)).all()
    if fit.name.startswith("hurdle"):
        none = fit.predict(rows, kind="zero").to_numpy()
        assert (np.abs((drawn == 0).mean(axis=1) - none) < 0.04).all()
    # the rows of the fit, given as new ones, are the same question
    same, own = (fit.simulate(300, seed=2, use_u=True, newdata=given).to_numpy() for given in (data, None))
    np.testing.assert_allclose(same.mean(axis=1), own.mean(axis=1), atol=0.5 * own.std(axis=1).max())


def test_new_groups_vary_as_their_population(fit, data):
    """Over the population of groups; rows of one group go together."""
    rows = pd.DataFrame({"x": [0.5, 0.5, 0.5], "w": 0.0, "g": ["new", "new", "other"]})
    drawn = fit.simulate(N, seed=3, newdata=rows)
    mean = fit.predict(rows, groups="integrate").to_numpy()
    assert (np.abs(drawn.mean(axis=1) - mean) < 0.08 * drawn.std(axis=1)).all()
    correlation = np.corrcoef(drawn.to_numpy())
    assert correlation[0, 1] > correlation[0, 2] + 0.03
    assert fit.simulate(seed=4, newdata=rows).equals(fit.simulate(seed=4, newdata=rows))


def test_what_is_lacking_is_said(fit, data):
    for column in ("x", "w"):
        with pytest.raises(DataError, match=f"'{column}'"):
            fit.simulate(newdata=data.drop(columns=column))
    with pytest.raises(DataError, match="groups"):
        fit.simulate(newdata=data.drop(columns="g"))
    with pytest.raises(OptionError):
        fit.simulate(0, newdata=data)


def test_a_hurdle_model_with_a_model_of_its_dispersion_is_simulated(data):
    """For its own rows and new ones: the shape is that of the row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        fit = mx.glmer("y ~ x", data, "hurdle_negbinomial", zi="~ 1", dispersion="~ w")
    assert fit.simulate(2, seed=1).shape == (600, 2)
    rows = data.iloc[[0, 1]].assign(w=[-1.0, 1.0])
    drawn = fit.simulate(N, seed=1, newdata=rows)
    assert (np.abs(drawn.mean(axis=1) - fit.predict(rows)) < 0.15 * drawn.std(axis=1)).all()
