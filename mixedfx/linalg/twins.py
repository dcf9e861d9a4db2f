"""NumPy twins of the compiled kernels: the same sums through the dense coupling matrix.

They are the fast path of small or nearly dense problems (no compilation, one matrix product) and the oracle of the
kernels' tests. `dense` is (q1, q2, k1): the vectors v_a of row i at [i, a].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def downdate(C: NDArray[np.float64], dense: NDArray[np.float64], weights: NDArray[np.float64] | None) -> None:
    """C -= sum_i V_i W_i V_i' in place, both triangles; `weights` is (q1, k1, k1), None for the identity."""
    downdate_columns(C, dense, weights, slice(None))


def downdate_columns(
    C: NDArray[np.float64], dense: NDArray[np.float64], weights: NDArray[np.float64] | None,
    columns: NDArray[np.intp] | slice,
) -> None:  # fmt: skip
    """The same for some columns: C (q2, c) holds those of `columns`."""
    q1, q2, k1 = dense.shape
    right = dense[:, columns] if weights is None else np.matmul(dense[:, columns], weights)
    right = right.transpose(0, 2, 1).reshape(q1 * k1, -1)
    C -= dense.transpose(1, 0, 2).reshape(q2, q1 * k1) @ right


def quadratic_forms(N: NDArray[np.float64], dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """(q1, k1, k1) forms V_i' N V_i of a symmetric N."""
    q1, q2, k1 = dense.shape
    flat = dense.transpose(1, 0, 2).reshape(q2, q1 * k1)
    product = (N @ flat).reshape(q2, q1, k1)
    return np.matmul(dense.transpose(0, 2, 1), product.transpose(1, 0, 2))


def inverse_products(N: NDArray[np.float64], dense: NDArray[np.float64]) -> NDArray[np.float64]:
    """(q1, q2, k1) products N V_i of a symmetric N."""
    q1, q2, k1 = dense.shape
    flat = dense.transpose(1, 0, 2).reshape(q2, q1 * k1)
    return (N @ flat).reshape(q2, q1, k1).transpose(1, 0, 2)


def downdate_pairs(
    C: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64], level: NDArray[np.int64],
    place: NDArray[np.int64], values: NDArray[np.float64], weights: NDArray[np.float64] | None,
) -> None:  # fmt: skip
    """C -= sum_i V_i W_i V_i' in place, by the pairs of entries of each level.

    Parameters
    ----------
    C
        (q2, q2), both triangles.
    first, second, level, place
        (P,) pairs of entries, as `mixedfx.pls.coupling.EntryPairs` has them.
    values
        (e, k1) values of each entry.
    weights
        (q1, k1, k1); None for the identity.
    """
    q2, left, right = len(C), values[first], values[second]
    if weights is None:
        sums = np.einsum("pc,pc->p", left, right)
    elif values.shape[1] == 1:
        sums = left[:, 0] * weights[level, 0, 0] * right[:, 0]
    else:
        sums = np.einsum("pc,pcd,pd->p", left, weights[level], right, optimize=True)
    C -= np.bincount(place, sums, q2 * q2).reshape(q2, q2)


def inverse_products_pairs(
    N: NDArray[np.float64], first: NDArray[np.int64], second: NDArray[np.int64], place: NDArray[np.int64],
    values: NDArray[np.float64],
) -> NDArray[np.float64]:  # fmt: skip
    """(e, k1) entries of N V_i at the columns that level i meets, by the same pairs."""
    between = N.ravel()[place]
    sums = [np.bincount(first, between * column[second], len(values)) for column in values.T]
    return np.stack(sums, axis=1).astype(np.float64, copy=False)
