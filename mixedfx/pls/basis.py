r"""The basis in which the columns of a random term are used: orthogonal, of mean square one, rows weighted.

The effects of a level enter a row as z'u. With z = R'q, R an upper triangle, they enter as q'(R u): the covariance of
R u, relative to sigma^2, is (R T)(R T)'. Whatever R is, the model is the same; but it is not equally good to optimise
or to sample in. A covariate far from zero (a calendar year, a Julian day) is nearly a multiple of the constant, so that
in the columns as given the likelihood is nearly flat along one direction of T and steep across it: at a distance of d
standard deviations the ratio of curvatures is d^4. With W the precision of the rows and

    z'W z / n = R'R,

the columns of q are orthogonal and of unit mean square, and neither the location and scale of a covariate nor the unit
of the weights can be seen in q. The columns of an uncorrelated term (``||``) are only divided by their root mean
squares: rotated effects would no longer be independent, and the model that says they are has a meaning at the zero of
its covariates. Where all columns share a variance they are divided by one number, the root mean square of them all.

**Digits.** R is the Cholesky factor of the column-scaled z'W z where its pivots are above `TRUSTED`: forming the
product halves the digits, and eight are left. Elsewhere it is the QR decomposition's, which keeps them: at a distance
of d the pivot is 1 / d and has a relative error of d times 1e-16 (Golub & Van Loan 2013, section 5.3). R need not be
exact for q = R^{-T}z to be: q comes by substitution, column by column, and x - mean(x) loses no digit that x has.

A column that is a combination of those before it stays as it is, divided by its root mean square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.components import Scaling

Vector = NDArray[np.float64]

TRUSTED = 1e-3  # share of a column's length that others leave, from which a Cholesky factor has digits enough
DEPENDENT = 1e-11  # the same below which the column is a combination of the others, to rounding


def term_basis(rows: Vector, scaling: Scaling) -> Vector:
    """Upper triangle R (k, k) that makes z R^{-1} orthogonal, or nearly so as the structure allows.

    Parameters
    ----------
    rows
        (n, k) columns z of a random term, times the root of the rows' precision.
    scaling
        Changes that leave the structure of their covariance as it is: R is any upper triangle, has a unit for each
        column, or one for all.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.pls.basis import term_basis
    >>> year = np.array([2015.0, 2016.0, 2017.0, 2018.0, 2019.0])
    >>> term_basis(np.column_stack([np.ones(5), year]), "triangles").round(4).tolist()
    [[1.0, 2017.0], [0.0, 1.4142]]
    """
    n, k = rows.shape
    if scaling == "one unit" and k > 1:
        size = np.diag(_from_rows(rows, False))
        largest = float(size.max())
        return np.eye(k) * largest * np.sqrt(np.mean((size / largest) ** 2))
    correlated = scaling == "triangles"
    if k == 1:
        square = float(rows[:, 0] @ rows[:, 0])
        return np.array([[np.sqrt(square / n)]]) if 1e-300 < square < np.inf else _from_rows(rows, correlated)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = rows.T @ rows
    length = np.sqrt(np.diag(gram))
    if not np.isfinite(gram).all() or (length < 1e-150).any():  # squares out of range, or a column of zeros
        return _from_rows(rows, correlated)
    size = length / np.sqrt(n)
    if not correlated:
        return np.diag(size)
    try:
        R = np.linalg.cholesky(gram / np.outer(length, length)).T
    except np.linalg.LinAlgError:
        return _from_rows(rows, correlated)
    return np.asarray(R * size) if np.diag(R).min() > TRUSTED else _from_rows(rows, correlated)


def _from_rows(rows: Vector, correlated: bool) -> Vector:
    """The same without forming squares of what may be nearly dependent, or out of range."""
    n = len(rows)
    largest = np.abs(rows).max(axis=0, initial=0.0)
    largest[largest == 0.0] = 1.0
    scaled = rows / largest
    if not correlated:
        length = np.linalg.norm(scaled, axis=0)
        return np.diag(np.where(length > 0.0, length / np.sqrt(max(n, 1)), 1.0) * largest)
    reduced = np.asarray(np.linalg.qr(scaled, mode="r")) / np.sqrt(max(n, 1))
    return left_to_right(reduced) * largest


def left_to_right(A: Vector) -> Vector:
    """(k, k) upper triangle R of the QR decomposition of A (m, k), diagonal positive.

    A column that is a combination of those before it has its length on the diagonal and nothing above, and takes
    nothing from those behind.
    """
    k = A.shape[1]
    R, Q = np.zeros((k, k)), np.zeros(A.shape)
    for j in range(k):
        rest = A[:, j]
        for _ in range(2):  # twice is enough for orthogonality to machine precision
            share = Q.T @ rest
            R[:, j] += share
            rest = rest - Q @ share
        length, left = np.linalg.norm(A[:, j]), np.linalg.norm(rest)
        if left > DEPENDENT * length:
            R[j, j] = left
            Q[:, j] = rest / left
        else:
            R[:, j] = 0.0
            R[j, j] = length if length > 0.0 else 1.0
    return R


def used_columns(z: Vector, R: Vector) -> Vector:
    """(n, k) columns z R^{-1}."""
    out, rest = np.empty(z.shape), np.empty(0)
    for a in range(z.shape[1]):  # NumPy loops over rows of two or three numbers are four times slower
        column = z[:, a]
        for c in np.flatnonzero(R[:a, a]):
            rest = rest if len(rest) else np.empty(len(z))
            np.subtract(column, np.multiply(out[:, c], R[c, a], out=out[:, a]), out=rest)
            column = rest
        np.divide(column, R[a, a], out=out[:, a])
    return out
