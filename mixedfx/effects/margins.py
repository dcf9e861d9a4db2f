r"""Weights of cells from the totals of margins: iterative proportional fitting, Newton's method, what is feasible.

Let A be the 0/1 matrix that says which cell lies in which level of which margin, s > 0 the starting weights and t > 0
the totals. Among all weights w >= 0 with A'w = t the one nearest to s in Kullback-Leibler divergence is (Csiszar 1975,
Annals of Probability 3:146)

    w(lambda) = s exp(A lambda),    lambda minimising  F(lambda) = sum_i s_i exp(A lambda)_i - t'lambda,

where such weights exist that are all positive; F is convex, with gradient A'w - t and Hessian A' diag(w) A. Iterative
proportional fitting (Deming & Stephan 1940, Annals of Mathematical Statistics 11:427) minimises F over the levels of
one margin after the other. Its error shrinks by a constant factor with each pass, which is close to 1 in sparse tables,
and only as 1 / passes where the margins leave some cells no weight at all (Haberman 1974, *The Analysis of Frequency
Data*, chapter 3). So after some passes Newton's method takes over: it converges quadratically to a positive table, and
a cell that must be zero loses a factor e with each step.

A has no full rank (the levels of every margin add up to the same total), so a step is the least one that solves
``H d = t - A'w``. Whether weights exist at all is a linear programme, min sum |A'w - t| over w >= 0: it is solved where
neither method came to an end, so that a conflict is told from a table that converges slowly, and its solution names
the levels in conflict.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

# Passes of proportional fitting before Newton's method: a dense table needs a handful.
PASSES = 50
# Levels beyond which the Hessian is too large for a dense factorisation; proportional fitting goes on alone.
LARGEST = 1000
# Steps of Newton's method without halving the error after which margins are suspected of a conflict.
PATIENCE = 30
# Relative size of the eigenvalues of the scaled Hessian that are its null space.
NULL = 1e-12
# Largest change of the logarithm of a weight in one step.
REACH = 5.0
# Share of the grand total by which a table must miss its margins to be a conflict; the programme is solved to 1e-7.
CONFLICT = 1e-6


@dataclass(frozen=True, eq=False)
class Fitted:
    """Weights that reproduce margins, as far as they do.

    Attributes
    ----------
    weight
        (c,) weights.
    iterations
        Passes over all margins, and steps of Newton's method.
    error
        Largest relative error of a total.
    """

    weight: Array
    iterations: int
    error: float


def fit_margins(weight: Array, codes: Codes, target: Array, tol: float, max_iter: int) -> Fitted:
    """Find the weights nearest to `weight` that have the totals `target`.

    Parameters
    ----------
    weight
        (c,) positive starting weights.
    codes
        (k, c) level of each cell in each of k margins; the levels of all margins are numbered together.
    target
        (L,) positive totals of the levels.
    tol
        Largest relative error of a total.
    max_iter
        Most iterations.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.effects.margins import fit_margins
    >>> codes = np.array([[0, 0, 1], [2, 3, 3]])
    >>> found = fit_margins(np.ones(3), codes, np.array([30.0, 70, 29.9, 70.1]), 1e-9, 2000)
    >>> found.weight.round(6).tolist()
    [29.9, 0.1, 70.0]
    """
    L = len(target)
    error, done = largest_error(weight, codes, target), 0
    passes = max_iter if L > LARGEST else min(PASSES, max_iter)
    while done < passes and (error > tol or done == 0):
        for code in codes:
            now = np.bincount(code, weights=weight, minlength=L)
            weight = weight * (target / np.where(now > 0, now, 1.0))[code]
        error, done = largest_error(weight, codes, target), done + 1
    if error > tol and L <= LARGEST:
        A = _incidence(codes, L)
        best, since = error, 0
        while done < max_iter and error > tol and since < PATIENCE:
            step = _newton(weight, A, target)
            if step is None:
                break
            weight, done, since = step, done + 1, since + 1
            error = largest_error(weight, codes, target)
            if error < best / 2:
                best, since = error, 0
    return Fitted(weight, done, error)


def largest_error(weight: Array, codes: Codes, target: Array) -> float:
    """Largest relative error of a total."""
    return float(np.max(np.abs(totals(weight, codes, len(target)) - target) / target))


def totals(weight: Array, codes: Codes, L: int) -> Array:
    """(L,) summed weights of the levels."""
    return np.bincount(codes.ravel(), weights=np.tile(weight, len(codes)), minlength=L).astype(np.float64)


def conflict(codes: Codes, target: Array) -> Array:
    """What keeps the margins from holding at once: (L,) totals of the nearest table minus `target`.

    Nearest is the table of weights >= 0 whose absolute errors have the smallest sum; all zero where there is no
    conflict.
    """
    from scipy.optimize import linprog

    L, c = len(target), codes.shape[1]
    A = _incidence(codes, L)
    scaled = target / target.sum()
    eye = sparse.eye_array(L)
    found = linprog(
        np.concatenate([np.zeros(c), np.ones(2 * L)]),
        A_eq=sparse.csr_array(sparse.hstack([A.T, eye, -eye])),
        b_eq=scaled,
        method="highs",
    )
    if found.x is None or found.fun <= CONFLICT:
        return np.zeros(L)
    return (found.x[c + L :] - found.x[c : c + L]) * target.sum()


def _incidence(codes: Codes, L: int) -> sparse.csr_array:
    """(c, L) which levels each cell lies in."""
    k, c = codes.shape
    return sparse.csr_array((np.ones(k * c), (np.tile(np.arange(c), k), codes.ravel())), shape=(c, L))


def _newton(weight: Array, A: sparse.csr_array, target: Array) -> Array | None:
    """Weights after one damped step; None where no step makes F smaller or the totals better."""
    now = A.T @ weight
    gap = target - now
    hessian = (A.T @ (A * weight[:, None])).toarray()
    scale = 1.0 / np.sqrt(np.diag(hessian))
    values, vectors = linalg.eigh(hessian * scale * scale[:, None])
    kept = values > NULL * values[-1]
    solved = vectors[:, kept] @ ((vectors[:, kept].T @ (scale * gap)) / values[kept])
    direction = A @ (scale * solved)
    slope = -float(gap @ (scale * solved))
    before = float(np.max(np.abs(gap) / target))
    size = min(1.0, REACH / max(float(np.max(np.abs(direction))), 1e-300))
    while size > 1e-8:
        moved = weight * np.exp(size * direction)
        change = float(np.sum(weight * np.expm1(size * direction))) - size * float(target @ (scale * solved))
        better = float(np.max(np.abs(A.T @ moved - target) / target)) < before
        if moved.all() and (better or change <= 1e-4 * size * slope < 0):
            return moved
        size /= 2
    return None
