"""Cholesky algebra on many small matrices at once, the batch on the last axis.

LAPACK is called once a matrix by `numpy.linalg`, which costs microseconds each; a random-effects factor has thousands
of 1 x 1 to 4 x 4 blocks. With the batch on the last axis every scalar operation of the textbook algorithm is one
vectorised NumPy operation over all blocks. From `LOOP_LIMIT` columns on the loops cost more than the calls, and
LAPACK takes over.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOOP_LIMIT = 8


def cholesky(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower Cholesky factors of a batch.

    Parameters
    ----------
    A
        (k, k, b) symmetric positive definite matrices.

    Returns
    -------
    ndarray
        (k, k, b) lower-triangular L with L L' = A.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    """
    k = A.shape[0]
    if k > LOOP_LIMIT:
        return np.moveaxis(np.asarray(np.linalg.cholesky(np.moveaxis(A, -1, 0)), dtype=np.float64), 0, -1)
    L = np.zeros_like(A)
    for j in range(k):
        pivot = A[j, j] - np.einsum("cb,cb->b", L[j, :j], L[j, :j])
        if not np.all(pivot > 0):
            raise np.linalg.LinAlgError("matrix is not positive definite")
        L[j, j] = np.sqrt(pivot)
        for i in range(j + 1, k):
            L[i, j] = (A[i, j] - np.einsum("cb,cb->b", L[i, :j], L[j, :j])) / L[j, j]
    return L


def invert_lower(L: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k, b) inverses of lower-triangular matrices, by forward substitution on the columns of the identity."""
    k = L.shape[0]
    if k > LOOP_LIMIT:
        return np.moveaxis(np.asarray(np.linalg.inv(np.moveaxis(L, -1, 0)), dtype=np.float64), 0, -1)
    inverse = np.zeros_like(L)
    for j in range(k):
        inverse[j, j] = 1.0 / L[j, j]
        for i in range(j + 1, k):
            inverse[i, j] = -np.einsum("cb,cb->b", L[i, j:i], inverse[j:i, j]) / L[i, i]
    return inverse


def gram_of_lower(inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k, b) products J' J of lower-triangular J: the inverse of L L' where J is the inverse of L."""
    k = inverse.shape[0]
    if k > LOOP_LIMIT:
        J = np.moveaxis(inverse, -1, 0)
        return np.ascontiguousarray(np.moveaxis(J.transpose(0, 2, 1) @ J, 0, -1))
    out = np.empty_like(inverse)
    for i in range(k):
        for j in range(i + 1):
            out[i, j] = np.einsum("cb,cb->b", inverse[i:, i], inverse[i:, j])
            out[j, i] = out[i, j]
    return out


def sandwich(T: NDArray[np.float64], A: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, k, b) products T' A T of one (k, k) matrix with each member of a batch of symmetric A."""
    k = A.shape[0]
    if k == 1:
        return A * T[0, 0] ** 2
    flat = A.reshape(k, -1)
    left = (T.T @ flat).reshape(A.shape)
    return np.ascontiguousarray((T.T @ left.transpose(1, 0, 2).reshape(k, -1)).reshape(A.shape).transpose(1, 0, 2))


def product(A: NDArray[np.float64], B: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k, m, ...) products of matrices (k, l, ...) and (l, m, ...), their trailing batch axes broadcast."""
    k, length = A.shape[:2]
    m = B.shape[1]
    if length > LOOP_LIMIT and A.ndim == B.ndim == 3:
        return np.ascontiguousarray(np.moveaxis(np.moveaxis(A, -1, 0) @ np.moveaxis(B, -1, 0), 0, -1))
    out = np.empty((k, m, *np.broadcast_shapes(A.shape[2:], B.shape[2:])))
    for a in range(k):
        for d in range(m):
            total = out[a, d]
            if length == 0:
                total[...] = 0.0
                continue
            np.multiply(A[a, 0], B[0, d], out=total)
            for c in range(1, length):
                total += A[a, c] * B[c, d]
    return out


def transposed(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, k, ...) transposes of matrices (k, m, ...), batch axes as they are."""
    return A.swapaxes(0, 1)
