"""Refits of one design to new responses: design, cross-products and symbolic work are reused.

A new response changes only the products Z'y, X'y and y'y. With a single grouping factor all responses are optimised
together (`mixedfx.pls.batch`); otherwise one after the other, each from the parameters of the fit they came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.errors import DataError, ModelError
from mixedfx.inference.replicates import check_responses
from mixedfx.linalg import triangular
from mixedfx.linalg.trust_region import next_radii, trust_region_steps
from mixedfx.pls.batch import Resamples, Responses, evaluate_batch
from mixedfx.pls.crossproducts import level_products
from mixedfx.pls.problem import Problem
from mixedfx.progress import Asked, Progress
from mixedfx.reml.control import MAX_EVALUATIONS, START_RADIUS, TOLERANCE
from mixedfx.reml.dispersion import solve_dispersion
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.solve import RemlSolution, solve_problem
from mixedfx.reml.trust_region import ROUNDING, minimise
from mixedfx.results.tables import theta_names

Vector = NDArray[np.float64]

SNAP = 1e-6  # scaled diagonal entries below are zero; the criterion changes by their square
BATCH_NUMBERS = 2**22  # numbers in one array of a batch; larger batches are cut


@dataclass(frozen=True)
class Refits:
    """Estimates for B responses.

    Attributes
    ----------
    theta
        (B, r) relative covariance parameters.
    par
        (B, r) the same in the engine's columns (`Problem.parameters`).
    sigma
        (B,) residual standard deviations.
    beta
        (B, p) fixed effects.
    criterion
        (B,) REML criteria or -2 log likelihoods.
    converged
        (B,) whether each optimisation was certified.
    theta_names, fixed_names
        Labels of the columns.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> bootstrap = fit.refits(fit.simulate(200, seed=1))
    >>> bootstrap.to_frame().shape, bool(bootstrap.converged.all())
    ((200, 7), True)
    """

    theta: Vector
    par: Vector
    sigma: Vector
    beta: Vector
    criterion: Vector
    converged: NDArray[np.bool_]
    theta_names: tuple[str, ...]
    fixed_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sigma)

    def to_frame(self) -> pd.DataFrame:
        """One row for each response: fixed effects, theta, sigma, criterion, converged."""
        columns = dict(zip(self.fixed_names, self.beta.T, strict=True))
        columns |= dict(zip(self.theta_names, self.theta.T, strict=True))
        return pd.DataFrame(columns | {"sigma": self.sigma, "criterion": self.criterion, "converged": self.converged})


def cross_products(design: Design, problem: Problem, Y: Vector) -> Responses:
    """Products of B responses (n, B) with the design, least squares fit taken out."""
    precision = design.precision
    Y, X = precision.whiten(Y - design.offset[:, None]), precision.whiten(design.X)
    p, B = problem.p, Y.shape[1]
    Q = triangular.solve(problem.R, X.T, transposed=True).T
    gamma = linalg.solve(problem.ww[:p, :p], Q.T @ Y, assume_a="pos") if p else np.zeros((0, B))
    Y = Y - Q @ gamma
    shift = triangular.solve(problem.R, gamma)
    first, of_rows = problem.factors[0], precision.unwhiten(Y)
    zy = level_products(first.codes, first.n_levels, first.z, of_rows)
    zy2 = np.zeros((problem.zw2.shape[0], B))
    if problem.coupling is not None:
        for group, position in zip(problem.factors[1:], problem.coupling.positions, strict=True):
            own = level_products(group.codes, group.n_levels, group.z, of_rows)
            zy2[position] = own if group.mixing is None else np.einsum("ij,ikb->jkb", group.mixing, own)
    return Responses(zy, zy2, Q.T @ Y, np.einsum("nB,nB->B", Y, Y), shift)


def with_response(problem: Problem, responses: Responses, b: int) -> Problem:
    """The same problem with response b in the place of y."""
    p = problem.p
    zw1, zw2, ww = problem.zw1.copy(), problem.zw2.copy(), problem.ww.copy()
    zw1[:, :, p], zw2[:, p] = responses.zy[:, :, b], responses.zy2[:, b]
    ww[:p, p] = ww[p, :p] = responses.Qy[:, b]
    ww[p, p] = responses.yy[b]
    return replace(problem, zw1=zw1, zw2=zw2, ww=ww, shift=responses.shift[:, b])


def refit(design: Design, solution: RemlSolution | LeastSquares, y: Vector) -> tuple[Design, Any]:
    """The same model for one new response (n,): its design, and estimates of the same class."""
    Y = check_responses(design, y)
    if Y.shape[1] != 1:
        raise DataError("refit takes one response", hint="Give many responses, one a column, to fit.refits.")
    again = replace(design, y=Y[:, 0])
    if design.dispersion is not None:
        return solve_dispersion(again, solution.REML)
    if isinstance(solution, LeastSquares):
        return again, least_squares(again, solution.REML)
    problem = with_response(solution.problem, cross_products(again, solution.problem, Y), 0)
    return again, solve_problem(again, problem)


def refits(
    design: Design, solution: RemlSolution | LeastSquares, Y: Vector | pd.DataFrame, progress: Asked = None
) -> Refits:
    """The same model for each column of `Y` (n, B), every one starting from the fit's theta.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if isinstance(solution, LeastSquares):
        raise ModelError("a fit without random terms has nothing to optimise", hint="Use numpy.linalg.lstsq.")
    names = theta_names(design.random)
    with Progress(progress, "refits", np.shape(Y)[-1], "responses") as report:
        return refit_problem(design, solution.problem, Y, solution.par, names, report)


