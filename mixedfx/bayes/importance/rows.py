r"""The rows of a model for many draws at once: sums over levels and linear predictors as products of sparse matrices.

    eta = base + Z1 u1 + Z2 u2,

Z1 the factor with most random effects (J levels, k columns), whose effects are independent between levels given
everything else, and Z2 all other factors (q2 columns), the second level. Rows are sorted by the first factor. Arrays of
numbers that draws have apart have the draws last: u1 (k, J, D), u2 (q2, D), eta (n, D). Products of covariates are
sparse maps from weights w of rows to sums,

    Z1'W Z1 (k, k, J, D),    Z1'W Z2 on its pattern (k, e, D),    Z2'W Z2 on its pattern,

so that the cost is that of the pattern, whatever the number of levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.bayes.importance.densities import RowDensity
from mixedfx.design.design import Design
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.pls.factors import group_factors

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

CROWDED = 100  # dense products of so many numbers take the time of a product on the pattern


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one design.

    Attributes
    ----------
    design
        Whose they are.
    density
        Of the responses, in the order of the rows here.
    order
        (n,) rows of the design.
    first, rest
        Numbers of the random terms over the first factor, and of all others.
    codes, z
        (n,) levels and (n, k) covariates of the first factor.
    n_levels
        J.
    """

    design: Design
    density: RowDensity
    order: Codes
    first: tuple[int, ...]
    rest: tuple[int, ...]
    codes: Codes
    z: Array
    n_levels: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @property
    def k(self) -> int:
        """Effects of a level of the first factor."""
        return self.z.shape[1]

    @property
    def q2(self) -> int:
        """Effects of the second level."""
        return sum(self.design.random[t].n_levels * self.design.random[t].n_columns for t in self.rest)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(J + 1,) where the rows of each level begin."""
        return np.searchsorted(self.codes, np.arange(self.n_levels + 1)).astype(np.int64)

    # --- the first factor --------------------------------------------------------------------------------------------
    @cached_property
    def sums(self) -> sparse.csr_array:
        """(J, n) sums over the rows of each level."""
        n = self.n
        return sparse.csr_array((np.ones(n), (self.codes, np.arange(n))), shape=(self.n_levels, n))

    @cached_property
    def Z1(self) -> sparse.csr_array:
        """(n, k J), effect by effect."""
        n, k = self.z.shape
        columns = self.codes[:, None] + self.n_levels * np.arange(k)
        return sparse.csr_array(
            (self.z.ravel(), columns.ravel(), np.arange(0, n * k + 1, k)), shape=(n, k * self.n_levels)
        )

    @cached_property
    def _Z1_transposed(self) -> sparse.csr_array:
        return sparse.csr_array(self.Z1.T)

    @cached_property
    def _squares(self) -> sparse.csr_array:
        """(k k J, n)."""
        n, k = self.z.shape
        values = (self.z[:, :, None] * self.z[:, None, :]).reshape(n, k * k)
        rows = self.codes[:, None] + self.n_levels * np.arange(k * k)
        columns = np.broadcast_to(np.arange(n)[:, None], rows.shape)
        return sparse.csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(k * k * self.n_levels, n))

    def predictor(self, u1: Array) -> Array:
        """(n, D) Z1 u1."""
        return self.Z1 @ u1.reshape(self.k * self.n_levels, -1)

    def scores(self, s: Array) -> Array:
        """(k, J, D) Z1's."""
        return (self._Z1_transposed @ s).reshape(self.k, self.n_levels, -1)

    def gram(self, w: Array) -> Array:
        """(k, k, J, D) Z1'W Z1."""
        return (self._squares @ w).reshape(self.k, self.k, self.n_levels, -1)

    # --- the second level --------------------------------------------------------------------------------------------
    @cached_property
    def slices(self) -> tuple[tuple[int, slice], ...]:
        """Each term of the second level with its effects, level by level."""
        out, at = [], 0
        for t in self.rest:
            size = self.design.random[t].n_levels * self.design.random[t].n_columns
            out.append((t, slice(at, at + size)))
            at += size
        return tuple(out)

    @cached_property
    def Z2(self) -> sparse.csr_array:
        """(n, q2)."""
        rows, columns, values = [], [], []
        for t, where in self.slices:
            term = self.design.random[t]
            k = term.n_columns
            columns.append((where.start + term.codes[self.order][:, None] * k + np.arange(k)).ravel())
            values.append(term.z[self.order].ravel())
            rows.append(np.repeat(np.arange(self.n), k))
        whole = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_array(whole, shape=(self.n, self.q2))

    @cached_property
    def Z2_transposed(self) -> sparse.csr_array:
        """(q2, n)."""
        return sparse.csr_array(self.Z2.T)

    @cached_property
    def _by_row(self) -> tuple[NDArray[np.int64], Array]:
        """(n, m) columns of the second level that each row meets, and their covariates."""
        m = sum(self.design.random[t].n_columns for t in self.rest)
        Z2 = sparse.csr_array(self.Z2)
        Z2.sort_indices()
        values = np.asarray(Z2.data, dtype=np.float64)
        return Z2.indices.reshape(self.n, m).astype(np.int64), values.reshape(self.n, m)

    @cached_property
    def gram2(self) -> tuple[sparse.csr_array, Codes, Codes]:
        """Map (entries, n) from weights to the entries of Z2'W Z2, and their rows and columns."""
        columns, z2 = self._by_row
        keys = (columns[:, :, None] * self.q2 + columns[:, None, :]).reshape(self.n, -1)
        values = (z2[:, :, None] * z2[:, None, :]).reshape(self.n, -1)
        found, entry = np.unique(keys, return_inverse=True)
        return _map(entry.reshape(keys.shape), values, len(found)), found // self.q2, found % self.q2

    @cached_property
    def coupling(self) -> tuple[sparse.csr_array, Codes, Codes]:
        """Map (k entries, n) from weights to the entries of Z1'W Z2, effect by effect, and their levels and columns."""
        columns, z2 = self._by_row
        keys = self.codes[:, None] * self.q2 + columns
        found, entry = np.unique(keys, return_inverse=True)
        entry = entry.reshape(keys.shape)
        parts = [_map(entry, self.z[:, a : a + 1] * z2, len(found)) for a in range(self.k)]
        return sparse.csr_array(sparse.vstack(parts)), found // self.q2, found % self.q2

    @cached_property
    def to_levels(self) -> sparse.csr_array:
        """(J, e) sums of the entries of the coupling over each level."""
        _, levels, _ = self.coupling
        return sparse.csr_array((np.ones(len(levels)), (levels, np.arange(len(levels)))), (self.n_levels, len(levels)))

    @cached_property
    def to_columns(self) -> sparse.csr_array:
        """(q2, e) sums of the entries of the coupling over each column."""
        _, _, columns = self.coupling
        return sparse.csr_array((np.ones(len(columns)), (columns, np.arange(len(columns)))), (self.q2, len(columns)))

    @property
    def n_pairs(self) -> int:
        """Number of `pairs`."""
        return int((np.bincount(self.coupling[1]) ** 2).sum())

    @cached_property
    def crowded(self) -> bool:
        """Whether the levels of the first factor meet so much of the second that dense products are faster."""
        return self.n_levels * self.q2**2 < CROWDED * self.n_pairs

    @property
    def width(self) -> int:
        """Numbers that one draw holds at once."""
        most = max(self.n, 4 * self.n_levels * self.k**2)
        if not self.q2:
            return most
        across = self.n_levels * self.q2 if self.crowded else self.n_pairs
        return max(most, self.q2**2, self.k * across)

    @cached_property
    def pairs(self) -> tuple[Codes, Codes, sparse.csr_array, Codes, Codes]:
        """Two entries of the coupling in each of the pairs within a level; their sum map, and its rows and columns."""
        _, levels, columns = self.coupling
        start = np.searchsorted(levels, np.arange(self.n_levels + 1))
        count = np.diff(start)
        one = np.concatenate([np.repeat(np.arange(a, a + m), m) for a, m in zip(start, count, strict=False)])
        two = np.concatenate([np.tile(np.arange(a, a + m), m) for a, m in zip(start, count, strict=False)])
        found, entry = np.unique(columns[one] * self.q2 + columns[two], return_inverse=True)
        ones = (np.ones(len(one)), (entry.ravel(), np.arange(len(one))))
        return one, two, sparse.csr_array(ones, shape=(len(found), len(one))), found // self.q2, found % self.q2


def _map(entry: Codes, values: Array, size: int) -> sparse.csr_array:
    """(size, n) sums into the entries (n, m) of each row, times values (n, m)."""
    rows = np.broadcast_to(np.arange(len(entry))[:, None], entry.shape)
    return sparse.csr_array((values.ravel(), (entry.ravel(), rows.ravel())), shape=(size, len(entry)))


def rows_of(design: Design, family: Family) -> Rows:
    """The rows of a design whose levels have no known correlations."""
    groups = group_factors(replace(design, weights=None, known_sd=None))
    first = tuple(block.term for block in groups[0].blocks)
    rest = tuple(t for t in range(len(design.random)) if t not in first)
    codes = design.random[first[0]].codes
    order = np.argsort(codes, kind="stable")
    z = np.ascontiguousarray(np.hstack([design.random[t].z for t in first])[order])
    facts = RowFacts(design.trials, design.weights, design.known_sd).take(order)
    density = RowDensity(family, design.y[order], facts)
    return Rows(design, density, order, first, rest, codes[order], z, design.random[first[0]].n_levels)
