"""Rows sorted by the levels of the first factor: sums over levels, and over their entries of the coupling.

A level of the first factor meets some columns of the second level; each meeting is an entry of the coupling
(`mixedfx.pls.coupling`). Numbers of rows are summed over levels, or times Z2 over entries, and numbers of entries come
back to the rows, for many columns at once: products of sparse matrices whose pattern never changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg.shape import shape_of
from mixedfx.pls.coupling import Coupling, stack_rows
from mixedfx.pls.row_map import RowMap, with_entries

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LevelRows:
    """Sums over rows.

    Attributes
    ----------
    rows
        The rows of Z.
    own
        (q1, n) which rows a level of the first factor has.
    to_entries, from_entries
        (e, n) products of Z2 with numbers of rows, entry by entry, and its transpose; None with one factor.
    """

    rows: RowMap
    own: sparse.csr_array
    to_entries: sparse.csr_array | None
    from_entries: sparse.csr_array | None
    _patterns: dict[int, Any] = field(default_factory=dict)

    @staticmethod
    def of(rows: RowMap) -> LevelRows:
        """The sums of a row map."""
        n, levels = len(rows.codes), rows.problem.factors[0].n_levels
        counts = np.bincount(rows.codes, minlength=levels)
        own = sparse.csr_array(
            (np.ones(n), np.arange(n, dtype=np.int32), np.concatenate([[0], np.cumsum(counts)])), shape=(levels, n)
        )
        coupling, Z2 = rows.problem.coupling, rows.Z2
        if coupling is None or Z2 is None:
            return LevelRows(rows, own, None, None)
        keys = coupling.row_of.astype(np.int64) * coupling.size + coupling.indices
        level = np.repeat(rows.codes.astype(np.int64), np.diff(Z2.indptr))
        entry = np.searchsorted(keys, level * coupling.size + Z2.indices)
        back = sparse.csr_array((np.asarray(Z2.data, dtype=np.float64), entry, Z2.indptr), shape=(n, len(keys)))
        return LevelRows(rows, own, sparse.csr_array(back.T), back)

    def by_level(self, x: Vector) -> Vector:
        """(q1, ...) sums of x (n, ...) over the rows of each level."""
        return np.asarray(self.own @ x.reshape(len(x), -1)).reshape(-1, *x.shape[1:])

    def z_by_level(self, x: Vector) -> Vector:
        """(q1, N, k) sums of x (n, N) times z (n, k)."""
        z = self.rows.z
        return np.stack([self.by_level(x * z[:, c, None]) for c in range(z.shape[1])], axis=2)

    def times_z(self, u: Vector) -> Vector:
        """(n, N) products z'u of the effects u (q1, N, k) of each row's level."""
        z, codes = self.rows.z, self.rows.codes
        out = z[:, 0, None] * u[codes, :, 0]
        for c in range(1, z.shape[1]):
            out += z[:, c, None] * u[codes, :, c]
        return out

    def entries_by_level(self, x: Vector) -> Vector:
        """(q1, N) sums of x (e, N) over the entries of each level."""
        return np.asarray(self._entry_sums @ x)

    @cached_property
    def _entry_sums(self) -> sparse.csr_array:
        coupling = self.rows.problem.coupling
        assert coupling is not None
        e, q1 = len(coupling.indices), self.rows.problem.factors[0].n_levels
        indptr = np.concatenate([[0], coupling.row_end])
        return sparse.csr_array((np.ones(e), np.arange(e, dtype=np.int32), indptr), shape=(q1, e))

    def coupled(self, values: Vector, gram: Vector) -> Coupling:
        """The coupling with `values` (e, N) at its entries and `gram` in the place of Z2'Z2."""
        old = self.rows.problem.coupling
        assert old is not None
        cross, source = self._cross(old, values.shape[1])
        dense = None
        if old.dense is not None:
            dense = np.zeros((*old.dense.shape[:2], values.shape[1]))
            dense[old.row_of, old.indices] = values
        flat = values.ravel() if source is None else values.ravel()[source]
        return replace(
            old, values=values, dense=dense, cross=with_entries(cross, flat), gram=with_entries(old.gram, gram)
        )

    def _cross(self, old: Coupling, width: int) -> tuple[sparse.csr_array, NDArray[np.intp] | None]:
        """The pattern of Z1'Z2 with `width` rows for each level, and where its entries stand in the values."""
        if width not in self._patterns:
            indptr = np.concatenate([[0], old.row_end])
            levels = self.rows.problem.factors[0].n_levels
            numbers = np.arange(len(old.indices) * width, dtype=np.float64).reshape(-1, width)
            cross = stack_rows(indptr, old.indices, numbers, (levels * width, shape_of(old.gram)[0]))
            self._patterns[width] = cross, (None if width == 1 else cross.data.astype(np.intp))
        return self._patterns[width]
