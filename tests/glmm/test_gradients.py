"""The gradient of the criterion is exact: five-point differences agree, for every family and structure.

A difference of criteria of size 500 over a step of 1e-3 has a rounding error of 1e-10, and a truncation error of the
step's fourth power times the fifth derivative; steps are smaller where a link is steep.
"""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest

from mixedfx.design.build import build_design
from mixedfx.errors import MixedfxWarning
from mixedfx.families.registry import family
from mixedfx.glmm.evaluation import evaluate
from mixedfx.glmm.integration import criterion_function
from mixedfx.glmm.model import build_model
from mixedfx.glmm.quadrature import evaluate_nodes
from mixedfx.glmm.solve import starting_point
from tests.glmm.data import ONE_FACTOR, RELATED, STRUCTURES, five_point, formula, grid, simulated

TIGHT = 1e-22  # decrement at which modes are exact


def model_of(name, link, structure, compiled=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        kind = family(name, link)
        design = build_design(formula(name, structure), simulated(name, link), family=kind, env={"R": RELATED})
        return build_model(design, kind, compiled)


def somewhere(model, link):
    """Parameters off the optimum and off the boundary, where every row has a density."""
    rng = np.random.default_rng(1)
    psi = starting_point(model)
    p, r, _ = model.sizes
    psi[:p] += 0.05 * rng.normal(size=p)
    psi[p : p + r] = (0.07 if link == "inverse" else 0.25) * (1 + 0.3 * rng.normal(size=r))
    return psi


@pytest.mark.parametrize(("name", "link", "structure"), grid(STRUCTURES))
def test_gradient_is_that_of_differences(name, link, structure):
    model = model_of(name, link, structure)
    psi = somewhere(model, link)
    at = evaluate(model, psi, decrement=TIGHT)

    def criterion(there):
        return evaluate(model, there, at.mode.v, decrement=TIGHT, second=False).criterion

    found = five_point(criterion, psi, 4e-4 if link == "inverse" else 1e-3)
    np.testing.assert_allclose(at.gradient, found, atol=1e-7 * max(1.0, np.abs(found).max()))


@pytest.mark.parametrize(("name", "link", "structure"), grid(["none", *ONE_FACTOR]))
def test_second_derivatives_are_exact_with_one_factor(name, link, structure):
    """Central differences of the gradient over 2e-4: rounding 1e-12 / 2e-4, truncation 1e-8 of the third derivative.

    The inverse link's mean runs off where the predictor is zero, and the derivatives with it: a fifth of the step.
    """
    step = 2e-5 if link == "inverse" else 1e-4
    model = model_of(name, link, structure)
    psi = somewhere(model, link)
    at = evaluate(model, psi, decrement=TIGHT)
    found = np.array(
        [
            (
                evaluate(model, psi + e, at.mode.v, decrement=TIGHT).gradient
                - evaluate(model, psi - e, at.mode.v, decrement=TIGHT).gradient
            )
            / (2 * step)
            for e in step * np.eye(len(psi))
        ]
    )
    known = slice(0, sum(model.sizes[:2]))  # without auxiliary parameters, whose curvature is learnt
    assert at.exact == (model.sizes[2] == 0)
    np.testing.assert_allclose(at.curvature[known, known], found[known, known], atol=1e-5 * np.abs(found).max())


def moves_the_nodes_too(name, link, structure, nodes):
    """With so few nodes the sum is far from the integral, and its derivative from the integral's."""
    model = model_of(name, link, structure)
    psi = somewhere(model, link)
    criterion = criterion_function(nodes)
    at = criterion(model, psi, decrement=TIGHT)
    found = five_point(lambda there: criterion(model, there, at.mode.v, False, TIGHT, False).criterion, psi, 4e-4)
    np.testing.assert_allclose(at.gradient, found, atol=1e-7 * max(1.0, np.abs(found).max()))


@pytest.mark.parametrize(("name", "link", "structure"), grid(ONE_FACTOR))
def test_gradient_by_quadrature_moves_the_nodes_too(name, link, structure):
    moves_the_nodes_too(name, link, structure, 2)


@pytest.mark.parametrize("structure", ONE_FACTOR)
@pytest.mark.parametrize(("name", "link"), [("bernoulli", "logit"), ("gamma", "log")])
def test_a_node_at_the_mode_moves_with_it(name, link, structure):
    moves_the_nodes_too(name, link, structure, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "link", "structure"), grid(ONE_FACTOR))
