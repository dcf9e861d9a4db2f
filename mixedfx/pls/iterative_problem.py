"""The problem of a design that is solved by iteration: cross-products of single factors, and the rows in order."""

from __future__ import annotations

import numpy as np

from mixedfx.design.design import Design
from mixedfx.design.precision import Independent
from mixedfx.errors import IterativeSolverError
from mixedfx.linalg import triangular
from mixedfx.pls.crossproducts import accumulated
from mixedfx.pls.factors import group_factors
from mixedfx.pls.incidence import RowProducts
from mixedfx.pls.problem import Problem


class IterativeProblem(Problem):
    """A problem whose coupling is an `Incidence`; everything else is as in `Problem`."""

    iterative = True


def build_iterative(design: Design, REML: bool = True) -> IterativeProblem:
    """Cross-products of `design` for a solution by iteration.

    Raises
    ------
    IterativeSolverError
        A model that it does not take: one grouping factor, errors that are correlated, levels that are related.
    """
    refuse(design)
    factors = group_factors(design)
    second = RowProducts.of(design, factors)
    found = accumulated(design, factors, second=second)
    R, p = found.fixed.R, len(found.fixed.R)
    shift = triangular.solve(R, found.fixed.gamma)
    gram1 = np.ascontiguousarray(found.by_level[:, :, p + 1 :].transpose(1, 2, 0))
    return IterativeProblem(
        factors, gram1, second.incidence(), found.by_level[:, :, : p + 1].copy(), second.zw, found.ww, R, shift,
        len(design.y), design.precision.log_determinant, REML, design.sigma,
        sum(b.structure.n_parameters for g in factors for b in g.blocks),
    )  # fmt: skip


def refuse(design: Design) -> None:
    """Raise an error for a model that cannot be solved by iteration (`IterativeSolverError`)."""
    reason = refusal(design)
    if reason:
        raise IterativeSolverError(
            f"the iterative solver does not take {reason}", hint='Leave solver= out, or say solver="direct".'
        )


def refusal(design: Design) -> str:
    """Why a model cannot be solved by iteration; empty where it can."""
    if design.dispersion is not None:
        return "dispersion="
    if not isinstance(design.precision, Independent):
        return "errors that are correlated"
    if any(term.relation is not None for term in design.random):
        return "levels of known correlations"
    if len({term.label for term in design.random}) < 2:
        return "a single grouping factor: there is nothing crossed to iterate over"
    return ""
