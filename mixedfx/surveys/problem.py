r"""What the pseudo likelihood of a design is computed from: rows in the order of units, in a basis fit for computing.

Rows are the columns [q of each level, Q, r], times the root of their precision where they have one: q = z B^-1 are the
columns of random terms made orthogonal (`mixedfx.pls.basis`), X = Q R, and r = y - offset - Q m with m = Q'(y - offset)
the residual of least squares without sampling weights. So beta = R^-1 (gamma + m), and T = B^-1 T_q. Cross-products of
units are sums over runs of rows, for many sets of weights at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.surveys.layout import Layout, level_columns
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.recursion import Factor, Jet, bare, eliminated
from mixedfx.surveys.weights import LevelWeights

Array = NDArray[np.float64]
FEW = 4  # rows of a unit on average, from which its product is taken by itself
MOST_PAIRS = 20_000_000  # products of columns, rows times pairs, that are laid out at once


@dataclass(frozen=True, eq=False)
class WeightedProblem(Layout):
    """A design made ready for any sets of weights and any responses.

    Attributes
    ----------
    columns
        (n, c - 1) sorted rows of [q of each level, Q], times the root of the precision.
    responses
        (n, M) sorted residuals r of M responses, times the same.
    shifts
        (M, p) the coefficients m.
    log_precision
        (n,) logarithms of the rows' precision weights; None where there are none.
    """

    columns: Array
    responses: Array
    shifts: Array
    log_precision: Array | None

    def beta(self, gamma: Array, response: int) -> Array:
        """(..., p) coefficients of X from those of Q (..., p)."""
        moved = gamma + self.shifts[response]
        if not self.p:
            return moved
        return linalg.solve_triangular(self.R, moved.reshape(-1, self.p).T).T.reshape(moved.shape)


def weighted_problem(design: Design, nesting: Nesting, Y: Array | None = None) -> WeightedProblem:
    """Lay out the rows of a design.

    Parameters
    ----------
    design
        The design.
    nesting
        Its levels.
    Y
        (n, M) responses for the rows of the design; that of the design where None.
    """
    order = nesting.order
    precision = design.weights
    root = np.ones(len(order)) if precision is None else np.sqrt(precision[order])
    X = design.X[order] * root[:, None]
    Q, R = np.linalg.qr(X) if X.shape[1] else (X, np.zeros((0, 0)))
    y = (design.y[:, None] if Y is None else Y) - design.offset[:, None]
    y = y[order] * root[:, None]
    shifts = Q.T @ y
    columns, blocks = level_columns(design, nesting, root)
    return WeightedProblem(
        nesting, R, blocks, np.column_stack([*columns, Q]), y - Q @ shifts, shifts.T,
        None if precision is None else np.log(precision[order]),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Products:
    """Cross-products of the units of the first level, for F fits, and the weights of all units.

    Attributes
    ----------
    S
        (c, c, F, U).
    units
        For each level, finest first, (F, U) weights; of a design without levels one, of ones.
    N
        (F, U) weighted numbers of rows of the units of the top level.
    constant
        (F,) weighted sums of log precisions.
    """

    S: Array
    units: tuple[Array, ...]
    N: Array
    constant: Array

    @property
    def fits(self) -> int:
        """Number of fits F."""
        return self.S.shape[2]

    @property
    def total(self) -> Array:
        """(F,) weighted numbers of rows."""
        return (self.N * self.units[-1]).sum(axis=-1)

    def take(self, fits: NDArray[np.intp]) -> Products:
        """Some of the fits."""
        return Products(self.S[:, :, fits], tuple(w[fits] for w in self.units), self.N[fits], self.constant[fits])


def products(problem: WeightedProblem, weights: LevelWeights, responses: Sequence[int] = (0,)) -> Products:
    """Cross-products for every response with every set of weights, responses slow.

    Parameters
    ----------
    problem
        The rows.
    weights
        F sets.
    responses
        Which responses.
    """
    levels, F = problem.nesting.levels, weights.sets
    n = len(problem.columns)
    starts = levels[0].starts if levels else np.arange(n, dtype=np.intp)
    parts = [
        _sums(np.column_stack([problem.columns, problem.responses[:, m]]), weights.rows, starts) for m in responses
    ]
    shape = (*parts[0].shape[:2], F, len(starts))
    S = np.concatenate([np.broadcast_to(part, shape) for part in parts], axis=2) if len(parts) > 1 else parts[0]
    S = np.broadcast_to(S, (*shape[:2], F * len(parts), shape[3]))
    rows = np.broadcast_to(weights.rows, (F, n)) if weights.rows.shape[0] == 1 else weights.rows
    N = np.add.reduceat(rows, starts, axis=1) if F * n else np.zeros((F, 0))
    logs = np.zeros((F, len(starts))) if problem.log_precision is None else np.add.reduceat(
        rows * problem.log_precision, starts, axis=1
    )  # fmt: skip
    units = tuple(np.broadcast_to(w, (F, w.shape[1])) for w in weights.units) or (np.ones((F, n)),)
    for level, w in zip(levels[1:], units[:-1], strict=True):
        N, logs = (np.add.reduceat(x * w, level.starts, axis=1) for x in (N, logs))
    constant = (logs * units[-1]).sum(axis=1)
    m = len(parts)
    return Products(S, tuple(np.tile(w, (m, 1)) for w in units), np.tile(N, (m, 1)), np.tile(constant, m))


def _sums(columns: Array, weights: Array, starts: NDArray[np.intp]) -> Array:
    """(c, c, F, U) weighted sums of products of columns over runs of rows."""
    n, c = columns.shape
    F, U = len(weights), len(starts)
    ends = np.append(starts[1:], n)
    if F == 1 and n >= FEW * U:
        weighted, own = columns * weights[0][:, None], np.empty((U, c, c))
        for u, (first, end) in enumerate(zip(starts, ends, strict=True)):
            np.matmul(columns[first:end].T, weighted[first:end], out=own[u])
        return np.ascontiguousarray(own.transpose(1, 2, 0))[:, :, None]
    one, two = np.triu_indices(c)
    found = np.empty((len(one), F, U))
    at = 0
    while at < U:
        last = int(np.searchsorted(ends, starts[at] + max(MOST_PAIRS // len(one), 1), side="right"))
        last = min(max(last, at + 1), U)
        rows = slice(starts[at], ends[last - 1])
        pairs = columns[rows][:, one] * columns[rows][:, two]
        w, run = weights[:, rows], starts[at:last] - starts[at]
        if F == 1:
            found[:, 0, at:last] = np.add.reduceat(pairs * w[0][:, None], run, axis=0).T
        else:
            own = np.empty((last - at, len(one), F))
            for u, (first, end) in enumerate(zip(run, ends[at:last] - starts[at], strict=True)):
                np.matmul(pairs[first:end].T, w[:, first:end].T, out=own[u])
            found[:, :, at:last] = own.transpose(1, 2, 0)
        at = last
    S = np.empty((c, c, F, U))
    S[one, two] = found
    S[two, one] = found
    return S


def climbed(problem: WeightedProblem, given: Products, factors: Sequence[Factor], order: int) -> Jet:
    """Units of the top level with the effects of all levels below it integrated out."""
    jet = bare(given.S)
    for level, factor, w in zip(problem.nesting.levels[1:], factors[:-1], given.units[:-1], strict=True):
        jet = eliminated(jet, factor, order).weighted_sums(w, level.starts)
    return jet


def whole(problem: WeightedProblem, given: Products, factors: Sequence[Factor], order: int = 2) -> Jet:
    """S over [Q, r], D and their derivatives, of the whole sample."""
    if not problem.nesting.levels:
        S = given.S.sum(axis=-1)
        return Jet(S, np.zeros(given.fits), {}, {}, {}, {})
    return eliminated(climbed(problem, given, factors, order), factors[-1], order, given.units[-1])


def by_unit(problem: WeightedProblem, given: Products, factors: Sequence[Factor]) -> Jet:
    """The same of each unit of the top level, before its weight, with first derivatives."""
    jet = climbed(problem, given, factors, 1)
    return eliminated(jet, factors[-1], 1) if problem.nesting.levels else jet
