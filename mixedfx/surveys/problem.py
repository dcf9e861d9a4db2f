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

from mixedfx.covariance.structures import Structure
from mixedfx.design.design import Design
from mixedfx.pls.basis import term_basis, used_columns
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.recursion import Factor, Jet, bare, eliminated
from mixedfx.surveys.weights import LevelWeights

Array = NDArray[np.float64]
FEW = 4  # rows of a unit on average, from which its product is taken by itself
MOST_PAIRS = 20_000_000  # products of columns, rows times pairs, that are laid out at once


@dataclass(frozen=True, eq=False)
class Block:
    """One random term in the columns of its level.

    Attributes
    ----------
    term
        Position in `Design.random`.
    columns
        Its columns among those of the level.
    parameters
        Its parameters among all of theta.
    structure
        The covariance structure.
    basis
        (k, k) triangle B.
    """

    term: int
    columns: slice
    parameters: slice
    structure: Structure
    basis: Array


@dataclass(frozen=True, eq=False)
class WeightedProblem:
    """A design made ready for any sets of weights and any responses.

    Attributes
    ----------
    nesting
        Levels and the order of rows.
    columns
        (n, c - 1) sorted rows of [q of each level, Q], times the root of the precision.
    responses
        (n, M) sorted residuals r of M responses, times the same.
    R
        (p, p) of X = Q R.
    shifts
        (M, p) the coefficients m.
    log_precision
        (n,) logarithms of the rows' precision weights; None where there are none.
    blocks
        For each level, finest first, its terms.
    """

    nesting: Nesting
    columns: Array
    responses: Array
    R: Array
    shifts: Array
    log_precision: Array | None
    blocks: tuple[tuple[Block, ...], ...]

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return len(self.R)

    @property
    def n_parameters(self) -> int:
        """Length of theta."""
        return sum(block.structure.n_parameters for level in self.blocks for block in level)

    @property
    def stationary(self) -> NDArray[np.bool_]:
        """(r,) parameters at whose zero the criterion is stationary."""
        out = np.zeros(self.n_parameters, dtype=bool)
        for level in self.blocks:
            for block in level:
                out[block.parameters] = block.structure.stationary
        return out

    def beta(self, gamma: Array, response: int) -> Array:
        """(..., p) coefficients of X from those of Q (..., p)."""
        moved = gamma + self.shifts[response]
        if not self.p:
            return moved
        return linalg.solve_triangular(self.R, moved.reshape(-1, self.p).T).T.reshape(moved.shape)

    def natural(self, par: Array) -> Array:
        """(F, r) parameters of the columns as given, a diagonal of T not negative, from those of the optimiser."""
        out = np.empty_like(par)
        for level in self.blocks:
            for block in level:
                T = block.structure.factor(par[:, block.parameters])
                out[:, block.parameters] = block.structure.parameters(
                    np.asarray(np.linalg.solve(block.basis, T), dtype=np.float64)
                )
        return out

    def used(self, natural: Array) -> Array:
        """(F, r) parameters of the optimiser from those of the columns as given."""
        out = np.empty_like(natural)
        for level in self.blocks:
            for block in level:
                T = block.structure.factor(natural[:, block.parameters])
                out[:, block.parameters] = block.structure.parameters(block.basis @ T)
        return out

    def factors(self, par: Array, of_given: bool = False) -> tuple[Factor, ...]:
        """T of each level with its derivatives, at parameters (F, r).

        With `of_given` parameters are those of the columns as given, and so are derivatives; T is that of the columns
        used in either case.
        """
        out = []
        for level in self.blocks:
            k = level[-1].columns.stop
            T = np.zeros((len(par), k, k))
            first: dict[int, Array] = {}
            second: dict[tuple[int, int], Array] = {}
            for block in level:
                own, place = par[:, block.parameters], (slice(None), block.columns, block.columns)
                start = block.parameters.start
                B = block.basis if of_given else np.eye(len(block.basis))
                T[place] = B @ block.structure.factor(own)
                directions = B @ block.structure.directions(own)
                curved = block.structure.curvature(own)
                for a in range(block.structure.n_parameters):
                    first[start + a] = np.zeros_like(T)
                    first[start + a][place] = directions[:, a]
                    if curved is not None:
                        for b in range(a, block.structure.n_parameters):
                            second[start + a, start + b] = np.zeros_like(T)
                            second[start + a, start + b][place] = B @ curved[:, a, b]
            out.append(Factor(T, first, second))
        return tuple(out)


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
    columns, blocks, at = [], [], 0
    for level in nesting.levels:
        own, first = [], 0
        for t in level.terms:
            term = design.random[t]
            z = term.z[order] * root[:, None]
            structure = term.covariance
            basis = term_basis(z, structure.scaling)
            columns.append(used_columns(z, basis))
            end = first + term.n_columns
            stop = at + structure.n_parameters
            own.append(Block(t, slice(first, end), slice(at, stop), structure, basis))
            first, at = end, stop
        blocks.append(tuple(own))
    return WeightedProblem(
        nesting, np.column_stack([*columns, Q]), y - Q @ shifts, R, shifts.T,
        None if precision is None else np.log(precision[order]), tuple(blocks),
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
