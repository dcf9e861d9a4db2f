"""Triangular systems of a few unknowns: LAPACK's routine itself, whose checks would take longer than the solution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Vector = NDArray[np.float64]

(dtrtrs,) = linalg.get_lapack_funcs(("trtrs",), dtype=np.float64)


def solve(A: Vector, b: Vector, lower: bool = False, transposed: bool = False) -> Vector:
    """(p,) or (p, s) solution x of A x = b, or A'x = b, for a triangle A (p, p) of finite numbers.

    Parameters
    ----------
    A
        (p, p); the other triangle is not read.
    b
        (p,) or (p, s).
    lower
        Whether the triangle is the lower one.
    transposed
        Whether to solve A'x = b.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a diagonal entry is zero.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.triangular import solve
    >>> solve(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([4.0, 8.0])).tolist()
    [1.0, 2.0]
    """
    if len(A) == 0:
        return np.array(b, dtype=np.float64)
    if A.flags.c_contiguous:  # the same memory, read by columns, is the transpose
        A, lower, transposed = A.T, not lower, not transposed
    x, info = dtrtrs(A, b, lower=lower, trans=transposed)
    if info:
        raise np.linalg.LinAlgError(f"the triangle is singular: entry {info} of its diagonal is zero")
    return x
