"""Estimates of any design: with random terms by the optimiser, without them by least squares.

Whatever refits a model (deletion of terms, bootstrap, comparison of fits) asks here, and never makes a fit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfx.design.design import Design
from mixedfx.reml.control import OptimiserControl
from mixedfx.reml.dispersion import solve_dispersion
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.refit import SNAP
from mixedfx.reml.solve import RemlSolution, chosen_problem, solve, solve_problem
from mixedfx.reml.trust_region import DEFAULT

Solution = RemlSolution | LeastSquares


def solve_whole(
    design: Design, REML: bool = True, control: OptimiserControl = DEFAULT, covariance: bool = True
) -> tuple[Design, Solution]:
    """Fit a design by REML or maximum likelihood; residual standard deviations that it models are in the design.

    Without `covariance` they come without theirs, which takes further fits.
    """
    if design.dispersion is not None:
        return solve_dispersion(design, REML, control, covariance)
    return design, solve(design, REML, control=control) if design.random else least_squares(design, REML)


def solve_design(design: Design, REML: bool = True, control: OptimiserControl = DEFAULT) -> Solution:
    """The estimates alone."""
    return solve_whole(design, REML, control, covariance=False)[1]


def n_parameters(design: Design, solution: Solution) -> int:
    """Fixed effects, theta, sigma unless it is known, and what residual standard deviations depend on: AIC's k."""
    spread = 0 if design.dispersion is None else len(design.dispersion.gamma)
    return len(solution.beta) + len(solution.theta) + (design.sigma is None) + spread


def residual_df(design: Design, solution: Solution) -> float:
    """What is left of the rows to estimate sigma from; infinite where it is known."""
    return float(len(design.y) - len(solution.beta)) if design.sigma is None else np.inf


def maximum_likelihood(design: Design, start: Solution) -> Solution:
    """Fit `design` by maximum likelihood, from the parameters of another fit of it where they are known."""
    if design.dispersion is not None or not design.random:
        return solve_design(design, REML=False)
    if isinstance(start, LeastSquares):
        return solve_problem(design, chosen_problem(design, REML=False))
    control = replace(DEFAULT, solver="iterative" if start.problem.iterative else "direct")
    problem = chosen_problem(design, False, control)
    par = problem.parameters(start.theta)
    return solve_problem(design, problem, None if problem.on_boundary(par, SNAP) else par, control)
