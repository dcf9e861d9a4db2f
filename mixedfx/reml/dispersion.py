r"""Residual standard deviations that depend on covariates: var(e_i) = sigma^2 exp(2 d_i'gamma) / w_i.

For given gamma the rows have known relative precisions, and theta, sigma and beta are what any fit finds. Of what is
left, the (RE)ML criterion C(gamma), theta and sigma at their minimum, the gradient needs no derivative of these. With
R_i the variance of e_i, dC / dR_ii = P_ii - (P y)_i^2, and since R P y are the conditional residuals e and R P_ii =
1 - h_i with h_i the leverage (under maximum likelihood V^{-1} stands for P),

    dC / dgamma = 2 sum_i d_i (1 - h_i - e_i^2 / R_i),

at whose zero the squares of the standardised residuals are as large as they should be, weighted by d. Steps are those
of scoring: E[e_i^2 / R_i] = 1 - h_i, so that the curvature is about

    A = 4 (D'M D - D'm m'D / sum m),     m = 1 - h, M = diag(m), the second term for sigma, where it is estimated.

The covariance of gamma-hat is twice the inverse of the second derivatives of C, by differences of the exact gradient.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.rows import functional_for
from mixedfx.errors import ModelError
from mixedfx.inference.predictor import fitted_values
from mixedfx.pls.problem import build_problem
from mixedfx.pls.projection import Projection
from mixedfx.reml.control import OptimiserControl
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.solve import RemlSolution, solve, solve_problem
from mixedfx.reml.starting import off_boundary
from mixedfx.reml.trust_region import DEFAULT

Vector = NDArray[np.float64]
Solution = RemlSolution | LeastSquares

MOST = 60  # steps of scoring
ENOUGH = 1e-9  # decrease of the criterion that the next step promises, at which it is not taken
LONGEST = 2.0  # change of the logarithm of a standard deviation in one step
DIFFERENCE = 0.01  # step of second differences, in standard errors of gamma
HALVINGS = 12
UNINFORMED = 1e-8  # curvature, relative to that of rows that nothing else fits, below which there is none


def with_gamma(design: Design, gamma: Vector, vcov: Vector | None = None) -> Design:
    """The design with other coefficients of its residual standard deviations."""
    assert design.dispersion is not None
    return replace(design, dispersion=replace(design.dispersion, gamma=gamma, vcov=vcov))


def solve_dispersion(
    design: Design, REML: bool, control: OptimiserControl = DEFAULT, covariance: bool = True
) -> tuple[Design, Solution]:
    """Estimate a design whose residual standard deviations depend on covariates.

    Parameters
    ----------
    design
        With a `Dispersion`, whose gamma is where the search begins.
    REML
        REML criterion, or -2 log likelihood.
    control
        Options of the optimiser of theta.
    covariance
        Whether the covariance of gamma-hat is wanted.

    Raises
    ------
    ModelError
        If the criterion falls without end: a group of rows is fitted exactly.
    """
    assert design.dispersion is not None
    D = design.dispersion.columns
    unit = np.sqrt((D**2).mean(axis=0))
    gamma, solution = design.dispersion.gamma, _solve(design, REML, None, control)
    gradient, curvature = _slope(design, solution, REML)
    for _ in range(MOST):
        _check_informed(design, curvature)
        step = -np.linalg.solve(curvature, gradient)
        promised = -float(step @ gradient) / 2
        if promised < ENOUGH:
            break
        step *= min(1.0, LONGEST / float(np.max(np.abs(step * unit))))
        for _ in range(HALVINGS):
            trial = with_gamma(design, gamma + step)
            found = _tried(trial, REML, solution, control)
            if found is not None and found.criterion < solution.criterion + ENOUGH:
                break
            step = step / 2
        else:
            break
        assert found is not None
        design, solution, gamma = trial, found, gamma + step
        gradient, curvature = _slope(design, solution, REML)
    else:
        raise ModelError(
            "the residual standard deviations of dispersion= run away: the criterion falls without end",
            hint="Look for a group of rows that the model fits exactly, or with hardly any rows.",
        )
    if covariance:
        bend = _bend(design, solution, REML, curvature, control)
        design = with_gamma(design, gamma, np.asarray(2.0 * np.linalg.inv(bend), dtype=np.float64))
    return design, solution


def _check_informed(design: Design, curvature: Vector) -> None:
    """Refuse coefficients of which the residuals say nothing, as where the rows they concern are fitted exactly."""
    assert design.dispersion is not None
    D = design.dispersion.columns
    size = np.sqrt(4.0 * (D**2).sum(axis=0))
    values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
    if values[0] < UNINFORMED:
        name = design.dispersion.names[int(np.argmax(np.abs(vectors[:, 0])))]
        raise ModelError(
            f"nothing in the data says how dispersion= depends on {name}: the rows it concerns have no residuals",
            hint=f"Leave {name} out of dispersion=, or out of the fixed part.",
        )


def _tried(design: Design, REML: bool, last: Solution, control: OptimiserControl) -> Solution | None:
    """The fit for given gamma; None where it breaks down."""
    try:
        return _solve(design, REML, last, control)
    except np.linalg.LinAlgError:
        return None


def _solve(design: Design, REML: bool, last: Solution | None, control: OptimiserControl) -> Solution:
    """The fit for given gamma, from the estimate of the last one."""
    if not design.random:
        return least_squares(design, REML)
    if not isinstance(last, RemlSolution):
        return solve(design, REML, control=control)
    problem = build_problem(design, REML)
    return solve_problem(design, problem, off_boundary(problem, problem.parameters(last.theta)), control)


def _slope(design: Design, solution: Solution, REML: bool) -> tuple[Vector, Vector]:
    """(d,) gradient in gamma and (d, d) curvature of scoring."""
    assert design.dispersion is not None
    D, precision = design.dispersion.columns, design.precision
    e = precision.whiten(design.y - fitted_values(design, solution.beta, solution.u)) / solution.sigma
    m = _unexplained(design, solution, REML)
    gradient = 2.0 * D.T @ (m - e**2)
    curvature = 4.0 * (D.T * m) @ D
    if design.sigma is None:
        total = D.T @ m
        curvature -= 4.0 * np.outer(total, total) / m.sum()
    return gradient, curvature


def _unexplained(design: Design, solution: Solution, REML: bool) -> Vector:
    """(n,) R_i P_ii, P = V^{-1} less what beta takes; V^{-1} alone under maximum likelihood."""
    n = len(design.y)
    rows = functional_for(design, None, "error")
    if isinstance(solution, LeastSquares):
        if not REML:
            return np.ones(n)
        fixed = design.precision.whiten(rows.fixed)
        return np.clip(1.0 - solution.joint.variances(fixed, rows.random) / solution.sigma**2, 1e-12, 1.0)
    projection = Projection(design, solution.joint, rows.fixed, rows.random)
    m = 1.0 - projection.leverage
    if not REML and rows.fixed.shape[1]:
        m = m + (solution.joint.half_gamma(projection.whitened_fixed.T) ** 2).sum(axis=0)
    return np.clip(m, 1e-12, 1.0)


def _bend(design: Design, solution: Solution, REML: bool, curvature: Vector, control: OptimiserControl) -> Vector:
    """(d, d) second derivatives of the criterion in gamma, by central differences of its gradient."""
    assert design.dispersion is not None
    gamma = design.dispersion.gamma
    columns = []
    for k, step in enumerate(DIFFERENCE * np.sqrt(2.0 / np.diag(curvature))):
        sides = []
        for sign in (1.0, -1.0):
            moved = gamma.copy()
            moved[k] += sign * step
            there = with_gamma(design, moved)
            sides.append(_slope(there, _solve(there, REML, solution, control), REML)[0])
        columns.append((sides[0] - sides[1]) / (2.0 * step))
    H = np.array(columns)
    return (H + H.T) / 2.0
