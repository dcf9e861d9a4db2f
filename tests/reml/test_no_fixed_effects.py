"""Formulas without fixed effects: nothing but offsets and random terms, in every layout of the factors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfx as mx

FORMULAS = [
    "y ~ 0 + (1 | g)",
    "y ~ 0 + (x | g)",
    "y ~ 0 + (1 | g) + (1 | h)",
    "y ~ 0 + (1 | g / h)",
    "y ~ 0 + offset(x) + (1 | g) + (0 + x | h)",
    "y ~ 0 + (x | g) + (x || h) + (1 | k)",
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    g, h, k = np.repeat(np.arange(20), 6), rng.integers(0, 6, 120), rng.integers(0, 9, 120)
    frame = pd.DataFrame({"x": rng.normal(size=120), "g": g, "h": h, "k": k})
    frame["y"] = rng.normal(size=20)[g] + rng.normal(size=6)[h] * (1 + frame["x"]) + rng.normal(size=120)
    return frame


@pytest.mark.filterwarnings("ignore::mixedfx.errors.SingularFitWarning")
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("REML", [True, False])
def test_the_criterion_is_the_density_of_the_response_and_every_verb_answers(data, formula, REML):
    fit = mx.lmer(formula, data, REML=REML)
    assert fit.converged
    assert len(fit.fixef) == 0
    V = np.eye(len(data))
    for term, T in zip(fit.design.random, fit.solution.factors, strict=True):
        effects = term.z @ T
        same = term.codes[:, None] == term.codes
        V = V + same * (effects @ effects.T)
    density = stats.multivariate_normal(fit.design.offset, fit.sigma**2 * V).logpdf(fit.design.y)
    assert fit.loglik == pytest.approx(density, abs=1e-6)  # REML without fixed effects is maximum likelihood
    assert len(fit.tidy()) == 0
    assert len(fit.anova()) == 0
    assert fit.predict(data.iloc[:3], interval="prediction").notna().all(axis=None)
    assert "In short" in fit.check().text()
    assert "Fixed effects" in str(fit.summary())
    assert len(fit.influence(by="g").cooks_distance) == 20
    for kind in ("standardized", "marginal_standardized"):
        assert np.isfinite(fit.residuals(kind)).all()
