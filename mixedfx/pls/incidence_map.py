"""From weights of rows to Z'WZ where nothing crossed is factored: the rows, times the roots of their weights.

What `RowMap` does with blocks on a pattern, this does with the rows of an `Incidence`: products with Z and Z' are
passes over them, and Z'WZ is the incidence of the rows times w^{1/2}, which takes eight bytes for each row. Where all
rows have one column and one covariate of ones, the root is all that they have.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import IterativeSolverError
from mixedfx.pls.factorization import Factorization, Pair
from mixedfx.pls.incidence import Incidence, Rows
from mixedfx.pls.iterative_problem import IterativeProblem
from mixedfx.pls.reweighted import ReweightedFactorization
from mixedfx.pls.row_leverages import RowIncidence
from mixedfx.pls.row_map import RowMap

Vector = NDArray[np.float64]

ROUNDING = 1e-10  # of a weight, relative to the largest


class IncidenceMap(RowMap):
    """The rows of Z in the order of an incidence, and Z'WZ for weights of them.

    Attributes
    ----------
    problem
        Its coupling is the incidence of rows without weights.
    incidence
        That incidence.
    order
        (n,) row of the design that stands at each place.
    """

    def __init__(self, problem: IterativeProblem) -> None:
        assert isinstance(problem.coupling, Incidence)
        self._sizes = [(group.n_levels, group.k) for group in problem.factors[1:]]
        self.problem, self.incidence = problem, RowIncidence(problem.coupling.rows, self._sizes)
        self.order = np.argsort(problem.factors[0].codes, kind="stable")
        self.first_size = self.incidence.q1 * self.incidence.k1

    @cached_property
    def codes(self) -> NDArray[np.intp]:  # type: ignore[override]
        """(n,) levels of the first factor."""
        return self.problem.factors[0].codes[self.order]

    @property
    def z(self) -> Vector:  # type: ignore[override]
        """(n, k1) covariates of the first factor."""
        return self.incidence.rows.covariates

    # --- products with Z ---------------------------------------------------------------------------------------------
    def times(self, u: Pair) -> Vector:
        """(n, r) Z u."""
        return self.incidence.times(u)

    def transposed(self, x: Vector) -> Pair:
        """Z'x for x (n, r)."""
        return self.incidence.transposed(x)

    # --- weights -----------------------------------------------------------------------------------------------------
    def refilled(self, w: Vector) -> IterativeProblem:
        """The problem with the rows times the roots of weights w (n,), none of them negative."""
        given, root = self.incidence.rows, np.sqrt(w)
        column, k1 = given.column, self.incidence.k1
        if not len(given.value) and column.shape[1] == 1 and not len(given.z) and k1 == 1:
            value = z = root[:, None]
        else:
            value, z = root[:, None] * given.values, root[:, None] * given.covariates
        coupling = Incidence(Rows(given.start, column, value, z), self._sizes)
        return replace(self.problem, gram1=self.incidence.first_gram(w), coupling=coupling)

    def factorized(self, w: Vector, blocks: object, T: list[Vector]) -> Factorization:
        """The matrix A = Lambda'Z'WZ Lambda + I without a factor; negative weights are none but by rounding."""
        smallest = w.min(initial=0.0)
        if smallest < -ROUNDING * w.max(initial=0.0):
            raise np.linalg.LinAlgError("a weight is negative")
        w = np.maximum(w, 0.0) if smallest < 0.0 else w
        return ReweightedFactorization(self.refilled(w), self.incidence, w, T)

    def blocks(self, w: Vector) -> tuple[Vector, Vector, Vector]:
        """Refused: there are no blocks."""
        raise _needs_pattern()

    def leverages(self, first: Vector, across: Vector, second: Vector) -> Vector:
        """Refused: they are estimated, see `mixedfx.pls.reweighted`."""
        raise _needs_pattern()

    def covariance_blocks(self, at: Factorization) -> tuple[Vector, Vector, Vector]:
        """Refused: they take a solve for every effect."""
        raise _needs_pattern()


def _needs_pattern() -> IterativeSolverError:
    return IterativeSolverError(
        "this needs the inverse of the crossed effects' matrix, which an iterative fit does without",
        hint='Fit with control={"solver": "direct"} where memory allows; estimates, standard errors, fit.apply and '
        "mx.effects do not need it.",
    )
