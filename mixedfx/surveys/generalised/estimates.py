"""Estimates of weighted generalised fits: with the full weights, and with each set of replicate weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ModelError, OptionError, QuadratureWarning, outside
from mixedfx.progress import Asked, Progress
from mixedfx.surveys.generalised.integral import value_of
from mixedfx.surveys.generalised.maximum import (
    At,
    GeneralMaximum,
    begin,
    maximise,
    nodes_of_a_row,
    overall,
    rules_of,
    sample_at,
)
from mixedfx.surveys.generalised.nodes import place
from mixedfx.surveys.generalised.problem import GeneralProblem, parts
from mixedfx.surveys.replication import ReplicateWeights, level_weights
from mixedfx.surveys.weights import LevelWeights, SampleWeights

Array = NDArray[np.float64]
USUAL = {1: 11, 2: 7, 3: 5}  # nodes for each effect, by the number of effects at a row
FEWEST, MOST_NODES = 3, 10_000
MORE = 4  # nodes that are added to see what the quadrature lacks
SETTLED = 0.01  # of -2 log pseudo likelihood at a mean weight of a row of one, that more nodes may change it by


@dataclass(frozen=True, eq=False)
class GeneralRefits:
    """Estimates with each of R sets of replicate weights.

    Attributes
    ----------
    beta, par, phi
        (R, p), (R, r) of the columns as given, in the order of levels, and (R, a).
    converged
        (R,) which are certified.
    """

    beta: Array
    par: Array
    phi: Array
    converged: NDArray[np.bool_]


def usual_nodes(problem: GeneralProblem) -> int:
    """Nodes for each effect where none are asked for.

    11 for one effect at a row, 7 for two, 5 for three, 3 for more: a few hundred places at the most.
    """
    effects = sum(level.k for level in problem.nesting.levels)
    return USUAL.get(max(effects, 1), FEWEST)


def most_nodes(problem: GeneralProblem) -> int:
    """The largest number of nodes for each effect."""
    effects = sum(level.k for level in problem.nesting.levels)
    return int(np.floor(MOST_NODES ** (1.0 / max(effects, 1)) + 1e-9))


def checked_nodes(problem: GeneralProblem, asked: int | None) -> int:
    """The number of nodes that was asked for, or the usual one.

    Raises
    ------
    OptionError
        One or two nodes, or more than `MOST_NODES` at a row.
    """
    effects = sum(level.k for level in problem.nesting.levels)
    count = usual_nodes(problem) if asked is None else asked
    most = most_nodes(problem)
    if count < FEWEST and effects:
        raise OptionError(
            f"nAGQ={count} is too few nodes for a fit with sampling weights, which has no Laplace approximation",
            hint=f"Leave nAGQ out for {usual_nodes(problem)}, or give {FEWEST} to {max(most, FEWEST)}.",
        )
    if count > max(most, FEWEST) or FEWEST**effects > MOST_NODES:
        raise OptionError(
            f"nAGQ={count} for {effects} effects at a row is {count**effects:,} nodes",
            hint=f"Use at most {most}." if most >= FEWEST else "Leave out random slopes, or a level.",
        )
    return count


def solve_full(
    problem: GeneralProblem, weights: LevelWeights, nAGQ: int | Literal["auto"] | None
) -> tuple[GeneralMaximum, int, float]:
    """The fit with one set of weights, its nodes for each effect, and what more of them would change.

    ``"auto"`` doubles the usual number until -2 log pseudo L at a mean weight of one changes by less than `SETTLED`.

    Raises
    ------
    ModelError
        Where no parameters were found at which the responses have a density.
    """
    count = checked_nodes(problem, None if nAGQ == "auto" else nAGQ)
    try:
        found = maximise(problem, weights, begin(problem, weights), count)
        change = lacking(problem, found.at, weights, count)
        while nAGQ == "auto" and change > SETTLED and 2 * count + 1 <= most_nodes(problem):
            count = 2 * count + 1
            found = maximise(problem, weights, found.at.psi, count)
            change = lacking(problem, found.at, weights, count)
        return found, count, change
    except np.linalg.LinAlgError as error:
        raise ModelError(
            f"no parameters were found to begin with: {error}",
            hint="Under a link that does not keep the mean in its range take another, such as log; or scale responses.",
        ) from error


def natural_at(problem: GeneralProblem, found: At, count: int) -> At:
    """The same point in parameters of the columns as given, of which derivatives are then."""
    p, r = problem.p, problem.n_parameters
    psi = found.psi.copy()
    psi[p : p + r] = problem.natural(psi[None, p : p + r])[0]
    return sample_at(problem, found.parts, psi, rules_of(problem, count), None, natural=True)


def lacking(problem: GeneralProblem, found: At, weights: LevelWeights, count: int) -> float:
    """By how much -2 log pseudo likelihood, over the mean weight of a row, changes with `MORE` nodes more."""
    if not problem.nesting.levels:
        return 0.0
    more, total = rules_of(problem, count + MORE), 0.0
    gamma, par, phi = problem.split(found.psi)
    factors = [factor.T[0] for factor in problem.factors(par[None])]
    try:
        for part in parts(problem, weights, nodes_of_a_row(problem, count + MORE)):
            total += value_of(problem, part, place(part, factors, gamma, phi, more), found.psi)
    except np.linalg.LinAlgError:
        return np.inf
    return abs(-2.0 * total - found.criterion) / float(overall(problem, weights).mean())


def warn_lacking(change: float, count: int) -> None:
    """Say that nodes do not suffice (`QuadratureWarning`)."""
    if change > SETTLED:
        warnings.warn(
            f"with {count + MORE} nodes for each effect instead of {count}, -2 log pseudo L changes by {change:.2g} "
            f"at a mean weight of one: the quadrature is not accurate; ask for more, nAGQ={2 * count + 1}",
            QuadratureWarning,
            outside(),
        )


def replicated(
    problem: GeneralProblem, weights: SampleWeights, replicates: ReplicateWeights, full: GeneralMaximum, count: int,
    progress: Asked = None,
) -> GeneralRefits:  # fmt: skip
    """Refit with each set of replicate weights, from the estimates of the full ones."""
    p, r, R = problem.p, problem.n_parameters, replicates.count
    beta, par, phi = np.full((R, p), np.nan), np.full((R, r), np.nan), np.full((R, problem.size - p - r), np.nan)
    converged = np.zeros(R, dtype=bool)
    with Progress(progress, "replicate weights", R, "fits") as report:
        for k in range(R):
            own = level_weights(weights, problem.nesting, replicates.factors[k : k + 1])
            try:
                found = maximise(problem, own, full.at.psi, count, full.at.nodes)
            except np.linalg.LinAlgError:
                found = None
            if found is not None:
                psi, converged[k] = found.at.psi, found.outcome.converged
                beta[k], phi[k] = problem.beta(psi[:p]), psi[p + r :]
                par[k] = problem.natural(psi[None, p : p + r])[0]
            report(k + 1)
    return GeneralRefits(beta, par, phi, converged)
