"""Estimates of any design: with random terms by the optimiser, without them by least squares.

Whatever refits a model (deletion of terms, bootstrap, comparison of fits) asks here, and never makes a fit.
"""

from __future__ import annotations

import numpy as np

from mixedfx.design.design import Design
from mixedfx.pls.problem import build_problem
from mixedfx.reml.control import Control
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.refit import SNAP
from mixedfx.reml.solve import RemlSolution, solve, solve_problem
from mixedfx.reml.trust_region import DEFAULT

Solution = RemlSolution | LeastSquares


def solve_design(design: Design, REML: bool = True, control: Control = DEFAULT) -> Solution:
    """Fit a design, with or without random terms, by REML or maximum likelihood."""
    return solve(design, REML, control=control) if design.random else least_squares(design, REML)


def n_parameters(design: Design, solution: Solution) -> int:
    """Fixed effects, theta, and sigma unless it is known: the k of AIC and BIC."""
    return len(solution.beta) + len(solution.theta) + (design.sigma is None)


def maximum_likelihood(design: Design, start: Solution) -> Solution:
    """Fit `design` by maximum likelihood, from the parameters of another fit of it where they are known."""
    if not design.random:
        return least_squares(design, REML=False)
    problem = build_problem(design, REML=False)
    if isinstance(start, LeastSquares):
        return solve_problem(design, problem)
    par = problem.parameters(start.theta)
    return solve_problem(design, problem, None if np.any(par[problem.diagonal] < SNAP) else par)