def test_so_it_does_in_every_family(name, link, structure):
    moves_the_nodes_too(name, link, structure, 3)


def test_one_node_is_laplace():
    for structure in ONE_FACTOR:
        model = model_of("bernoulli", "logit", structure)
        psi = somewhere(model, "logit")
        by_nodes, laplace = (
            partial(evaluate_nodes, 1)(model, psi, decrement=TIGHT),
            evaluate(model, psi, decrement=TIGHT),
        )
        assert by_nodes.criterion == pytest.approx(laplace.criterion, abs=1e-9)
        np.testing.assert_allclose(by_nodes.gradient, laplace.gradient, atol=1e-9)


@pytest.mark.parametrize("structure", ["intercept", "slope", "crossed", "crossed slopes", "three"])
@pytest.mark.parametrize(("name", "link"), [("bernoulli", "logit"), ("negbinomial", "log"), ("bernoulli", "cauchit")])
def test_compiled_loops_and_their_twins_say_the_same(name, link, structure):
    """Sums in another order: rounding."""
    twin, loops = (model_of(name, link, structure, compiled) for compiled in (False, True))
    psi = somewhere(twin, link)
    ours, theirs = (evaluate(model, psi, decrement=TIGHT) for model in (twin, loops))
    assert theirs.criterion == pytest.approx(ours.criterion, rel=1e-12)
    for field in ("gradient", "average", "curvature"):
        scale = np.abs(getattr(ours, field)).max()
        np.testing.assert_allclose(getattr(theirs, field), getattr(ours, field), atol=1e-9 * scale)


def test_what_is_left_of_newtons_method_enters_to_first_order():
    """A loose mode, a decrement of 1e-4, gives the criterion to 1e-6: its error is of higher order."""
    model = model_of("poisson", "log", "crossed")
    psi = somewhere(model, "log")
    exact, loose = evaluate(model, psi, decrement=TIGHT), evaluate(model, psi, decrement=1e-4)
    plain = -2 * loose.mode.value + loose.mode.factorization.logdet
    assert abs(loose.criterion - exact.criterion) < min(1e-6, 0.2 * abs(plain - exact.criterion))


def test_the_next_mode_is_predicted():
    """One solve leaves an error of second order in the step, so a tenth of the step leaves a hundredth."""
    from mixedfx.glmm.course import predicted_mode

    for structure in ("slope", "crossed slopes", "slope and related"):
        model = model_of("negbinomial", "log", structure)
        psi = somewhere(model, "log")
        at = evaluate(model, psi, decrement=TIGHT)
        direction = np.random.default_rng(2).normal(size=len(psi))
        errors = []
        for size in (1e-2, 1e-3):
            there = psi + size * direction
            exact = evaluate(model, there, decrement=TIGHT).mode.v
            found = predicted_mode(model, at, there)
            errors.append(max(np.abs(a - b).max(initial=0.0) for a, b in zip(exact, found, strict=True)))
        assert errors[1] < 0.02 * errors[0]


def test_quadrature_converges_to_brute_force():
    """One level's integral by a sum over a fine grid: 1e-9, the trapezoidal rule being exact for smooth functions."""
    model = model_of("binomial", "logit", "intercept")
    psi = somewhere(model, "logit")
    at = partial(criterion_function(40), model)(psi, decrement=TIGHT)
    gamma, par, phi = model.split(psi)
    base = model.offset + model.Q @ gamma
    grid = np.linspace(-9, 9, 2001)
    T = model.problem.matrices(par)[0][0, 0]
    eta = base + grid[:, None] * T * model.rows.z[:, 0]
    own = model.likelihood
    rows = own.family.log_density(own.y, eta, {}, own.facts)
    total = 0.0
    for j in range(model.problem.factors[0].n_levels):
        logs = rows[:, model.rows.codes == j].sum(axis=1) - 0.5 * grid**2 - 0.5 * np.log(2 * np.pi)
        total += np.log(np.exp(logs).sum() * (grid[1] - grid[0]))
    assert at.criterion == pytest.approx(-2 * total, abs=1e-8)
    assert len(phi) == 0
