r"""The levels of a sample with the parameters of their random effects, whatever the distribution of the rows.

Random terms are used in columns q = z B^-1, made orthogonal (`mixedfx.pls.basis`), and the fixed part in X = Q R: a
factor of the columns given is T = B^-1 T_q. What a fit of normal rows needs besides is `problem.py`, of other families
`generalised/problem.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.structures import Structure
from mixedfx.design.design import Design
from mixedfx.pls.basis import term_basis, used_columns
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.recursion import Factor

Array = NDArray[np.float64]


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
class Layout:
    """Levels, fixed part and parameters of a design.

    Attributes
    ----------
    nesting
        Levels and the order of rows.
    R
        (p, p) of X = Q R.
    blocks
        For each level, finest first, its terms.
    """

    nesting: Nesting
    R: Array
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

    def in_order(self, par: NDArray[Any]) -> NDArray[Any]:
        """Parameters (..., r) in the order of the design's terms, from that of levels."""
        place = {block.term: block.parameters for level in self.blocks for block in level}
        parts = [par[..., place[t]] for t in range(len(place))]
        return np.concatenate(parts, axis=-1) if parts else par

    @property
    def bases(self) -> tuple[Array, ...]:
        """For each random term of the design the triangle of the columns used."""
        found = {block.term: block.basis for level in self.blocks for block in level}
        return tuple(found[t] for t in range(len(found)))

    def free(self, theta: Array) -> NDArray[np.bool_]:
        """(r,) parameters of the columns as given that are not at the end of their range.

        Nor are those in a column of T that is zero, which what belongs to it cannot be estimated beside.
        """
        free = np.ones(len(theta), dtype=bool)
        for level in self.blocks:
            for block in level:
                own = theta[block.parameters]
                held = block.structure.at_end(own, 1e-9)
                if block.structure.entries is not None:
                    _, columns = block.structure.entries
                    dead = {int(c) for c in np.unique(columns) if (own[columns == c] == 0.0).all()}
                    held = held | np.isin(columns, list(dead))
                free[block.parameters] = ~held
        return free


def level_columns(
    design: Design, nesting: Nesting, root: Array
) -> tuple[tuple[Array, ...], tuple[tuple[Block, ...], ...]]:
    """For each level, finest first, (n, k) sorted columns times `root` (n,) of the rows, and its terms."""
    columns, blocks, at = [], [], 0
    for level in nesting.levels:
        own, parts, first = [], [], 0
        for t in level.terms:
            term = design.random[t]
            z = term.z[nesting.order] * root[:, None]
            structure = term.covariance
            basis = term_basis(z, structure.scaling)
            parts.append(used_columns(z, basis))
            end = first + term.n_columns
            stop = at + structure.n_parameters
            own.append(Block(t, slice(first, end), slice(at, stop), structure, basis))
            first, at = end, stop
        columns.append(np.column_stack(parts))
        blocks.append(tuple(own))
    return tuple(columns), tuple(blocks)
