"""The engine's view of a design that is fitted without a factor, and which designs those are."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from mixedfx.design.design import Design
from mixedfx.errors import IterativeSolverError
from mixedfx.families.family import Family
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.control import GlmmControl
from mixedfx.glmm.model import Model
from mixedfx.glmm.pairs import likelihood_of
from mixedfx.pls.choice import choose
from mixedfx.pls.crossproducts import orthogonal_columns, triangle
from mixedfx.pls.incidence_map import IncidenceMap
from mixedfx.pls.iterative_problem import build_iterative, refusal

ROW, ROW_AND_COLUMN = 30, 2  # numbers held for each row, and for each row and column of X: two scans, two modes
TIMES = 2.5  # as long as a linear mixed model: factors, or solves, for the modes too


def build_iterative_model(design: Design, family: Family) -> Model:
    """The model of a design whose crossed terms are solved for by iteration."""
    plain, n = replace(design, weights=None, known_sd=None), len(design.y)
    R, inverse = triangle(design.X)
    problem = replace(
        build_iterative(plain, REML=False), R=R / np.sqrt(n), shift=np.zeros(len(R)), sigma=1.0, log_weights=0.0
    )
    rows = IncidenceMap(problem)
    Q = np.ascontiguousarray(orthogonal_columns(design.X, R, inverse)[rows.order]) * np.sqrt(n)
    return Model(
        design, family, problem, rows, likelihood_of(design, family, rows.order), Q, design.offset[rows.order]
    )  # fmt: skip


def why_not(
    design: Design, family: Family, nAGQ: int | Literal["auto"], prior: CoefficientPrior | None
) -> tuple[str, str]:  # fmt: skip
    """Why a model is not fitted by iteration, and the way out; empty where it is."""
    direct = 'Leave solver= out, or say solver="direct".'
    if nAGQ != 1:
        return f"nAGQ={nAGQ!r}: it takes Laplace's approximation", 'Say nAGQ=1, or solver="direct".'
    if prior is not None:
        return "priors of coefficients", direct
    reason = refusal(design)
    if reason:
        return reason, direct
    if family.link.name not in family.concave:
        way = f"links under which it is: {', '.join(family.concave)}. " if family.concave else ""
        return f"{family!r}, whose log density is not concave: weights of rows may be negative", f"{way}{direct}"
    return "", ""


def iterates(
    design: Design, family: Family, nAGQ: int | Literal["auto"], control: GlmmControl, prior: CoefficientPrior | None
) -> bool:
    """Whether a model is fitted by iteration: where `control` says so, or where a factor would not fit or take long.

    Raises
    ------
    IterativeSolverError
        A model that the iterative solver, asked for, does not take.
    MemoryForecastError
        If what was asked for, or either, would not fit in the memory that is free.
    """
    if not design.random:
        reason, way = "a model without random effects", 'Leave solver= out, or say solver="direct".'
    else:
        reason, way = why_not(design, family, nAGQ, prior)
    if control.solver == "iterative":
        if reason:
            raise IterativeSolverError(f"the iterative solver does not take {reason}", hint=way)
        return True
    return choose(design, "direct" if reason else control.solver, bytes_of_a_row(design), TIMES)


def bytes_of_a_row(design: Design) -> float:
    """Bytes that the iterative solver holds for each row besides those of a linear mixed model."""
    columns = sum(term.n_columns for term in design.random)
    weighted = columns if columns > 2 else 0  # two random intercepts share the root of the weight
    return 8.0 * (ROW + ROW_AND_COLUMN * design.X.shape[1] + weighted)