def refit_problem(
    design: Design, problem: Problem, Y: Vector | pd.DataFrame, par: Vector, theta_names: tuple[str, ...],
    report: Callable[[int], None] = lambda done: None,
) -> Refits:  # fmt: skip
    """Fit `design` to each column of `Y` (n, B), starting from parameters `par` (r,) of `problem`.

    `report` is told how many are done.
    """
    Y = check_responses(design, Y)
    if design.dispersion is not None:
        return _with_dispersion(design, problem, Y, theta_names, report)
    together = problem.coupling is None and problem.n_parameters > 0
    size = max(1, BATCH_NUMBERS // (problem.gram1.size + 1)) if together else 256
    parts = []
    for begin in range(0, Y.shape[1], size):
        responses = cross_products(design, problem, Y[:, begin : begin + size])
        if together:
            parts.append(fit_together(problem, responses, par))
        else:
            parts.append(_one_by_one(problem, responses, par, partial(_from, report, begin)))
        report(begin + len(responses))
    values, sigma2, gamma, criterion, converged, shift = (np.concatenate(x) for x in zip(*parts, strict=True))
    beta = triangular.solve(problem.R, gamma.T).T + shift
    values = off_rounding(problem, values)
    return Refits(
        problem.theta(values), values, np.sqrt(sigma2), beta, criterion, converged, theta_names, design.fixed_names
    )


def _from(report: Callable[[int], None], begin: int, done: int) -> None:
    report(begin + done)


def _with_dispersion(
    design: Design, problem: Problem, Y: Vector, theta_names: tuple[str, ...], report: Callable[[int], None]
) -> Refits:
    """The same where residual standard deviations depend on covariates: each response with its own."""
    fits = []
    for y in Y.T:
        fits.append(solve_dispersion(replace(design, y=y), problem.REML, covariance=False)[1])
        report(len(fits))
    parts = [(f.theta, f.par if isinstance(f, RemlSolution) else f.theta, f.sigma, f.beta, f.criterion) for f in fits]
    theta, par, sigma, beta, criterion = (np.array(column) for column in zip(*parts, strict=True))
    converged = np.array([f.optimization.converged for f in fits], dtype=bool)
    return Refits(theta, par, sigma, beta, criterion, converged, theta_names, design.fixed_names)


def off_rounding(problem: Problem, par: Vector) -> Vector:
    """(B, r) the same covariances with diagonals of L that are not negative, and zero where they are nearly so."""
    return problem.snapped(problem.lower(problem.matrices(par)), SNAP)


def _one_by_one(
    problem: Problem, responses: Responses, par: Vector, report: Callable[[int], None]
) -> tuple[Vector, ...]:
    rows = []
    for b in range(len(responses)):
        evaluation, optimization = minimise(with_response(problem, responses, b), par)
        rows.append((evaluation.par, evaluation.sigma2, evaluation.gamma, evaluation.criterion, optimization.converged))
        report(len(rows))
    columns = tuple(np.array(column) for column in zip(*rows, strict=True))
    return (*columns, responses.shift.T)


def fit_together(
    problem: Problem, responses: Responses, par: Vector, resamples: Resamples | None = None
) -> tuple[Vector, ...]:
    """The trust-region iteration of `minimise`, all responses at once; those that are done leave the batch.

    Returns
    -------
    tuple
        Scaled parameters (B, r), sigma2 (B,), gamma (B, p), criterion (B,), whether certified (B,), shift (B, p).
    """
    B = len(responses)
    x = np.tile(par, (B, 1))
    best = evaluate_batch(problem, responses, x, resamples)
    radius = np.full(B, START_RADIUS * max(float(np.linalg.norm(par)), 0.2))
    done = np.zeros(B, dtype=bool)
    for _ in range(MAX_EVALUATIONS):
        step, decrease = trust_region_steps(best.gradient, best.information, radius)
        inside = np.linalg.norm(step, axis=1) < 0.99 * radius
        done |= inside & (decrease <= TOLERANCE + ROUNDING * np.abs(best.criterion))
        active = np.flatnonzero(~done & (radius > 1e-10))
        if len(active) == 0:
            break
        some = None if resamples is None else _some_resamples(resamples, active)
        trial = evaluate_batch(problem, _subset(responses, active), x[active] + step[active], some)
        noise = 10.0 * ROUNDING * np.abs(best.criterion[active])
        gain = best.criterion[active] - trial.criterion
        ratio = (gain + noise) / (decrease[active] + noise)
        length = np.linalg.norm(step[active], axis=1)
        radius[active] = next_radii(radius[active], ratio, length)
        accepted = gain > -noise
        where = active[accepted]
        x[where] += step[where]
        for name in ("criterion", "gradient", "information", "sigma2", "gamma"):
            getattr(best, name)[where] = getattr(trial, name)[accepted]
    return x, best.sigma2, best.gamma, best.criterion, done, responses.shift.T


def _subset(responses: Responses, index: NDArray[np.intp]) -> Responses:
    return Responses(
        responses.zy[:, :, index], responses.zy2[:, index], responses.Qy[:, index], responses.yy[index],
        responses.shift[:, index],
    )  # fmt: skip


def _some_resamples(resamples: Resamples, index: NDArray[np.intp]) -> Resamples:
    return Resamples(
        resamples.counts[:, index], resamples.QQ[:, :, index], resamples.dof[index], resamples.log_weights[index]
    )
