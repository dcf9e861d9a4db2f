"""Refits of a generalised linear mixed model: to other responses, with another fixed part, with fewer random terms.

What does not change is kept. A new response leaves blocks, columns and patterns as they are and only replaces the
likelihood of the rows; another fixed part starts from the old linear predictor. Every refit starts at the estimates it
came from, standard deviations of zero a little off, since zero is stationary by symmetry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import DataError, ModelError
from mixedfx.glmm.auxiliary import check_occurring
from mixedfx.glmm.batch import can_batch, fit_batch
from mixedfx.glmm.model import Model, build_model
from mixedfx.glmm.pairs import likelihood_of
from mixedfx.glmm.solve import GlmmSolution, refused, solve_model, starting_point
from mixedfx.inference.replicates import check_responses
from mixedfx.pls.problem import Problem
from mixedfx.progress import Asked, Progress
from mixedfx.results import tables

Vector = NDArray[np.float64]

WARM = 0.1  # standard deviation, of eta, from which one that is zero starts


@dataclass(frozen=True)
class Refits:
    """Estimates for B responses.

    Attributes
    ----------
    beta
        (B, p) fixed effects.
    theta
        (B, r) covariance parameters.
    auxiliary
        Name -> (B,) estimates of each auxiliary parameter of the family.
    criterion
        (B,) -2 log likelihoods.
    converged, singular
        (B,) whether each optimisation was certified; whether a variance is zero or a correlation one. Estimates of a
        fit that broke down are NaN, and it is not converged.
    theta_names, fixed_names
        Labels of the columns.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
    >>> course["passed"] = (course["score"] > 60).astype(int)
    >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
    >>> found = fit.refits(fit.simulate(20, seed=1))
    >>> found.to_frame().shape, bool(found.converged.all())
    ((20, 6), True)
    """

    beta: Vector
    theta: Vector
    auxiliary: dict[str, Vector]
    criterion: Vector
    converged: NDArray[np.bool_]
    singular: NDArray[np.bool_]
    theta_names: tuple[str, ...]
    fixed_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.criterion)

    def to_frame(self) -> pd.DataFrame:
        """One row for each response: fixed effects, theta, auxiliary parameters, criterion, converged."""
        columns = dict(zip(self.fixed_names, self.beta.T, strict=True))
        columns |= dict(zip(self.theta_names, self.theta.T, strict=True))
        return pd.DataFrame(columns | self.auxiliary | {"criterion": self.criterion, "converged": self.converged})


def off_boundary(problem: Problem, par: Vector) -> Vector:
    """A start from the estimate of another fit: zero is stationary by symmetry, and no place to start from."""
    return np.where(problem.stationary & (np.abs(par) < 1e-3 * WARM), WARM, par)


def with_response(model: Model, design: Design) -> Model:
    """The same model of a design that differs in its response only."""
    if model.family.outcome == "ordered":
        check_occurring(design.categories or (), design.y)
    return replace(model, design=design, likelihood=likelihood_of(design, model.family, model.rows.order))


def begin(model: Model, solution: GlmmSolution) -> Vector:
    """(d,) psi from which the model of another response is fitted: the estimate, off what it cannot leave."""
    gamma, par, phi = model.split(solution.psi)
    own = model.likelihood
    if own.vanished(solution.evaluation.mode.eta):
        gamma = (own.within(model.offset + model.Q @ gamma) - model.offset) @ model.Q / len(model.offset)
    return np.concatenate([gamma, off_boundary(model.problem, par), phi])


def with_new_response(design: Design, solution: GlmmSolution, y: Vector) -> GlmmSolution:
    """The same model for another response (n,), which the family must be able to have."""
    model = with_response(solution.model, replace(design, y=y))
    return solve_model(model, begin(model, solution), solution.nAGQ)


def with_design(design: Design, solution: GlmmSolution, theta: Vector | None) -> GlmmSolution:
    """A model of the same response with another fixed or random part.

    Parameters
    ----------
    design
        The new design, of the same rows.
    solution
        Estimates to start from.
    theta
        (r,) theta to start from; None where the random part is another: standard deviations of moderate size.
    """
    if solution.iterative:
        raise refused(
            "terms are left out and the rest refitted",
            "Fit the smaller model with the same control= and compare them by mx.anova(small, large). ",
        )
    old = solution.model
    model = replace(build_model(design, old.family), prior=old.prior if _same_fixed(design, old) else None)
    _, _, phi = old.split(solution.psi)
    fixed = np.empty(len(design.y))
    fixed[old.rows.order] = old.Q @ solution.evaluation.mode.gamma
    gamma = np.linalg.lstsq(model.Q, fixed[model.rows.order], rcond=None)[0] if model.Q.shape[1] else np.zeros(0)
    if theta is None:
        par = model.split(starting_point(model))[1]
    else:
        par = off_boundary(model.problem, model.problem.parameters(theta))
    nAGQ = solution.nAGQ if design.random else 1
    start: Vector = np.concatenate([gamma, par, phi]).astype(np.float64)
    return solve_model(model, start, nAGQ)


def _same_fixed(design: Design, old: Model) -> bool:
    return design.fixed_names == old.design.fixed_names


def check_possible(design: Design, solution: GlmmSolution, Y: Vector | pd.DataFrame) -> Vector:
    """(n, B) responses, refused by row where the family cannot have them."""
    Y = check_responses(design, Y)
    facts = row_facts(design)
    for y in Y.T:
        solution.model.family.check(y, facts, design.rows.used)
    return Y


def refit(design: Design, solution: GlmmSolution, y: Vector) -> tuple[Design, GlmmSolution]:
    """The same model for one new response (n,): its design, and its estimates; see `GlmerFit.refit`."""
    Y = check_possible(design, solution, y)
    if Y.shape[1] != 1:
        raise DataError("refit takes one response", hint="Give many responses, one a column, to fit.refits.")
    found = with_new_response(design, solution, Y[:, 0])
    return found.design, found


def refits(
    design: Design, solution: GlmmSolution, Y: Vector | pd.DataFrame, progress: Asked = None
) -> Refits:  # fmt: skip
    """The same model for each column of `Y` (n, B); see `GlmerFit.refits`."""
    Y = check_possible(design, solution, Y)
    with Progress(progress, "refits", Y.shape[1], "responses") as report:
        return many(design, solution, Y, report)


def many(
    design: Design, solution: GlmmSolution, Y: Vector, told: Callable[[int], None] | None = None
) -> Refits:  # fmt: skip
    """Refits to the columns of Y (n, B), which the family can have: together where the model allows it.

    What is not certified together (a term of several effects that is singular, say) is fitted by itself.
    """
    if solution.iterative:
        raise refused("the model is refitted to other responses")
    if not can_batch(solution):
        return one_by_one(design, solution, Y, told)
    model = solution.model
    gamma, par, phi = model.split(solution.psi)
    found = fit_batch(solution, Y, np.concatenate([gamma, off_boundary(model.problem, par), phi]))
    left = np.flatnonzero(~found.done)
    ready = Y.shape[1] - len(left)
    if told is not None:
        told(ready)
    rest = one_by_one(design, solution, Y[:, left], None if told is None else lambda done: told(ready + done))
    p = len(gamma)
    beta = np.linalg.solve(model.problem.R, found.psi[:, :p].T).T if p else found.psi[:, :0]
    theta = model.problem.natural_theta(model.problem.matrices(found.psi[:, p:]))
    criterion, good = found.criterion, found.done.copy()
    singular = np.array(model.problem.on_boundary(found.psi[:, p:], 1e-4))
    beta[left], theta[left], criterion[left] = rest.beta, rest.theta, rest.criterion
    good[left], singular[left] = rest.converged, rest.singular
    return replace(rest, beta=beta, theta=theta, criterion=criterion, converged=good, singular=singular)


def one_by_one(
    design: Design, solution: GlmmSolution, Y: Vector, told: Callable[[int], None] | None = None
) -> Refits:  # fmt: skip
    """Refits to the columns of Y (n, B), which the family can have, each from the fit's estimates."""
    B, (p, r, _) = Y.shape[1], solution.model.sizes
    beta, theta = np.full((B, p), np.nan), np.full((B, r), np.nan)
    auxiliary = {name: np.full(B, np.nan) for name in solution.auxiliary}
    criterion = np.full(B, np.nan)
    good, singular = np.zeros(B, dtype=bool), np.zeros(B, dtype=bool)
    for b in range(B):
        if told is not None:
            told(b)
        try:
            found = with_new_response(design, solution, Y[:, b])
        except (ModelError, np.linalg.LinAlgError):
            continue
        beta[b], theta[b], criterion[b] = found.beta, found.theta, found.criterion
        for name, value in found.auxiliary.items():
            auxiliary[name][b] = value
        good[b] = found.optimization.converged
        singular[b] = r > 0 and bool(found.model.problem.on_boundary(found.par, 1e-4))
    names = tables.theta_names(design.random)
    return Refits(beta, theta, auxiliary, criterion, good, singular, names, design.fixed_names)
