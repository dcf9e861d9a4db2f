"""Rows with two linear predictors as three rows of the engine: products, gradient and second derivatives are exact."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.families.registry import family
from mixedfx.families.zero_inflated import ZERO_INFLATED
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.model import build_model
from mixedfx.glmm.modes import find_mode
from mixedfx.glmm.pairs import COPIES, MARK, stacked
from mixedfx.glmm.solve import starting_point
from tests.glmm.data import RELATED, five_point, simulated

TIGHT = 1e-22  # decrement at which modes are exact
STRUCTURES = {  # of the counts, of the zeros
    "none": ("", ""),
    "count": (" + (1 | g)", ""),
    "zero": ("", " + (1 | g)"),
    "same": (" + (1 | g)", " + (1 | g)"),
    "slopes": (" + (1 + x | g)", " + (1 + x | g)"),
    "diagonal": (" + (1 + x || g)", " + (1 | g)"),
    "serial": (" + ar1(0 + k | g)", " + (1 | g)"),
    "crossed": (" + (1 | g)", " + (1 | h)"),
    "several": (" + (1 | g) + (1 | h)", " + (1 + x | h)"),
    "nested": (" + (1 | a) + (1 | g)", " + (1 | a)"),
    "related": (" + (1 | gr(h, cov=R))", " + (1 | g)"),
}
ONE_FACTOR = ("none", "count", "zero", "same", "slopes", "diagonal", "serial")


@cache
def data(name):
    rng = np.random.default_rng(5)
    frame = simulated(name, "log")
    return frame.assign(y=np.where(rng.random(len(frame)) < 0.3, 0.0, frame["y"]))


def designs(name, structure):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        return [
            build_design("y ~ x" + part, data(name), family=family(name), env={"R": RELATED})
            for part in STRUCTURES[structure]
        ]


def model_of(name, structure, compiled=None):
    return build_model(stacked(*designs(name, structure)), ZERO_INFLATED[name].linked(), compiled)


def somewhere(model):
    rng = np.random.default_rng(1)
    psi = starting_point(model)
    p, r, _ = model.sizes
    psi[:p] += 0.05 * rng.normal(size=p)
    psi[p : p + r] = 0.15 * (1 + 0.3 * rng.normal(size=r))  # larger ones leave the modes of some groups nearly flat
    return psi


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", ZERO_INFLATED)
def test_gradient_is_that_of_differences(name, structure):
    """Five-point differences over 1e-3, whose rounding is 1e-10."""
    model = model_of(name, structure)
    psi = somewhere(model)
    at = evaluate(model, psi, decrement=TIGHT)
    found = five_point(lambda x: evaluate(model, x, at.mode.v, decrement=TIGHT, second=False).criterion, psi, 1e-3)
    np.testing.assert_allclose(at.gradient, found, atol=1e-7 * max(1.0, np.abs(found).max()))


@pytest.mark.parametrize("structure", ONE_FACTOR)
@pytest.mark.parametrize("name", ZERO_INFLATED)
def test_second_derivatives_are_exact_with_one_factor(name, structure):
    """Central differences of the gradient; those in the family's parameter are forward ones, 1e-4 standard errors."""
    model, step = model_of(name, structure), 1e-4
    psi = somewhere(model)
    at = evaluate(model, psi, decrement=1e-18)
    assert at.exact

    def slope(there):
        return evaluate(model, there, at.mode.v, decrement=TIGHT, second=False).gradient

    found = np.array([(slope(psi + e) - slope(psi - e)) / (2 * step) for e in step * np.eye(len(psi))])
    np.testing.assert_allclose(at.curvature, found, atol=1e-5 * np.abs(found).max())


@pytest.mark.parametrize("structure", ["same", "several"])
def test_criterion_is_laplace_by_the_textbook(structure):
    """-2 l + log|A| with dense matrices: l and its Hessian in v from the family, differences of nothing."""
    name = "negbinomial"
    model = model_of(name, structure)
    psi = somewhere(model)
    at = evaluate(model, psi, decrement=TIGHT)
    phi = model.split(psi)[2]
    own, Z = model.likelihood, model.rows.Z.toarray()
    zero = model.zero()
    size = zero[0].size + zero[1].size
    L = np.empty((size, size))
    for j in range(size):
        v = np.zeros(size)
        v[j] = 1.0
        pair = v[: zero[0].size].reshape(zero[0].shape), v[zero[0].size :, None]
        L[:, j] = np.concatenate([part.ravel() for part in model.scaled(at.mode.T, pair)])
    n = len(own.y)
    Z1, Z2 = (Z[own.places[i]] @ L for i in range(2))
    a, b, c = -own.family.pair_derivatives(own.y, own.pair(at.mode.eta), own.auxiliary(phi), 2)[1][:, 0]
    A = np.eye(size) + Z1.T @ (a[:, None] * Z1) + Z2.T @ (c[:, None] * Z2)
    cross = Z1.T @ (b[:, None] * Z2)
    A += cross + cross.T
    v = np.concatenate([part.ravel() for part in at.mode.v])
    density = own.family.log_density(own.y, own.pair(at.mode.eta), own.auxiliary(phi)).sum()
    expected = -2 * (density - v @ v / 2) + np.linalg.slogdet(A)[1]
    assert at.criterion == pytest.approx(expected, abs=1e-9)
    assert len(Z) == COPIES * n


@pytest.mark.parametrize("structure", ["slopes", "several"])
def test_compiled_loops_say_the_same(structure):
    """Sums in another order: rounding."""
    twin, loops = (model_of("poisson", structure, compiled) for compiled in (False, True))
    psi = somewhere(twin)
    ours, theirs = (evaluate(model, psi, decrement=TIGHT) for model in (twin, loops))
    assert theirs.criterion == pytest.approx(ours.criterion, rel=1e-12)
    for field in ("gradient", "average", "curvature"):
        scale = np.abs(getattr(ours, field)).max()
        np.testing.assert_allclose(getattr(theirs, field), getattr(ours, field), atol=1e-9 * scale)


def test_a_mode_is_found_where_the_density_curves_upwards():
    """From a poor start, large effects: Newton's matrix is not positive definite there, and the mode is one."""
    model = model_of("poisson", "same")
    psi = starting_point(model)
    gamma, par, phi = model.split(psi)
    T = [8.0 * one for one in model.problem.matrices(par)]
    first = model.scan(gamma, T, phi, model.zero())
    A = np.eye(model.rows.Z.shape[1]) + (8 * 0.7) ** 2 * (model.rows.Z.T @ (first.w[:, None] * model.rows.Z.toarray()))
    assert np.linalg.eigvalsh(A)[0] < 0
    mode = find_mode(model, gamma, T, phi)
    assert np.abs(np.concatenate([part.ravel() for part in mode.gradient])).max() < 1e-4
    assert mode.value > first.value


def test_names_and_rows_of_the_stacked_design():
    count, zero = designs("poisson", "same")
    both = stacked(count, zero)
    n = len(count.y)
    assert both.fixed_names == ("Intercept", "x", MARK + "Intercept", MARK + "x")
    np.testing.assert_array_equal(both.X[2 * n :], both.X[:n] + both.X[n : 2 * n])
    assert [term.columns for term in both.random] == [("Intercept",), (MARK + "Intercept",)]
    assert both.n_random == count.n_random + zero.n_random
