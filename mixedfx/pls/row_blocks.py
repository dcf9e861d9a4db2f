r"""Blocks of Z Lambda M^{-1} Lambda' Z' for sets of rows, from the inverse of the second level.

With W_i = T M1_i^{-1} T' for level i of the first factor, B_i its coupling with the second level and
S = Lambda2 C^{-1} Lambda2' (`mixedfx.pls.row_map`), the entry of two rows r and s at levels i and j is

    [i = j] z_r' W_i z_s  +  a_r' S a_s,      a_r = y_r - B_i' W_i z_r,

z and y being the covariates of the first factor and of the second level. The a_r are sparse, with the columns that
level i meets, so that a set of m rows costs its own columns and m^2, where a solve for each row costs the whole factor.
The diagonal needs S on the pattern of Z2'Z2 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg import batched
from mixedfx.linalg.shape import shape_of
from mixedfx.pls.coupling import stack_rows
from mixedfx.pls.factorization import Factorization
from mixedfx.pls.problem import Problem
from mixedfx.pls.row_map import RowMap, row_map

Vector = NDArray[np.float64]

MOST_COLUMNS = 4_000  # of the second level whose inverse is formed: 128 MB, and a second


@dataclass(frozen=True, eq=False)
class RowBlocks:
    """Rows of a problem with several factors, as the factorisation at theta-hat sees them.

    Attributes
    ----------
    problem, at
        The cross-products, and M factorised.
    """

    problem: Problem
    at: Factorization

    @cached_property
    def rows(self) -> RowMap:
        """The rows, sorted by the levels of the first factor."""
        return row_map(self.problem)

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """(n,) where each row of the design stands in `rows`."""
        out = np.empty(len(self.rows.order), dtype=np.intp)
        out[self.rows.order] = np.arange(len(out))
        return out

    @cached_property
    def diagonal(self) -> Vector:
        """(n,) diagonal entries, rows in the order of the design."""
        first, across, second = self.rows.covariance_blocks(self.at)
        found = self.rows.leverages(np.moveaxis(first, 2, 0).ravel(), across.ravel(), second)
        return found[self.place]

    @property
    def forms_inverse(self) -> bool:
        """Whether the inverse of the second level is small enough for `block`."""
        return self.problem.coupling is not None and self.problem.coupling.size <= MOST_COLUMNS

    @cached_property
    def _first(self) -> Vector:
        """(q1, k1, k1) the W_i."""
        return np.moveaxis(batched.sandwich(self.at.T[0].T, self.at.M1_inverse), 2, 0)

    @cached_property
    def _inverse(self) -> Vector:
        """(q2, q2) S."""
        second = self.at.second
        assert second is not None
        unit = np.eye(second.coupling.size)
        return second.scale(second.solve(second.scale(unit, transposed=True)))

    @cached_property
    def _across(self) -> sparse.csr_array:
        """(n, q2) rows a_r, in the order of `rows`."""
        coupling = self.problem.coupling
        assert coupling is not None
        values = np.einsum("eab,eb->ea", self._first[coupling.row_of], coupling.values)
        indptr = np.concatenate([[0], coupling.row_end])
        by_level = stack_rows(indptr, coupling.indices, values, shape_of(coupling.cross))
        Z2 = self.rows.Z2
        assert Z2 is not None
        return sparse.csr_array(Z2 - self.rows.Z1 @ by_level)

    def block(self, rows: NDArray[np.intp]) -> Vector:
        """(m, m) block of some rows of the design."""
        at = self.place[rows]
        a = self._across[at]
        columns = np.unique(a.indices)
        if len(columns) ** 2 < 8 * a.nnz:  # few columns, met by most rows: a dense product of their block
            dense = a[:, columns].toarray()
            out = dense @ self._inverse[np.ix_(columns, columns)] @ dense.T
        else:
            out = np.asarray(a @ (a @ self._inverse).T)
        codes, z = self.rows.codes[at], self.rows.z[at]
        same = codes[:, None] == codes
        own = np.einsum("ra,rab->rb", z, self._first[codes]) @ z.T
        return out + np.where(same, own, 0.0)
