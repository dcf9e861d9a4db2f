r"""Effects of levels a fit has not seen, in linear functionals: variances, covariances and draws.

The levels l are independent of everything observed and of each other, with effects g_l ~ N(0, Sigma) of their term. A
row adds sum_l b_l'g_l, so that rows r and s have the covariance sum over terms of tr(Sigma K_rs), with K_rs = sum_l
b_rl b_sl': once the K are formed, a distribution of Sigma costs nothing more, however many levels there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.linalg.shape import shape_of

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NewLevelRows:
    """s functionals of effects of unseen levels.

    Attributes
    ----------
    parts
        For each term with unseen levels: its number, and for each of its k columns the sparse (s, L) coefficients of
        the L levels.
    """

    parts: tuple[tuple[int, tuple[sparse.csr_array, ...]], ...]

    @staticmethod
    def of(rows: Functional, columns: Sequence[int]) -> NewLevelRows:
        """Take the unseen levels of a functional apart; `columns` are the numbers of columns of all terms."""
        terms = np.array([level.term for level in rows.new_levels], dtype=np.intp)
        widths = np.array(columns, dtype=np.intp)[terms]
        starts = np.cumsum(widths) - widths
        new = sparse.csc_array(rows.new)
        parts = []
        for t in np.unique(terms):
            first = starts[terms == t]
            parts.append((int(t), tuple(sparse.csr_array(new[:, first + c]) for c in range(columns[t]))))
        return NewLevelRows(tuple(parts))

    def variances(self, factors: Sequence[Array]) -> Array:
        """(K, s) variances at K points; `factors` has (K, k, k) roots F of the covariance F F' of each term."""
        total: Array | float = 0.0
        for t, columns in self.parts:
            Sigma = factors[t] @ factors[t].transpose(0, 2, 1)
            K = np.array([[np.asarray(a.multiply(b).sum(axis=1)).ravel() for b in columns] for a in columns])
            total = total + np.einsum("dab,abs->ds", Sigma, K, optimize=True)
        return np.clip(np.asarray(total), 0.0, None)

    def covariance(self, covariances: Sequence[Array]) -> Array:
        """(s, s) covariance given the (k, k) covariance of each term."""
        total: Array | float = 0.0
        for t, columns in self.parts:
            for a, one in enumerate(columns):
                for b, other in enumerate(columns):
                    total = total + covariances[t][a, b] * (one @ other.T).toarray()
        return np.asarray(total)

    def draws(self, factors: Sequence[Array], rng: np.random.Generator) -> Array:
        """(n, s) draws, the nth with the nth of the (n, k, k) roots of each term."""
        total: Array | float = 0.0
        for t, columns in self.parts:
            n, levels = len(factors[t]), shape_of(columns[0])[1]
            effects = np.einsum("nab,nlb->anl", factors[t], rng.standard_normal((n, levels, len(columns))))
            for column, values in zip(columns, effects, strict=True):
                total = total + (column @ values.T).T
        return np.asarray(total)
