"""Cholesky algebra on a stack of dense matrices of middle size: one call of LAPACK for each, and nothing else.

`numpy.linalg` has no triangular solves and no inverse from a Cholesky factor for stacks, and pays with an LU
factorisation what these do in a third of the work. `mixedfx.linalg.batched` is for blocks of a few columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Vector = NDArray[np.float64]

dpotrf, dpotri, dpotrs, dtrtrs = linalg.get_lapack_funcs(("potrf", "potri", "potrs", "trtrs"), dtype=np.float64)


def cholesky(A: Vector) -> tuple[list[Vector], Vector]:
    """Lower factors of D matrices, what is above the diagonal left as it was, and (D,) logarithms of determinants."""
    out, logdet = [], np.zeros(len(A))
    if A.shape[1] == 0:
        return list(A), logdet
    for d, one in enumerate(A):
        L, info = dpotrf(one.T, lower=1, clean=0)
        if info:
            raise np.linalg.LinAlgError("matrix is not positive definite")
        logdet[d] = 2.0 * np.log(np.diagonal(L)).sum()
        out.append(L)
    return out, logdet


def solved(factors: list[Vector], B: Vector) -> Vector:
    """(D, n, r) solutions of L L'x = B."""
    return np.array([dpotrs(L, b, lower=1)[0] for L, b in zip(factors, B, strict=True)])


def half_solved(factors: list[Vector], B: Vector) -> Vector:
    """(D, n, r) solutions of L'x = B."""
    return np.array([dtrtrs(L, b, lower=1, trans=1)[0] for L, b in zip(factors, B, strict=True)])


def inverses(factors: list[Vector], n: int) -> Vector:
    """(D, n, n) inverses of L L'."""
    out = np.empty((len(factors), n, n))
    above = np.triu_indices(n, 1)
    for d, L in enumerate(factors if n else []):
        out[d] = dpotri(L, lower=1)[0]
        out[d][above] = out[d].T[above]
    return out
