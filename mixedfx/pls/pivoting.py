"""The order in which the columns of a term enter the Cholesky factor of their covariance.

T is lower triangular in some order of the columns, and every order describes the same covariances; but they are not
equally good to optimise in. Where a column that comes early has no variance of its own, its pivot is near zero, the
entries below it are free to rotate into the columns behind, and the criterion has a long curved valley. Pivoted
Cholesky takes the column with the largest remaining variance first: what is near zero comes last, with nothing behind.

The optimiser works in such an order, which is a frame of the problem (`Problem.frames`), and leaves it in the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

SMALL_PIVOT = 0.05  # a pivot this small beside a later one asks for another order
SMALL_START = 0.5  # the same before the first step, when another order costs nothing


def pivoted_factor(T: Vector) -> tuple[tuple[int, ...], Vector]:
    """Order of the columns, largest remaining variance first, and the lower factor of T T' in that order.

    Pivoted Cholesky of T T' is the pivoted QR decomposition of T', which keeps the digits that the product would lose.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.pls.pivoting import pivoted_factor
    >>> pivoted_factor(np.diag([1.0, 2.0]))
    ((1, 0), array([[2., 0.],
           [0., 1.]]))
    """
    found: Any = linalg.qr(T.T, mode="r", pivoting=True, check_finite=False)
    R, order = np.asarray(found[0], dtype=np.float64), found[1]
    L = (R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]).T
    return tuple(int(c) for c in order), L + 0.0  # no minus zeros


def pivot(problem: Problem, par: Vector, small: float = SMALL_PIVOT) -> tuple[Problem, Vector] | None:
    """The same covariances in better orders, or None where the orders are good enough.

    Parameters
    ----------
    problem, par
        Where the optimiser stands.
    small
        Pivots below this share of a later one ask for another order.
    """
    T = problem.matrices(par)
    frames = dict(problem.frames)
    out = np.array(par)
    changed = False
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            k = block.structure.k
            if k == 1 or not block.structure.free:
                continue
            entries: Any = block.structure.entries
            of_columns = T[f][block.columns, block.columns]
            diagonal = [m for m, (a, b) in enumerate(zip(*entries, strict=True)) if a == b]
            pivots = np.abs(par[block.parameters][diagonal])
            later = np.array([np.max(pivots[b + 1 :], initial=0.0) for b in range(k)])
            if not np.any(pivots < small * later):
                continue
            order, L = pivoted_factor(of_columns)
            C = np.eye(k)[:, list(order)]
            if np.array_equal(C, frames.get(block.term, np.eye(k))):
                continue
            frames[block.term] = C
            out[block.parameters] = L[entries]
            changed = True
    return (replace(problem, frames=frames), out) if changed else None
