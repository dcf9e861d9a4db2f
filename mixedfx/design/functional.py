"""Linear functionals of (beta, u): the only thing the effects layer asks of a fit.

A `Functional` is a set of rows C. Each row is a linear combination of the fixed effects beta, of the random effects u
of levels the fit has seen, and of the random effects of levels it has not seen; the last are independent of
everything fitted, and have the covariance of their term's population. Combining rows (a mean over a subgroup, a
difference between two treatments, a contrast of subgroups) is a multiplication from the left, so a question about
10^6 rows becomes a few rows over (beta, u) before any fit is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def without_random(self) -> Functional:
        """The same rows with every random effect at its population mean of zero."""
        return replace(self, random=sparse.csr_array(self.random.shape), new=sparse.csr_array(self.new.shape))

    def with_used_levels(self, widths: Sequence[int]) -> Functional:
        """The same rows, with those unseen levels only that they use.

        Parameters
        ----------
        widths
            Number of columns of each random term.
        """
        level_of = np.repeat(np.arange(len(self.new_levels)), [widths[new.term] for new in self.new_levels])
        used = np.unique(level_of[self.new.indices])
        columns = np.flatnonzero(np.isin(level_of, used))
        levels = tuple(self.new_levels[i] for i in used)
        return replace(self, new=sparse.csr_array(self.new[:, columns]), new_levels=levels)

    def all_equal(self) -> bool:
        """Whether all rows are the same linear functional, up to the rounding of averages."""
        s = len(self)
        first = sparse.csr_array((np.ones(s), (np.arange(s), np.zeros(s, dtype=np.intp))), shape=(s, s))
        gap = self.combine(sparse.csr_array(sparse.eye_array(s) - first))
        if gap.null is not None and gap.null.needed.any():
            return False
        pairs = (
            (gap.fixed, self.fixed),
            (gap.random.data, self.random.data),
            (gap.new.data, self.new.data),
            (gap.offset, self.offset),
        )
        return all(
            np.max(np.abs(difference), initial=0.0) <= 1e-9 * np.max(np.abs(whole), initial=1e-300)
            for difference, whole in pairs
        )

    def above(self, other: Functional) -> Functional:
        """These rows and those of another below them; both over the same unseen levels."""
        return Functional(
            np.vstack([self.fixed, other.fixed]),
            sparse.csr_array(sparse.vstack([self.random, other.random])),
            sparse.csr_array(sparse.vstack([self.new, other.new])),
            self.new_levels,
            np.concatenate([self.offset, other.offset]),
            np.concatenate([self.unseen, other.unseen]),
            self.averaged,
            Null.stack([self.null, other.null], [len(self), len(other)]),
        )

    @staticmethod
    def total(
        parts: Sequence[Functional], widths: Sequence[int], unseen: NDArray[np.float64], averaged: tuple[str, ...]
    ) -> Functional:
        """Row by row the sum of several functionals, over the union of their unseen levels.

        Parameters
        ----------
        parts
            Of equal length.
        widths
            Number of columns of each random term.
        unseen, averaged
            Those of the sum.
        """
        levels = {new: i for i, new in enumerate(dict.fromkeys(new for part in parts for new in part.new_levels))}
        width = np.array([widths[new.term] for new in levels], dtype=np.intp)
        ends = np.cumsum(width)
        new = sparse.csr_array((len(parts[0]), int(width.sum())))
        for part in parts:
            if part.new_levels:
                own = np.array([levels[new] for new in part.new_levels], dtype=np.intp)
                # Columns of level i: those up to ends[i], as many as its term has.
                last = np.cumsum(width[own])
                place = np.repeat(ends[own] - last, width[own]) + np.arange(last[-1])
                at = sparse.coo_array(part.new)
                new += sparse.csr_array((at.data, (at.coords[0], place[at.coords[1]])), shape=new.shape)
        random = parts[0].random
        for part in parts[1:]:
            random = random + part.random
        return Functional(
            np.sum([part.fixed for part in parts], axis=0),
            sparse.csr_array(random),
            new,
            tuple(levels),
            np.sum([part.offset for part in parts], axis=0),
            unseen,
            averaged,
            Null.total([part.null for part in parts]),
        )
