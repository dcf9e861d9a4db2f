"""The order in which the columns of a term enter the Cholesky factor of their covariance.

T is lower triangular in some order of the columns, and every order describes the same covariances; but they are not
equally good to optimise in. Where a column that comes early has no variance of its own, its pivot is near zero, the
entries below it are free to rotate into the columns behind, and the criterion has a long curved valley. Pivoted
Cholesky takes the column with the largest remaining variance first: what is near zero comes last, with nothing behind.

The optimiser works in such an order and returns to the user's in the end.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.structures import Unconstrained
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

SMALL_PIVOT = 0.05  # a pivot this small beside a later one asks for another order
SMALL_START = 0.5  # the same before the first step, when another order costs nothing


def pivoted_cholesky(A: Vector) -> tuple[tuple[int, ...], Vector]:
    """Order of the columns, largest remaining variance first, and the lower factor of A in that order.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.reml.pivoting import pivoted_cholesky
    >>> pivoted_cholesky(np.diag([1.0, 4.0]))
    ((1, 0), array([[2., 0.],
           [0., 1.]]))
    """
    k = A.shape[0]
    rest = A.copy()
    order: list[int] = []
    columns = np.zeros((k, k))
    for j in range(k):
        left = [c for c in range(k) if c not in order]
        best = max(left, key=lambda c: rest[c, c])
        order.append(best)
        if rest[best, best] > 0.0:
            columns[:, j] = rest[:, best] / np.sqrt(rest[best, best])
            columns[order[:j], j] = 0.0
            rest = rest - np.outer(columns[:, j], columns[:, j])
    return tuple(order), columns[order]


def unpivoted(problem: Problem, par: Vector) -> Vector:
    """(r,) parameters in the columns' own order, diagonals of T not negative, of the covariances at `par`."""
    plain = replace(problem, orders={})
    out = np.array(par)
    T = problem.matrices(par)
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            if block.term in problem.orders:
                rows = slice(block.first, block.first + block.structure.k)
                canonical = block.structure.canonical(T[f][rows, rows])
                for m in range(block.structure.n_parameters):
                    _, a, b = plain.entries[block.par + m]
                    out[block.par + m] = canonical[a - block.first, b - block.first]
    return out


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
    orders = dict(problem.orders)
    out = np.array(par)
    changed = False
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            k = block.structure.k
            if k == 1 or not isinstance(block.structure, Unconstrained):
                continue
            rows = slice(block.first, block.first + k)
            natural = T[f][rows, rows]
            old = orders.get(block.term, tuple(range(k)))
            pivots = np.abs(np.diag(natural[list(old)]))
            later = np.array([np.max(pivots[b + 1 :], initial=0.0) for b in range(k)])
            if not np.any(pivots < small * later):
                continue
            order, L = pivoted_cholesky(natural @ natural.T)
            if order == old:
                continue
            orders[block.term] = order
            where = slice(block.par, block.par + block.structure.n_parameters)
            out[where] = L[block.structure.entries]
            changed = True
    return (replace(problem, orders=orders), out) if changed else None
