r"""A design with a family made ready for pseudo maximum likelihood, and the parts of it that are worked on at once.

Rows have the linear predictor eta = offset + Q gamma + sum over levels of q T v, with v standard normal: q and Q are
the columns of `mixedfx.surveys.layout`, Q of mean square one. All that is estimated is psi = (gamma, par, phi):
coefficients, parameters of the factors T, and auxiliary parameters of the family.

Units of the top level are independent, so that they are taken some at a time: as many as keep the arrays of rows by
nodes by parameters in `HELD` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.surveys.generalised.responses import Responses, responses
from mixedfx.surveys.layout import Layout, level_columns
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.weights import LevelWeights

Array = NDArray[np.float64]
Index = NDArray[np.intp]
HELD = 2**20  # so that arrays of a part stay in the caches


@dataclass(frozen=True, eq=False)
class GeneralProblem(Layout):
    """Rows in the order of units.

    Attributes
    ----------
    Q
        (n, p) columns of the fixed part, X = Q R.
    columns
        For each level, finest first, (n, k).
    offset
        (n,).
    responses
        The family and its responses.
    """

    Q: Array
    columns: tuple[Array, ...]
    offset: Array
    responses: Responses

    @property
    def size(self) -> int:
        """Number of parameters psi."""
        return self.p + self.n_parameters + len(self.responses.names)

    def split(self, psi: Array) -> tuple[Array, Array, Array]:
        """Coefficients gamma (p,), parameters of the factors (r,) and phi (a,)."""
        p, r = self.p, self.n_parameters
        return psi[:p], psi[p : p + r], psi[p + r :]

    def beta(self, gamma: Array) -> Array:
        """(p,) coefficients of X."""
        return linalg.solve_triangular(self.R, gamma) if self.p else gamma


def general_problem(design: Design, nesting: Nesting, family: Family) -> GeneralProblem:
    """Lay out the rows of a design."""
    order = nesting.order
    root = np.ones(len(order)) if design.weights is None else np.sqrt(design.weights[order])
    X = design.X[order]
    Q, R = np.linalg.qr(X) if X.shape[1] else (X, np.zeros((0, 0)))
    scale = np.sqrt(len(X))
    weighted, blocks = level_columns(design, nesting, root)
    columns = tuple(part / root[:, None] for part in weighted)
    return GeneralProblem(
        nesting, R / scale, blocks, Q * scale, columns, design.offset[order], responses(design, family, order)
    )


@dataclass(frozen=True, eq=False)
class Part:
    """Some units of the top level with all that lies in them.

    Attributes
    ----------
    Q, columns, offset, responses
        Of its rows, as in `GeneralProblem`.
    rows
        (n,) weights of rows.
    units
        For each level, finest first, (U,) weights of units.
    unit_of_row
        For each level (n,) the unit of each row, counted in the part.
    starts
        For each level (U,) the first member of each unit, counted in the part.
    parents
        For each level but the top one (U,) the unit of the level above.
    """

    Q: Array
    columns: tuple[Array, ...]
    offset: Array
    responses: Responses
    rows: Array
    units: tuple[Array, ...]
    unit_of_row: tuple[Index, ...]
    starts: tuple[Index, ...]
    parents: tuple[Index, ...]

    @property
    def depth(self) -> int:
        """Number of levels."""
        return len(self.units)


def parts(problem: GeneralProblem, weights: LevelWeights, nodes: int) -> list[Part]:
    """The whole sample in parts, with one set of weights.

    Parameters
    ----------
    problem
        The rows.
    weights
        One set.
    nodes
        Number of nodes at which each row is looked at.
    """
    levels, n = problem.nesting.levels, len(problem.offset)
    if not levels:
        empty = ((), (), (), ())
        return [Part(problem.Q, (), problem.offset, problem.responses, weights.rows[0], *empty)]
    size = max(HELD // (nodes * max(problem.size, 1)), 1)
    ends = np.append(levels[-1].first_rows[1:], n)
    found, first = [], 0
    while first < levels[-1].size:
        begin = levels[-1].first_rows[first]
        last = max(int(np.searchsorted(ends, begin + size, side="right")), first + 1)
        found.append(_part(problem, weights, slice(int(begin), int(ends[last - 1]))))
        first = last
    return found


def _part(problem: GeneralProblem, weights: LevelWeights, rows: slice) -> Part:
    units, inside, starts, parents = [], [], [], []
    spans: list[slice] = []
    for depth, level in enumerate(problem.nesting.levels):
        span = slice(*np.searchsorted(level.first_rows, [rows.start, rows.stop]).tolist())
        first_rows: Index = level.first_rows[span] - rows.start
        size = np.diff(np.append(first_rows, rows.stop - rows.start))
        units.append(weights.units[depth][0, span])
        inside.append(np.repeat(np.arange(len(first_rows)), size))
        starts.append(level.starts[span] - (rows.start if depth == 0 else spans[depth - 1].start))
        if depth:
            below = problem.nesting.levels[depth - 1].first_rows[spans[depth - 1]] - rows.start
            parents.append(inside[depth][below])
        spans.append(span)
    return Part(
        problem.Q[rows], tuple(part[rows] for part in problem.columns), problem.offset[rows],
        problem.responses.take(rows), weights.rows[0, rows], tuple(units), tuple(inside), tuple(starts), tuple(parents),
    )  # fmt: skip
