"""Products of the columns of a design, overall and within the levels of a grouping factor.

With X = Q R, gamma the least squares coefficients of y on Q and y0 = y - Q gamma, the columns W = [Q, y0] and the
covariates z of a factor give W'W and, for each level, z'W and z'z. That takes few operations but many passes over the
rows in NumPy; from `ONE_PASS_FROM` rows on, where the passes are most of the time of a fit, a compiled loop makes one
pass and keeps nothing (`mixedfx.linalg.rows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.linalg import triangular

Vector = NDArray[np.float64]

SPARSE_FROM = 10_000  # rows from which one sparse product beats a count for each pair of columns
ONE_PASS_FROM = 100_000  # rows from which the compiled pass, a second to compile once for all, is worth having
ONE_PASS_COLUMNS = 16  # columns up to which its plain loops beat blocked matrix products
WELL_CONDITIONED = 1e-2  # smallest diagonal entry of the scaled R from which its inverse may be formed


@dataclass(frozen=True)
class CrossProducts:
    """Products of W = [Q, y0] and of the covariates of one factor.

    Attributes
    ----------
    R
        (p, p) upper triangle with X = Q R.
    gamma
        (p,) coefficients taken out of y: y0 = y - Q gamma.
    ww
        (p + 1, p + 1) W'W.
    by_level
        (q, k, p + 1 + k) z'[W, z] of each level.
    rows
        (n, p + 1) W itself, or None where it was not asked for and not formed.
    """

    R: Vector
    gamma: Vector
    ww: Vector
    by_level: Vector
    rows: Vector | None


def cross_products(
    X: Vector, y: Vector, z: Vector, codes: NDArray[np.intp], n_levels: int, with_rows: bool
) -> CrossProducts:
    """Products for X (n, p), y (n,) and one factor with covariates z (n, k); `with_rows` keeps W for other factors."""
    R, gram, inverse = triangle(X)
    n, p = X.shape
    if not with_rows and inverse is not None and n >= ONE_PASS_FROM and p + z.shape[1] <= ONE_PASS_COLUMNS:
        return _one_pass(X, y, z, codes, n_levels, R, gram, inverse)
    return _by_columns(X, y, z, codes, n_levels, R, inverse)


def _one_pass(
    X: Vector, y: Vector, z: Vector, codes: NDArray[np.intp], n_levels: int, R: Vector, gram: Vector, inverse: Vector
) -> CrossProducts:
    from mixedfx.linalg.rows import row_products

    p, k = X.shape[1], z.shape[1]
    gamma = np.linalg.solve(inverse.T @ gram @ inverse, inverse.T @ (X.T @ y)).astype(np.float64)
    ww, by_level = np.zeros((p + 1, p + 1)), np.zeros((n_levels, k, p + 1 + k))
    row_products(X, inverse, gamma, y, z, codes, ww, by_level)
    return CrossProducts(R, gamma, ww + np.tril(ww, -1).T, by_level, None)


def _by_columns(
    X: Vector, y: Vector, z: Vector, codes: NDArray[np.intp], n_levels: int, R: Vector, inverse: Vector | None
) -> CrossProducts:
    n, p = X.shape
    columns = np.empty((n, p + 1 + z.shape[1]))
    W = columns[:, : p + 1]
    Q = orthogonal_columns(X, R, inverse)
    QQ = Q.T @ Q
    gamma = np.asarray(np.linalg.solve(QQ, Q.T @ y), dtype=np.float64) if p else np.zeros(0)
    y0 = y - Q @ gamma
    Qy = Q.T @ y0
    ww = np.block([[QQ, Qy[:, None]], [Qy[None, :], np.array([[y0 @ y0]])]])
    W[:, :p], W[:, p] = Q, y0
    columns[:, p + 1 :] = z
    return CrossProducts(R, gamma, ww, level_products(codes, n_levels, z, columns), W)


def triangle(X: Vector) -> tuple[Vector, Vector, Vector | None]:
    """R (p, p) with R'R = X'X, X'X itself, and the inverse of R where that may be formed.

    R is the Cholesky factor of the column-scaled X'X; where that is too ill conditioned to be trusted, the QR
    decomposition's. The inverse loses no more digits than a substitution where no column is nearly a combination of
    others; else it is None.
    """
    gram = X.T @ X
    if len(gram) == 0:
        return gram, gram, gram
    norm = np.sqrt(np.diag(gram))
    try:
        R = linalg.cholesky(gram / np.outer(norm, norm), check_finite=False)
        smallest = np.diag(R).min(initial=1.0)
        if not smallest >= 1e-5:
            raise linalg.LinAlgError
    except linalg.LinAlgError:
        R = np.asarray(np.linalg.qr(X / norm, mode="r"))
        R = R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]
        smallest = 0.0
    R = np.asarray(R * norm, dtype=np.float64)
    if smallest <= WELL_CONDITIONED:
        return R, gram, None
    return R, gram, np.ascontiguousarray(triangular.solve(R, np.eye(len(R))))


def orthogonal_columns(X: Vector, R: Vector, inverse: Vector | None) -> Vector:
    """Q (n, p) = X R^{-1}, by the inverse where there is one, else by substitution."""
    if inverse is not None:
        return np.asarray(X @ inverse)
    return np.asarray(triangular.solve(R, X.T, transposed=True)).T


def level_products(codes: NDArray[np.intp], n_levels: int, z: Vector, Y: Vector) -> Vector:
    """(q, k, m) sums over the rows of each level of z_a Y_c, for z (n, k) and Y (n, m)."""
    (n, k), m = z.shape, Y.shape[1]
    if n < SPARSE_FROM and m < 8:
        flat = [np.bincount(codes, z[:, a] * Y[:, c], n_levels) for a in range(k) for c in range(m)]
        return np.asarray(np.stack(flat, axis=1), dtype=np.float64).reshape(n_levels, k, m)
    index = np.int32 if n * k < 2**31 else np.int64  # what scipy would convert to
    columns = codes.astype(index)[:, None] * index(k) + np.arange(k, dtype=index)
    Z = sparse.csr_array((z.ravel(), columns.ravel(), np.arange(0, n * k + 1, k, dtype=index)), (n, n_levels * k))
    return (Z.T @ Y).reshape(n_levels, k, m)
