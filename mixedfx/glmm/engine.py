"""Estimates of a design under a family by the solver that it gets: by a factor, or without one."""

from __future__ import annotations

from typing import Literal

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.control import GlmmControl
from mixedfx.glmm.solve import GlmmSolution, solve
from mixedfx.pls.factors import LARGE, second_level_columns


def solve_chosen(
    design: Design, family: Family, nAGQ: int | Literal["auto"], control: GlmmControl,
    prior: CoefficientPrior | None = None,
) -> GlmmSolution:  # fmt: skip
    """Fit a design; arguments and errors are those of `solve`.

    Raises
    ------
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.
    MemoryForecastError
        If what was asked for, or either, would not fit in the memory that is free.
    """
    if control.solver == "iterative" or second_level_columns(design) >= LARGE:
        from mixedfx.glmm.iterative_model import iterates

        if iterates(design, family, nAGQ, control, prior):
            from mixedfx.glmm.iterative_solution import solve_by_probes

            return solve_by_probes(design, family, control)
    return solve(design, family, nAGQ, control, prior=prior)
