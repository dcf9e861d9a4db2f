"""Under flat priors the mode in (theta, sigma) is the REML solution; two modes are found where there are two."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import mixedfx as mx
from mixedfx import priors
from mixedfx.bayes.context import scales_of
from mixedfx.design.build import build_design
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling import target as target_module
from mixedfx.sampling.mode import find_mode
from mixedfx.sampling.target import build_target

DATA = Path(__file__).resolve().parents[1] / "data"
FLAT = {"intercept": priors.flat(), "coef": priors.flat(), "sd": priors.flat(), "sigma": priors.flat()}
CASES = [
    ("sleepstudy.csv", "Reaction ~ Days + (Days | Subject)"),
    ("sleepstudy.csv", "Reaction ~ Days + (Days || Subject)"),
    ("penicillin.csv", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("dyestuff.csv", "Yield ~ 1 + (1 | Batch)"),
]


def target_of(formula, data, given):
    design = build_design(formula, data)
    return build_target(design, resolve(prior_set(given), scales_of(design)))


@pytest.mark.parametrize(("file", "formula"), CASES)
def test_the_mode_under_flat_priors_is_the_reml_solution(file, formula):
    data = pd.read_csv(DATA / file)
    fit = mx.lmer(formula, data)
    target = target_of(formula, data, FLAT)
    problem = target.collapsed.problem

    def minus(x):
        at = target.collapsed.evaluate(problem.matrices(x[:-1]), float(np.exp(x[-1])), derivatives=True)
        gradient = [at.gradient[f][a, b] for f, a, b in problem.entries]
        return -at.value, -np.append(gradient, at.sigma_gradient)

    best = problem.parameters(fit.theta.to_numpy())
    start = np.append(np.where(best > 0, 0.8 * best + 0.1, 0.1), np.log(1.2 * fit.sigma))
    found = optimize.minimize(minus, start, jac=True, method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(problem.theta(found.x[:-1]), fit.theta, atol=1e-5)
    assert np.exp(found.x[-1]) == pytest.approx(fit.sigma, rel=1e-5)
    assert -2 * target.collapsed.evaluate(problem.matrices(best), fit.sigma).value == pytest.approx(
        fit.criterion, abs=1e-8
    )


@pytest.mark.parametrize("batched", [True, False])
def test_the_curvature_is_that_of_the_density(batched, monkeypatch):
    """Differences of many densities, and of the exact gradient, agree with second differences by hand."""
    target = target_of(CASES[0][1], pd.read_csv(DATA / CASES[0][0]), "default")
    if not batched:
        monkeypatch.setattr(target_module, "batch", lambda _: None)
    mode = find_mode(target)
    assert (target.batch is not None) == batched
    _, gradient = target.value_and_gradient(mode.phi)
    assert np.abs(gradient).max() < 2e-3
    precision = np.linalg.inv(mode.covariance)
    h = 1e-3
    for i, e in enumerate(np.eye(target.size)):
        up, down = (target.value_and_gradient(mode.phi + s * h * e)[1] for s in (1, -1))
        np.testing.assert_allclose(-(up - down)[i] / (2 * h), precision[i, i], rtol=1e-3)
    assert mode.others == ()


def test_a_second_mode_is_found():
    """A sharp prior on sigma, far from what the data say, against a sharp prior on the sd leaves two ways to explain
    y."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": 3 * rng.normal(size=12), "g": np.repeat(list("abcdef"), 2)})
    data["y"] += 3 * np.repeat(rng.normal(size=6), 2)
    given = {"sigma": priors.student_t(1, 0.1, 0.01), "sd": priors.student_t(1, 0.1, 0.01)}
    mode = find_mode(target_of("y ~ 1 + (1 | g)", data, given))
    assert len(mode.others) >= 1
