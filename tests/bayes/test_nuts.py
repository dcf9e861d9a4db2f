"""Where importance weights cannot serve, NUTS samples the same density; and it samples it right."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.collapsed import engine
from mixedfx.errors import ModelError, ModeWarning, SamplingWarning


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


def test_too_many_coordinates_hand_over_to_nuts(data):
    fit = mx.bayes("y ~ 1 + (1 | g)", data, draws=400, chains=2, warmup=200, seed=1, control={"max_coordinates": 1})
    assert fit.sampling.reason == "2 coordinates, more than 1"


def two_explanations():
    """A sharp prior on sigma, far from what the data say, against a sharp prior on the sd."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": 3 * rng.normal(size=12), "g": np.repeat(list("abcdef"), 2)})
    data["y"] += 3 * np.repeat(rng.normal(size=6), 2)
    return data, {"sigma": priors.student_t(1, 0.1, 0.01), "sd": priors.student_t(1, 0.1, 0.01)}


def test_two_modes_are_sampled_in_proportion_to_their_mass():
    """The share of draws in which the groups explain y is that of quadrature."""
    data, given = two_explanations()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplingWarning)
        fit = mx.bayes("y ~ 1 + (1 | g)", data, priors=given, seed=1)
    assert fit.sampling.method == "importance"
    assert fit.sampling.modes == 2
    a, b = np.meshgrid(np.arange(-6, 5, 0.02), np.arange(-14, 6, 0.02), indexing="ij")
    density = np.exp(fit.target.log_density(np.column_stack([a.ravel(), b.ravel()])) + 40)
    expected = density[b.ravel() > -1].sum() / density.sum()
    # 4,000 draws of 60 % effective points
    assert (fit.draws()["sd", "g", "Intercept"] > np.exp(-1)).mean() == pytest.approx(expected, abs=0.04)
    assert fit.log_evidence.value == pytest.approx(np.log(density.sum()) - 40 + 2 * np.log(0.02), abs=0.05)
    text = " ".join(fit.diagnostics().text().split())
    assert "Modes: 2, from 4 starting points, the REML estimate among them, with" in text


def test_chains_of_nuts_begin_at_every_mode_and_say_that_they_hardly_cross():
    data, given = two_explanations()
    with pytest.warns(ModeWarning, match="2 modes"):
        fit = mx.bayes("y ~ 1 + (1 | g)", data, priors=given, engine="nuts", draws=400, chains=4, warmup=20, seed=1)
    assert fit.sampling.modes == 2
    # soon after their start: a long warm-up leads most of them to the heavier mode, which they hardly leave
    first = np.log(fit.draws()["sd", "g", "Intercept"][:, :5].mean(axis=1))
    assert (first > -1).any()
    assert (first < -1).any()
    assert "nothing speaks" not in fit.diagnostics().text()


def test_variances_near_zero_are_no_error():
    """Twenty-eight coordinates, data that vary by nothing but noise, priors of sds a hundredth of it."""
    rng = np.random.default_rng(5)
    columns = {f"x{j}": rng.normal(size=80) for j in range(5)}
    data = pd.DataFrame(
        {"y": rng.normal(size=80), "g": rng.integers(8, size=80), "h": rng.integers(5, size=80), **columns}
    )
    slopes = " + ".join(columns)
    formula = f"y ~ 1 + (1 + {slopes} | g) + (1 + {slopes} || h)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # 150 draws of a chain are few
        fit = mx.bayes(formula, data, priors={"sd": priors.half_normal(0.01)}, draws=600, warmup=120, seed=1)
    assert fit.sampling.method == "nuts"
    assert fit.sampling.reason == "28 coordinates, more than 24"
    assert fit.sampling.divergences == 0
    assert fit.sampling.r_hat < 1.04
    # the likelihood says nothing: the sds are those of the prior, half-normal with mean 0.008
    sds = np.stack([fit.draws()["sd", "h", c].ravel() for c in columns])
    assert sds.mean(axis=1) == pytest.approx(0.01 * np.sqrt(2 / np.pi), rel=0.15)
