"""Comparison arrows: two means differ where their arrows do not overlap.

Intervals of means do not show whether the means differ: the standard error of a difference is not the sum of theirs.
With d_ij = |m_i - m_j| and s_ij the smallest difference that would be significant (Tukey's), the arrow of the lower
mean to the right, r_i, and that of the higher to the left, l_j, should have r_i + l_j = s_ij. These are k (k - 1) / 2
equations for 2 (k - 1) lengths, solved by non-negative least squares; pairs close to significance, whose verdict a
small error would change, weigh most. Where a verdict cannot be drawn rightly, the arrows are left out and a warning
says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import NotDrawableWarning
from mixedfx.means.multiplicity import critical_values

Array = NDArray[np.float64]
Groups = Sequence[NDArray[np.intp]]


def arrows(estimate: Array, groups: Groups, SE: Array, df: Array, pairs: Groups, level: float) -> tuple[Array, Array]:
    """Where the arrows of marginal means end, to the left and to the right, (k,) each; NaN where there is none.

    Parameters
    ----------
    estimate
        (k,) means.
    groups
        Positions of the means that are compared with each other.
    SE, df
        (m,) standard errors and degrees of freedom of the pairwise differences.
    pairs
        For each group the positions of its differences, in the order (0, 1), (0, 2), ..., (k - 2, k - 1).
    level
        One minus the level of the tests.

    Warns
    -----
    NotDrawableWarning
        Where the arrows of a group would contradict a comparison; they are NaN.
    """
    left, right = np.full(len(estimate), np.nan), np.full(len(estimate), np.nan)
    for rows, group in zip(pairs, groups, strict=True):
        needed = SE[rows] * critical_values(df[rows], "tukey", level, means=len(group))
        lengths = arrow_lengths(estimate[group], needed)
        if lengths is None:
            warnings.warn(
                "arrows cannot show all comparisons of these means and are left out; draw the pairwise differences "
                "instead: means.pairs().plot()",
                NotDrawableWarning,
                stacklevel=4,
            )
        else:
            # no arrow where there is no mean on that side
            left[group] = np.where(estimate[group] > estimate[group].min(), estimate[group] - lengths[0], np.nan)
            right[group] = np.where(estimate[group] < estimate[group].max(), estimate[group] + lengths[1], np.nan)
    return left, right


def arrow_lengths(estimate: Array, needed: Array) -> tuple[Array, Array] | None:
    """Lengths to the left and to the right, (k,) each; None where they cannot show every comparison.

    Parameters
    ----------
    estimate
        (k,) means.
    needed
        (k (k - 1) / 2,) smallest significant differences, of the pairs (0, 1), (0, 2), ..., (k - 2, k - 1).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.means.comparison_arrows import arrow_lengths
    >>> left, right = arrow_lengths(np.array([0.0, 3.0, 5.0]), np.array([2.0, 2.0, 2.5]))
    >>> bool(right[0] + left[1] < 3), bool(right[1] + left[2] > 2)
    (True, True)
    """
    from scipy.optimize import nnls

    k = len(estimate)
    i, j = np.triu_indices(k, 1)
    low, high = np.where(estimate[i] <= estimate[j], i, j), np.where(estimate[i] <= estimate[j], j, i)
    gap = estimate[high] - estimate[low]
    known = ~np.isnan(gap) & ~np.isnan(needed)
    low, high, gap, needed = low[known], high[known], gap[known], needed[known]
    weight = 1 / (0.05 + np.abs(gap - needed) / needed)
    A = np.zeros((len(gap) + 2 * k, 2 * k))
    rows = np.arange(len(gap))
    A[rows, k + low], A[rows, high] = weight, weight
    A[len(gap) + np.arange(2 * k), np.arange(2 * k)] = 1e-6  # of equal fits the one with even arrows
    found = nnls(A, np.concatenate([weight * needed, np.zeros(2 * k)]))[0]
    left, right = found[:k], found[k:]
    overlap = right[low] + left[high] >= gap
    return None if np.any(overlap != (needed >= gap)) else (left, right)
