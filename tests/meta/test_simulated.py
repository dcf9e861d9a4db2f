"""Estimates simulated from a meta-analysis have the means and variances of the model, for its studies and others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import DataError, OptionError

N = 4000  # simulations: a variance is known to 2.2 %, five times that in the bounds below


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"dose": rng.uniform(0, 2, 20), "v": rng.uniform(0.02, 0.2, 20)}, index=[f"s{i}" for i in range(20)]
    )
    return frame.assign(y=0.2 + 0.3 * frame["dose"] + rng.normal(0, np.sqrt(0.1 + frame["v"])))


@pytest.fixture(scope="module")
def fit(data):
    return mx.rma("y ~ dose", data, vi="v")


def close(drawn, mean, variance):
    """Means within five standard errors, variances within 12 %."""
    drawn = drawn.to_numpy()
    assert (np.abs(drawn.mean(axis=1) - mean) < 5 * np.sqrt(variance / N)).all()
    np.testing.assert_allclose(drawn.var(axis=1), variance, rtol=0.12)


def test_studies_of_the_fit(fit, data):
    drawn = fit.simulate(N, seed=1)
    assert drawn.index.tolist() == data.index.tolist()
    close(drawn, fit.fitted.to_numpy(), fit.tau2 + fit.vi)
    kept = fit.simulate(N, seed=1, use_u=True)
    close(kept, fit.blup()["estimate"].to_numpy(), fit.vi)
    assert fit.simulate(2, seed=5).equals(fit.simulate(2, seed=5))


def test_new_studies(fit):
    new = pd.DataFrame({"dose": [0.5, 3.0], "v": [0.05, 0.3]}, index=["a", "b"])
    expected = fit.predict(new)["estimate"].to_numpy()
    drawn = fit.simulate(N, seed=2, newdata=new)
    assert drawn.index.tolist() == ["a", "b"]
    close(drawn, expected, fit.tau2 + new["v"].to_numpy())
    # variances given beside, as values, as one number, or in another column
    for vi in ([0.05, 0.3], pd.Series([0.3, 0.05], index=["b", "a"]), "w"):
        again = fit.simulate(3, seed=2, newdata=new.assign(w=new["v"]), vi=vi)
        np.testing.assert_allclose(again, fit.simulate(3, seed=2, newdata=new))
    close(fit.simulate(N, seed=3, newdata=new.drop(columns="v"), vi=0.1), expected, np.full(2, fit.tau2 + 0.1))


def test_standard_errors_are_squared(data):
    by_se = mx.rma("y ~ dose", data.assign(s=np.sqrt(data["v"])), sei="s")
    new = pd.DataFrame({"dose": [1.0], "s": [0.4]})
    close(
        by_se.simulate(N, seed=1, newdata=new), by_se.predict(new)["estimate"].to_numpy(), np.array([by_se.tau2 + 0.16])
    )


def test_what_is_lacking_is_said(fit, data):
    new = pd.DataFrame({"dose": [1.0]})
    with pytest.raises(OptionError, match="no column 'v'"):
        fit.simulate(newdata=new)
    with pytest.raises(DataError, match="'dose'"):
        fit.simulate(newdata=pd.DataFrame({"v": [0.1]}))
    for bad in (-0.1, np.nan):
        with pytest.raises(DataError, match="variance"):
            fit.simulate(newdata=new, vi=[bad])
    with pytest.raises(OptionError, match="of new studies"):
        fit.simulate(vi=0.1)
    given = mx.rma("y ~ dose", data, vi=data["v"].to_numpy())
    with pytest.raises(OptionError, match="given as numbers"):
        given.simulate(newdata=new)
    assert given.simulate(newdata=new, vi=0.1).shape == (1, 1)
    for wrong in ({"n": 0}, {"use_u": 1}, {"seed": "a"}):
        with pytest.raises(OptionError):
            fit.simulate(**wrong)
