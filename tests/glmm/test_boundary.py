"""Variances at zero and correlations at one: found exactly, certified, and told from saddles."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mx
from mixedfx.errors import MixedfxWarning, SingularFitWarning
from mixedfx.glmm.evaluation import evaluate
from mixedfx.results.optimization import Outcome


@pytest.fixture(scope="module")
def data():
    """Responses without any group effects (y0), both of whose estimates are zero, and with intercepts only (y1)."""
    rng = np.random.default_rng(15)
    g, h, x = rng.integers(0, 40, 600), rng.integers(0, 12, 600), rng.normal(size=600)
    p0, p1 = (1 / (1 + np.exp(-eta)) for eta in (0.3 + 0.5 * x, 0.3 + 0.5 * x + rng.normal(size=40)[g]))
    y0, y1 = (rng.random(600) < p0).astype(int), (rng.random(600) < p1).astype(int)
    return pd.DataFrame({"y0": y0, "y1": y1, "x": x, "z": rng.normal(size=600), "g": g.astype(str), "h": h.astype(str)})


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return mx.glmer(*arguments, **options)


def test_a_variance_of_zero_is_zero_and_the_model_without_it_the_same(data):
    with pytest.warns(SingularFitWarning, match="zero"):
        fit = mx.glmer("y0 ~ x + (1 | g)", data, "bernoulli")
    plain = quiet("y0 ~ x", data, "bernoulli")
    assert fit.theta.iloc[0] == 0.0
    assert fit.optimization.outcome is Outcome.BOUNDARY
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-7)
    np.testing.assert_allclose(fit.vcov, plain.vcov, rtol=1e-4)
    assert fit.laplace_error == pytest.approx(0.0, abs=1e-10)


def test_both_variances_of_crossed_factors_can_be_zero(data):
    fit = quiet("y0 ~ x + (1 | g) + (1 | h)", data, "bernoulli")
    assert fit.theta.tolist() == [0.0, 0.0]
    assert fit.optimization.outcome is Outcome.BOUNDARY


@pytest.mark.parametrize("text", ["(x | g)", "(x + z | g)", "(0 + x + z | g) + (1 | h)"])
def test_singular_covariances_are_certified_minima(data, text):
    fit = quiet(f"y0 ~ x + {text}", data, "bernoulli")
    assert fit.converged
    assert fit.singular
    # no point nearby is better: 40 random steps of a tenth of a standard error and less
    solution, rng = fit.solution, np.random.default_rng(0)
    scale = 1 / np.sqrt(np.abs(np.diag(solution.evaluation.average)) / 2)
    for size in (1e-3, 1e-1):
        for _ in range(20):
            psi = solution.psi + size * scale * rng.normal(size=len(scale))
            assert evaluate(solution.model, psi, solution.evaluation.mode.v).criterion > fit.criterion - 1e-7


def test_zero_is_no_place_to_stay_where_there_is_a_variance(data):
    """By symmetry the criterion is stationary at zero; the curvature there, the derivative in theta^2, leads away."""
    fit = quiet("y1 ~ x + (1 | g)", data, "bernoulli", control={"start": [0.0]})
    assert fit.theta.iloc[0] == pytest.approx(quiet("y1 ~ x + (1 | g)", data, "bernoulli").theta.iloc[0], rel=1e-4)
    at_zero = evaluate(fit.solution.model, np.r_[fit.solution.psi[:2], 0.0])
    assert at_zero.gradient[2] == 0.0
    assert at_zero.curvature[2, 2] < 0


def test_the_curvature_at_zero_is_the_derivative_in_the_variance(data):
    """D(theta) - D(0) = slope theta^2: to 1e-5, the next term being theta^4."""
    for text in ("(1 | g)", "(1 | h) + (1 | g)"):
        fit = quiet(f"y1 ~ x + {text}", data, "bernoulli")
        model, psi = fit.solution.model, fit.solution.psi.copy()
        psi[2] = 0.0
        zero = evaluate(model, psi, decrement=1e-22)
        away = evaluate(model, psi + 1e-2 * np.eye(len(psi))[2], decrement=1e-22)
        slope = (away.criterion - zero.criterion) / 1e-4
        assert zero.average[2, 2] / 2 == pytest.approx(slope, rel=0.02)
