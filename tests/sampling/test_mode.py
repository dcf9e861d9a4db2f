"""Under flat priors the mode in (theta, sigma) is the REML solution; two modes are found where there are two, from the
REML estimate too; the curvature and the mass are those of the density."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import mixedfx as mx
from mixedfx import priors
from mixedfx.design.build import build_design
from mixedfx.errors import ModelError
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from mixedfx.sampling import mode as mode_module
from mixedfx.sampling import target as target_module
from mixedfx.sampling.mode import find_modes
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


@pytest.mark.parametrize("together", [True, False])
def test_the_curvature_is_that_of_the_density(together, monkeypatch):
    """Differences of the exact gradient, at many points at once or one by one, agree with differences by hand."""
    target = target_of(CASES[0][1], pd.read_csv(DATA / CASES[0][0]), "default")
    if not together:
        monkeypatch.setattr(target_module, "points_of", lambda _: None)
    modes = find_modes(target)
    assert (target.points is not None) == together
    assert len(modes.found) == 1
    mode = modes.best
    value, gradient = target.value_and_gradient(mode.phi)
    assert value == pytest.approx(mode.log_density, abs=1e-9)
    assert np.abs(gradient).max() < 2e-3
    precision = np.linalg.inv(mode.covariance)
    h = 1e-3
    for i, e in enumerate(np.eye(target.size)):
        up, down = (target.value_and_gradient(mode.phi + s * h * e)[1] for s in (1, -1))
        np.testing.assert_allclose(-(up - down)[i] / (2 * h), precision[i, i], rtol=1e-3)


def two_explanations():
    """A sharp prior on sigma, far from what the data say, against a sharp prior on the sd leaves two ways to explain
    y."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": 3 * rng.normal(size=12), "g": np.repeat(list("abcdef"), 2)})
    data["y"] += 3 * np.repeat(rng.normal(size=6), 2)
    given = {"sigma": priors.student_t(1, 0.1, 0.01), "sd": priors.student_t(1, 0.1, 0.01)}
    return target_of("y ~ 1 + (1 | g)", data, given)


def test_two_modes_are_found_and_their_masses_add_up():
    """Laplace's approximation of both masses together is within a factor of two of the integral by quadrature."""
    target = two_explanations()
    modes = find_modes(target)
    assert len(modes.found) == 2
    assert modes.starts == 4
    first, second = modes.found
    assert first.log_mass > second.log_mass
    assert first.distance(second.phi[None])[0] > 1.5
    a, b = np.meshgrid(np.arange(-6, 5, 0.02), np.arange(-14, 6, 0.02), indexing="ij")
    density = target.log_density(np.column_stack([a.ravel(), b.ravel()]))
    total = float(np.logaddexp.reduce(density) + 2 * np.log(0.02))
    assert abs(np.logaddexp(first.log_mass, second.log_mass) - total) < np.log(2)


def test_the_reml_estimate_is_a_start_of_its_own(monkeypatch):
    """Where every other start climbs to one of two modes, the maximum of the likelihood leads to the other."""
    target = two_explanations()
    far = find_modes(target).best.phi  # the residual explains all, and the sd is near zero
    start = [target.coordinates.even(3.0, 0.05)]
    monkeypatch.setattr(mode_module, "starting_points", lambda _: start)
    near = find_modes(target).found
    assert any(np.abs(mode.phi - far).max() < 0.01 for mode in near)
    assert any(mode.phi[1] > 0.5 for mode in near)
    assert find_modes(target).starts == 2


def test_a_singular_reml_estimate_is_moved_inside():
    """Where REML puts the sd at zero, its logarithm has no end: the start stays at a hundredth of sigma."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": np.tile([-1.0, 1.0], 12) + 0.01 * rng.normal(size=24), "g": np.repeat(list("abcdef"), 4)})
    assert mx.lmer("y ~ 1 + (1 | g)", data).singular
    target = target_of("y ~ 1 + (1 | g)", data, "default")
    inside = mode_module._moved_inside(target, np.array([0.0, -40.0]))
    assert inside[1] == pytest.approx(np.log(0.01))
    modes = find_modes(target)
    assert len(modes.found) == 1
    assert np.isfinite(modes.best.covariance).all()


def test_a_density_that_is_zero_at_every_start_is_an_error(monkeypatch):
    target = target_of(CASES[3][1], pd.read_csv(DATA / CASES[3][0]), "default")

    def nowhere(self, phi, prior=True):
        return np.full(len(phi), -np.inf), np.zeros(phi.shape)

    monkeypatch.setattr(target_module.Target, "values_and_gradients", nowhere)
    with pytest.raises(ModelError, match="zero or not a number at every starting point"):
        find_modes(target)
