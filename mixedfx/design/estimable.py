r"""What the data determine of the fixed part: rows of new data as seen by the columns that were dropped as aliased.

Let X = [X1, X2] be all columns of the fixed part, X2 = X1 R those dropped as linear combinations of others. A
functional c'beta is estimable, the same for every solution of the normal equations, exactly where c lies in the row
space of X (Searle 1971, chapter 5), that is where c'N = 0 for the null vectors N = [-R; I] of X:

    c2' - c1' R = 0.

These a numbers are the *null coordinates* of a row, and they are linear in c: a functional carries them beside its
coefficients, and every combination of functionals combines them, so that an average over a cell without data is seen
not to be estimable, and the difference of two predictions in that cell is seen to be so again.

**Rounding.** A column counts as aliased where it is within 1e-7 of its length of the space of the others, so that rows
of the data themselves have coordinates that are only nearly zero. What is no larger than the largest of these, or than
`ROUNDING` of the terms it is the difference of, is set to zero when a row is made. Of a combination, coordinates are
compared with the sum of the absolute values that it combines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

ROUNDING = 1e-8


@dataclass(frozen=True, eq=False)
class Null:
    """Null coordinates of m functionals.

    Attributes
    ----------
    coordinates
        (m, a) c2' - c1' R.
    size
        (m, a) sums of the absolute values that were combined, with which a coordinate is compared.
    """

    coordinates: Array
    size: Array

    @property
    def needed(self) -> NDArray[np.bool_]:
        """(m, a) which dropped columns each functional needs."""
        return np.greater(np.abs(self.coordinates), ROUNDING * self.size)

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """(m,) whether the data determine each functional."""
        return np.asarray(~self.needed.any(axis=1))

    def combine(self, weights: sparse.csr_array) -> Null:
        """Of the rows of `weights` (s, m) times these functionals."""
        return Null(np.asarray(weights @ self.coordinates), np.asarray(abs(weights) @ self.size))

    def take(self, rows: NDArray[np.intp] | slice) -> Null:
        """Of some of the functionals."""
        return Null(self.coordinates[rows], self.size[rows])

    @staticmethod
    def stack(parts: Sequence[Null | None], lengths: Sequence[int]) -> Null | None:
        """Of several sets of functionals, one below the other."""
        width = next((p.coordinates.shape[1] for p in parts if p is not None), None)
        if width is None:
            return None
        none = [np.zeros((m, width)) for m in lengths]
        whole = [Null(z, z) if p is None else p for p, z in zip(parts, none, strict=True)]
        return Null(np.vstack([p.coordinates for p in whole]), np.vstack([p.size for p in whole]))

    @staticmethod
    def total(parts: Sequence[Null | None]) -> Null | None:
        """Of the sums of functionals."""
        known = [p for p in parts if p is not None]
        if not known:
            return None
        return Null(np.sum([p.coordinates for p in known], axis=0), np.sum([p.size for p in known], axis=0))


@dataclass(frozen=True, eq=False)
class NullSpace:
    """The columns of a fixed part that were dropped, as combinations of those kept.

    Attributes
    ----------
    names
        Labels of the a dropped columns.
    kept, dropped
        (k - a,) and (a,) positions among all k columns.
    combination
        (k - a, a) R.
    tolerance
        (a,) coordinates up to which a row counts as determined.
    """

    names: tuple[str, ...]
    kept: NDArray[np.intp]
    dropped: NDArray[np.intp]
    combination: Array
    tolerance: Array

    def coordinates(self, full: Array) -> Null:
        """Null coordinates of rows (m, k) of all columns."""
        own, others = full[:, self.dropped], full[:, self.kept]
        found = own - others @ self.combination
        terms = np.abs(own) + np.abs(others) @ np.abs(self.combination)
        found[np.abs(found) <= np.maximum(self.tolerance, ROUNDING * terms)] = 0.0
        return Null(found, np.abs(found))


def null_space(full: Array, kept: NDArray[np.intp], columns: Sequence[str]) -> NullSpace | None:
    """The dropped columns of a fixed part; None where X has full rank.

    Parameters
    ----------
    full
        (n, k) all columns on the rows of the data.
    kept
        Positions of a largest set of independent columns.
    columns
        Labels of the k columns.

    Examples
    --------
    Of an intercept and both indicators of two groups, the last is dropped; a difference of groups is estimable:

    >>> import numpy as np
    >>> from mixedfx.design.estimable import null_space
    >>> X = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    >>> found = null_space(X, np.array([0, 1]), ["Intercept", "a", "b"])
    >>> found.names, found.coordinates(np.array([[1.0, 0, 1], [1.0, 0, 0], [0.0, 1, -1]])).estimable.tolist()
    (('b',), [True, False, True])
    """
    if len(kept) == full.shape[1]:
        return None
    dropped = np.setdiff1d(np.arange(full.shape[1], dtype=np.intp), kept)
    length = np.abs(full).max(axis=0, initial=0.0)
    scale = np.where(length > 0, length, 1.0)  # squares of large entries would else overflow
    R = np.asarray(np.linalg.qr(full[:, [*kept, *dropped]] / scale[[*kept, *dropped]], mode="r"))
    solution = np.linalg.lstsq(R[:, : len(kept)], R[:, len(kept) :], rcond=None)[0]
    combination = solution * scale[dropped] / scale[kept][:, None]
    combination[np.abs(solution) <= ROUNDING] = 0.0
    left = np.abs(full[:, dropped] - full[:, kept] @ combination).max(axis=0, initial=0.0)
    names = tuple(str(columns[j]) for j in dropped)
    return NullSpace(names, kept, dropped, combination, 2.0 * left)
