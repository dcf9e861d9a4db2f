"""Linear functionals of (beta, u): the only thing the effects layer asks of a fit.

A `Functional` is a set of rows C. Each row is a linear combination of the fixed effects beta, of the random effects u
of levels the fit has seen, and of the random effects of levels it has not seen; the last are independent of
everything fitted, and have the covariance of their term's population. Combining rows (a mean over a subgroup, a
difference between two treatments, a contrast of subgroups) is a multiplication from the left, so a question about
10^6 rows becomes a few rows over (beta, u) before any fit is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.estimable import Null


@dataclass(frozen=True)
class NewLevel:
    """A level that the fit has not seen: k columns of `Functional.new`, in the order of its term's columns."""

    term: int
    level: str


@dataclass(frozen=True)
class Functional:
    """m rows over beta (p), u (q) and the effects of unseen levels (r).

    Attributes
    ----------
    fixed
        (m, p) coefficients of beta.
    random
        (m, q) sparse coefficients of u, ordered as `Design` orders u.
    new
        (m, r) sparse coefficients of the effects of unseen levels; r is the sum of k over `new_levels`.
    new_levels
        The unseen levels, in the order of the columns of `new`.
    offset
        (m,) constant added to each row.
    unseen
        (m,) share of each row's weight that rests on cells the fit has no data for, 0 to 1.
    averaged
        Labels of grouping factors missing from the new data, whose effects were set to their population mean of 0.
    null
        What each row needs of the columns that were dropped as aliased; None where no row needs any.
    """

    fixed: NDArray[np.float64]
    random: sparse.csr_array
    new: sparse.csr_array
    new_levels: tuple[NewLevel, ...]
    offset: NDArray[np.float64]
    unseen: NDArray[np.float64]
    averaged: tuple[str, ...] = ()
    null: Null | None = None

    @property
    def estimable(self) -> NDArray[np.bool_]:
        """(m,) whether the data determine each row; see `mixedfx.design.estimable`."""
        return np.ones(len(self), dtype=bool) if self.null is None else self.null.estimable

    def take(self, rows: NDArray[np.intp] | slice) -> Functional:
        """Some rows, in the order given."""
        return replace(
            self,
            fixed=self.fixed[rows],
            random=sparse.csr_array(self.random[rows]),
            new=sparse.csr_array(self.new[rows]),
            offset=self.offset[rows],
            unseen=self.unseen[rows],
            null=None if self.null is None else self.null.take(rows),
        )

    def __len__(self) -> int:
        return self.fixed.shape[0]

    def combine(self, weights: NDArray[np.float64] | sparse.sparray) -> Functional:
        """Rows that are linear combinations of these rows.

        Parameters
        ----------
        weights
            (s, m) one row for each new row.

        Returns
        -------
        Functional
            s rows; `unseen` is averaged with the absolute weights.

        Examples
        --------
        >>> import numpy as np
        >>> from scipy import sparse
        >>> from mixedfx.design.functional import Functional
        >>> none = sparse.csr_array((2, 0))
        >>> rows = Functional(np.eye(2), none, none, (), np.zeros(2), np.zeros(2))
        >>> rows.combine(np.array([[-1.0, 1.0]])).fixed
        array([[-1.,  1.]])
        """
        W = sparse.csr_array(weights)
        size = abs(W).sum(axis=1)
        share = abs(W) @ self.unseen / np.where(size > 0, size, 1.0)
        return Functional(
            np.asarray(W @ self.fixed),
            sparse.csr_array(W @ self.random),
            sparse.csr_array(W @ self.new),
            self.new_levels,
            np.asarray(W @ self.offset),
            np.asarray(share),
            self.averaged,
            None if self.null is None else self.null.combine(W),
        )
