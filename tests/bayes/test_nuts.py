"""Where importance weights cannot serve, NUTS samples the same density; and it samples it right."""

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes import engine
from mixedfx.errors import ModelError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(8), 10)
    return pd.DataFrame({"y": 1 + rng.normal(size=8)[g] + rng.normal(size=80), "g": [f"g{j}" for j in g]})


def test_nuts_and_importance_sampling_agree(data):
    exact = mx.bayes("y ~ 1 + (1 | g)", data, seed=1)
    nuts = mx.bayes("y ~ 1 + (1 | g)", data, engine="nuts", draws=1200, chains=3, warmup=300, seed=1)
    assert nuts.sampling.method == "nuts"
    assert nuts.sampling.r_hat < 1.02
    assert nuts.sampling.ess > 200
    assert np.isnan(nuts.sampling.k_hat)
    for key in [("sigma",), ("sd", "g", "Intercept"), ("beta", "Intercept"), ("u", "g", "g3", "Intercept")]:
        x, y = np.log(np.abs(nuts.draws()[key])).ravel(), np.log(np.abs(exact.draws()[key])).ravel()
        assert abs(x.mean() - y.mean()) < 4.5 * np.sqrt(x.var() / nuts.sampling.ess + y.var() / 3000)
    text = nuts.diagnostics().text()
    assert "asked for" in text
    assert "R-hat" in text
    with pytest.raises(ModelError, match="marginal likelihood"):
        _ = nuts.log_evidence


def test_too_large_a_k_hat_hands_over_to_nuts(data, monkeypatch):
    real = engine.smooth
    monkeypatch.setattr(engine, "smooth", lambda ratios: (real(ratios)[0], 0.9))
    fit = mx.bayes("y ~ 1 + (1 | g)", data, draws=400, chains=2, warmup=200, seed=1)
    assert fit.sampling.method == "nuts"
    assert fit.sampling.reason == "k-hat of the importance weights is 0.90, above 0.7"


def test_too_many_coordinates_hand_over_to_nuts(data, monkeypatch):
    monkeypatch.setattr(engine, "MOST_COORDINATES", 1)
    fit = mx.bayes("y ~ 1 + (1 | g)", data, draws=400, chains=2, warmup=200, seed=1)
    assert fit.sampling.reason == "2 coordinates, more than 1"


def test_two_modes_hand_over_to_nuts():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": 3 * rng.normal(size=12), "g": np.repeat(list("abcdef"), 2)})
    data["y"] += 3 * np.repeat(rng.normal(size=6), 2)
    given = {"sigma": priors.student_t(1, 0.1, 0.01), "sd": priors.student_t(1, 0.1, 0.01)}
    with pytest.warns(Warning, match=r"R-hat|effective draws"):
        fit = mx.bayes("y ~ 1 + (1 | g)", data, priors=given, draws=400, chains=4, warmup=200, seed=1)
    assert fit.sampling.method == "nuts"
    assert fit.sampling.modes >= 2
    assert "modes were found" in fit.sampling.reason
