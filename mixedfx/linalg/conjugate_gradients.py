r"""Conjugate gradients for many right-hand sides at once, and the log determinant that their coefficients hold.

For A symmetric positive definite and a preconditioner D = L L' (Hestenes & Stiefel 1952; Golub & Van Loan 2013, section
11.5) every column has its own step lengths, and all share the products with A. Step lengths a_t and ratios b_t of the
squared residuals r'D^{-1}r are the Lanczos coefficients of L^{-1}A L^{-T} from L^{-1} r_0 in another form,

    T_tt = 1 / a_t + b_{t-1} / a_{t-1},      T_{t,t+1} = sqrt(b_t) / a_t,

so that for signs z and r_0 = L z the Gauss quadrature of T estimates z'log(L^{-1}A L^{-T}) z (Ubaru, Chen & Saad 2017,
SIAM Journal on Matrix Analysis and Applications 38:1075).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Solved:
    """What conjugate gradients found.

    Attributes
    ----------
    x
        (q, m) solutions.
    steps
        Products with A that it took.
    converged
        Whether every column came within the tolerance.
    lengths, ratios
        (steps, m) a_t and b_t; of a column that was done, a_t = 0.
    """

    x: Array
    steps: int
    converged: bool
    lengths: Vector
    ratios: Vector


def conjugate_gradients(
    apply: Callable[[Array], Array], precondition: Callable[[Array], Array], b: Array, tolerance: float,
    most: int = 1000,
) -> Solved:  # fmt: skip
    """Solve A x = b (q, m).

    Parameters
    ----------
    apply, precondition
        Products with A and D^{-1}.
    b
        Right-hand sides, in the precision that is worked in.
    tolerance
        Length of the residual, in the norm of D^{-1}, relative to that of b.
    most
        Steps after which it gives up.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.linalg.conjugate_gradients import conjugate_gradients
    >>> A = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> found = conjugate_gradients(lambda x: A @ x, lambda r: r / np.diag(A)[:, None], np.array([[3.0], [4.0]]), 1e-12)
    >>> found.x.round(10).tolist(), found.steps
    ([[1.0], [1.0]], 2)
    """
    x, r = np.zeros_like(b), b.copy()
    z = precondition(r)
    p, rz = z.copy(), _dots(r, z)
    goal = tolerance**2 * rz
    active = rz > 0.0
    lengths, ratios = [], []
    while active.any() and len(lengths) < most:
        Ap = apply(p)
        bent = _dots(p, Ap)
        a = np.where(active & (bent > 0.0), rz / np.where(bent > 0.0, bent, 1.0), 0.0)
        own = a.astype(b.dtype)
        x += own * p
        r -= own * Ap
        z = precondition(r)
        new = _dots(r, z)
        ratio = np.where(active & (rz > 0.0), new / np.where(rz > 0.0, rz, 1.0), 0.0)
        lengths.append(a)
        ratios.append(ratio)
        rz = new
        active = active & (new > goal) & (a > 0.0)
        p = z + ratio.astype(b.dtype) * p
    shape = (len(lengths), b.shape[1])
    return Solved(x, len(lengths), not active.any(), np.array(lengths).reshape(shape), np.array(ratios).reshape(shape))


def _dots(a: Array, b: Array) -> Vector:
    return (a * b).sum(axis=0, dtype=np.float64)


def log_quadrature(lengths: Vector, ratios: Vector) -> tuple[Vector, Vector]:
    """Of each column, e_1'log(T) e_1 and T_11 for the Lanczos matrix T of conjugate gradients.

    Parameters
    ----------
    lengths, ratios
        (steps, m), as `Solved` has them.
    """
    m = lengths.shape[1]
    logs, firsts = np.zeros(m), np.ones(m)
    for c in range(m):
        a = lengths[:, c]
        steps = int((a > 0.0).sum())
        if steps == 0:
            continue
        a, b = a[:steps], ratios[:steps, c]
        diagonal = 1.0 / a
        diagonal[1:] += b[:-1] / a[:-1]
        T = np.diag(diagonal) + np.diag(np.sqrt(b[:-1]) / a[:-1], 1) + np.diag(np.sqrt(b[:-1]) / a[:-1], -1)
        values, vectors = np.linalg.eigh(T)
        logs[c] = float(vectors[0] ** 2 @ np.log(np.maximum(values, np.finfo(np.float64).tiny)))
        firsts[c] = diagonal[0]
    return logs, firsts
