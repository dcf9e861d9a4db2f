r"""Maximum of the pseudo likelihood by quadrature: Newton's method within a radius of trust, nodes moving along.

A step is judged by the sum at the nodes from which it was taken, whose derivatives are exact (`integral.py`); then
nodes are placed anew about the modes at the new parameters. It ends where derivatives are zero at nodes that are placed
for the very parameters: an estimating equation that differs from the score of the exact integral by the error of the
quadrature alone. Criteria are divided by the mean weight of a row, as in `mixedfx.surveys.maximum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.linalg.trust_region import next_radius, trust_region_step
from mixedfx.results.optimization import Outcome
from mixedfx.surveys.generalised.integral import Evaluated, evaluate, value_of
from mixedfx.surveys.generalised.nodes import Nodes, Rule, place
from mixedfx.surveys.generalised.problem import GeneralProblem, Part, parts
from mixedfx.surveys.generalised.responses import FURTHEST
from mixedfx.surveys.maximum import NEAR_ZERO, START, snapped
from mixedfx.surveys.weights import LevelWeights

Array = NDArray[np.float64]
TOLERANCE = 1e-8  # decrease of the criterion, at a mean weight of one, whose step is the last
NOISE = 1e-13  # relative rounding error of the criterion
MOST = 100
LONGEST = 4.0  # first radius


@dataclass(frozen=True, eq=False)
class At:
    """The sample at one set of parameters, with nodes that were placed for it.

    Attributes
    ----------
    psi
        (m,) parameters.
    parts, nodes
        The sample, and the nodes of each part.
    found
        Value, scores of units in order, second derivatives.
    """

    psi: Array
    parts: Sequence[Part]
    nodes: Sequence[list[Nodes]]
    found: Evaluated

    @property
    def weights(self) -> Array:
        """(K,) weights of the units of the top level, of rows where there are no levels."""
        return np.concatenate([part.units[-1] if part.depth else part.rows for part in self.parts])

    @property
    def criterion(self) -> float:
        """-2 log pseudo likelihood."""
        return -2.0 * self.found.value

    @property
    def gradient(self) -> Array:
        """(m,) of the criterion."""
        return -2.0 * (self.weights @ self.found.scores)

    @property
    def hessian(self) -> Array:
        """(m, m) of the criterion."""
        return -2.0 * self.found.hessian


@dataclass(frozen=True, eq=False)
class GeneralMaximum:
    """Where one fit stopped.

    Attributes
    ----------
    at
        The best parameters.
    outcome
        Why it stopped.
    gradient, curvature
        (m,) derivatives and the smallest eigenvalue of the second ones, at a mean weight of one.
    steps
        Parameters, criterion, largest derivative, radius, whether it moved.
    """

    at: At
    outcome: Outcome
    gradient: Array
    curvature: float
    steps: list[tuple[Array, float, float, float, bool]]


def rules_of(problem: GeneralProblem, count: int) -> list[Rule]:
    """For each level the rule with `count` nodes in each direction."""
    return [Rule.of(count, level.k) for level in problem.nesting.levels]


def nodes_of_a_row(problem: GeneralProblem, count: int) -> int:
    """At how many nodes each row is looked at."""
    return count ** sum(level.k for level in problem.nesting.levels)


def sample_at(
    problem: GeneralProblem, split: Sequence[Part], psi: Array, rules: list[Rule],
    begin: Sequence[list[Nodes]] | None = None, natural: bool = False,
) -> At:  # fmt: skip
    """Place nodes for psi and evaluate; with `natural` psi holds parameters of the columns as given.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where a unit has no mode, or no density.
    """
    gamma, par, phi = problem.split(psi)
    factors = [factor.T[0] for factor in problem.factors(par[None], natural)]
    nodes, values, scores, hessian = [], 0.0, [], np.zeros((problem.size, problem.size))
    for i, part in enumerate(split):
        nodes.append(place(part, factors, gamma, phi, rules, None if begin is None else begin[i]))
        own = evaluate(problem, part, nodes[-1], psi, natural)
        values, hessian = values + own.value, hessian + own.hessian
        scores.append(own.scores)
    return At(psi, split, nodes, Evaluated(values, np.concatenate(scores), hessian))


def begin(problem: GeneralProblem, weights: LevelWeights) -> Array:
    """Parameters to start from: those of the model without random effects, and equal standard deviations.

    Raises
    ------
    numpy.linalg.LinAlgError
        Where no parameters give the data a density.
    """
    rows = overall(problem, weights)
    centre, unit, phi = problem.responses.start(rows)
    gamma = problem.Q.T @ (centre - problem.offset) / max(len(rows), 1)
    flat = replace(problem, nesting=replace(problem.nesting, levels=()), blocks=(), columns=())
    if problem.p or len(phi):
        alone = maximise(flat, LevelWeights(rows[None] / rows.mean(), ()), np.concatenate([gamma, phi]), 1)
        gamma, phi = alone.at.psi[: problem.p], alone.at.psi[problem.p :]
    par = np.zeros(problem.n_parameters)
    for level in problem.blocks:
        for block in level:
            par[block.parameters] = block.structure.parameters(START * unit * np.eye(block.structure.k))
    return np.concatenate([gamma, par, phi])


def overall(problem: GeneralProblem, weights: LevelWeights) -> Array:
    """(n,) products of the weights of a row and of the units that it lies in."""
    rows = weights.rows[0].copy()
    for depth, units in enumerate(weights.units):
        rows *= units[0, problem.nesting.unit_of_rows(depth)]
    return rows


def maximise(
    problem: GeneralProblem, weights: LevelWeights, psi: Array, count: int,
    near: Sequence[list[Nodes]] | None = None,
) -> GeneralMaximum:  # fmt: skip
    """Maximise the pseudo likelihood with one set of weights from psi, `count` nodes in each direction."""
    unit = float(overall(problem, weights).mean())
    split, rules = parts(problem, weights, nodes_of_a_row(problem, count)), rules_of(problem, count)
    at = sample_at(problem, split, psi, rules, near)
    radius = LONGEST
    steps = [_told(problem, at, radius, True)]
    outcome = Outcome.EVALUATIONS if problem.size else Outcome.NO_PARAMETERS
    for _ in range(MOST if problem.size else 0):
        step, promised = trust_region_step(*_held(problem, at, unit), radius)
        length, noise = float(np.linalg.norm(step)), NOISE * abs(at.criterion) / unit
        last = promised <= TOLERANCE + noise and length < 0.99 * radius
        moved = _within(problem, at.psi + step)
        trial = sum(value_of(problem, part, own, moved) for part, own in zip(at.parts, at.nodes, strict=True))
        gain = (at.criterion + 2.0 * trial) / unit
        new = None
        if np.isfinite(gain) and gain > -noise:
            try:
                new = sample_at(problem, split, moved, rules, at.nodes)
            except np.linalg.LinAlgError:
                new = None
        ratio = -np.inf if new is None else (gain + noise) / (promised + noise)
        radius = next_radius(radius, ratio, length)
        if new is not None:
            at = new
        steps.append(_told(problem, at, radius, new is not None))
        if last:
            outcome = Outcome.INTERIOR
            break
        if radius < 1e-10:
            outcome = Outcome.STALLED
            break
    return _certified(problem, at, rules, unit, outcome, steps)


def _within(problem: GeneralProblem, psi: Array) -> Array:
    """Auxiliary parameters that run to an end of their range stop before it."""
    out = psi.copy()
    at = problem.p + problem.n_parameters
    out[at:] = np.clip(out[at:], -FURTHEST, FURTHEST)
    return out


def _held(problem: GeneralProblem, at: At, unit: float) -> tuple[Array, Array]:
    """Gradient and second derivatives, auxiliary parameters that have run to a limit of the family held there."""
    g, H = at.gradient / unit, at.hessian / unit
    first = problem.p + problem.n_parameters
    limits = problem.responses.limits(at.psi[first:]) if len(problem.responses.names) else {}
    for i, name in enumerate(problem.responses.names):
        if name in limits:
            g[first + i], H[first + i], H[:, first + i] = 0.0, 0.0, 0.0
            H[first + i, first + i] = 1.0
    return g, H


def _told(problem: GeneralProblem, at: At, radius: float, moved: bool) -> tuple[Array, float, float, float, bool]:
    par = problem.split(at.psi)[1]
    return par.copy(), at.criterion, float(np.abs(at.gradient).max(initial=0.0)), radius, moved


def _certified(
    problem: GeneralProblem, at: At, rules: list[Rule], unit: float, outcome: Outcome,
    steps: list[tuple[Array, float, float, float, bool]],
) -> GeneralMaximum:  # fmt: skip
    """Put parameters within rounding of zero on zero, and judge the point by its curvature."""
    p, r = problem.p, problem.n_parameters
    par = at.psi[p : p + r]
    there = snapped(problem, par[None], NEAR_ZERO)[0]
    if (there != par).any():
        zero = at.psi.copy()
        zero[p : p + r] = there
        try:
            found = sample_at(problem, at.parts, zero, rules, at.nodes)
            if found.criterion <= at.criterion + TOLERANCE * unit + 10 * NOISE * abs(at.criterion):
                at = found
        except np.linalg.LinAlgError:
            pass  # parameters stay where they are, near zero
    par = at.psi[p : p + r]
    values = np.linalg.eigvalsh(_held(problem, at, unit)[1]) if problem.size else np.array([np.inf])
    if outcome is Outcome.INTERIOR:
        on_boundary = (snapped(problem, par[None], 0.0)[0] != par).any() or (problem.stationary & (par == 0.0)).any()
        if values[0] < -1e-6 * max(1.0, values[-1]):
            outcome = Outcome.SADDLE
        elif on_boundary:
            outcome = Outcome.BOUNDARY
    return GeneralMaximum(at, outcome, at.gradient / unit, float(values[0]), steps)
