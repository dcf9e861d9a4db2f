r"""Rows that have the cross-products of many: what sums of squares and products are turned back into.

Let V (n, m) hold the values of n rows, the first column ones, and let the rows have weights W. Everything that a
Gaussian model asks of them is S = V'WV. Any V_* with V_*'V_* = S serves as well, and one of m rows is the Cholesky
factor of S, transposed; an orthogonal matrix maps the whitened rows to it and to rows of zeros (the "R" of a QR
decomposition; Miller 1992, Applied Statistics 41:458). In a cell with total weight s, weighted means a and
C = sum w (v - a)(v - a)' of the other columns,

    V_* = [ sqrt(s)   sqrt(s) a' ]         L L' = C,
          [    0          L'     ]

so that a cell gives a row of its means and at most as many more as there are values. The last of them, which has the
response alone, is the same kind of row in every cell, zero but for y, and all of these are one.

Means and C come from sums about centres c that all cells share: s (a - c) and C + s (a - c)(a - c)'. What is lost by
the difference is rounding of the size of the entries that z'z of a level has in any case.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROUNDING = 16 * np.finfo(np.float64).eps  # share of a sum of squares below which what remains of it is rounding


def compressed_rows(sums: Array, centres: Array) -> tuple[Array, NDArray[np.intp]]:
    """(r, m) whitened rows with the cross-products of all cells, and the cell of each.

    Parameters
    ----------
    sums
        (q, m, m) for each cell the sums of w d d', d = (1, v_1 - c_1, ..., v_K - c_K, y - c_y), m = K + 2.
    centres
        (m - 1,) the c.

    Returns
    -------
    rows : (r, m)
        Columns 1, v_1, ..., v_K, y, each times the root of its weight. The last row has the response alone, and is of
        the first cell.
    cells : (r,)

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.compressed_rows import compressed_rows
    >>> v = np.column_stack([np.ones(5), [1.0, 2.0, 4.0, 7.0, 9.0]])
    >>> d = v - [0.0, 4.0]
    >>> rows, cells = compressed_rows((d.T @ d)[None], np.array([4.0]))
    >>> rows.round(3).tolist(), (rows.T @ rows).round(12).tolist() == (v.T @ v).tolist()
    ([[2.236, 10.286], [0.0, 6.723]], True)
    """
    q, m = sums.shape[:2]
    total = sums[:, 0, 0]
    means = sums[:, 0, 1:] / total[:, None]
    C = sums[:, 1:, 1:] - total[:, None, None] * means[:, :, None] * means[:, None, :]
    lower = _factors(C, np.einsum("qaa->qa", sums[:, 1:, 1:]))
    out = np.zeros((q, m, m))
    out[:, 0, 0] = 1.0
    out[:, 0, 1:] = means + centres
    out[:, 0] *= np.sqrt(total)[:, None]
    out[:, 1:, 1:] = lower.transpose(0, 2, 1)
    alone = out[:, m - 1, m - 1].copy()
    rows, cells = out[:, : m - 1].reshape(-1, m), np.repeat(np.arange(q), m - 1)
    kept = rows.any(axis=1)
    last = np.zeros((1, m))
    last[0, m - 1] = np.sqrt(float(alone @ alone))
    return np.vstack([rows[kept], last]), np.append(cells[kept], 0)


def _factors(C: Array, squares: Array) -> Array:
    """(q, k, k) lower L with L L' = C for each of q matrices that are positive but for rounding of `squares` (q, k)."""
    q, k = C.shape[:2]
    L = np.zeros((q, k, k))
    for j in range(k):
        column = C[:, j:, j] - np.einsum("qia,qa->qi", L[:, j:, :j], L[:, j, :j])
        pivot = column[:, 0]
        enough = pivot > ROUNDING * squares[:, j]
        root = np.sqrt(np.where(enough, pivot, 1.0))
        L[:, j:, j] = np.where(enough[:, None], column / root[:, None], 0.0)
    return L
