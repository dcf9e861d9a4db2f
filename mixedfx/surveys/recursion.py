r"""The pseudo likelihood of nested normal levels: a recursion over units, with all derivatives in theta.

Rows i lie in units j of the first level, these in units k of the second, and so on. With conditional weights (inverse
probabilities of selection within the unit above) the log pseudo likelihood is (Rabe-Hesketh & Skrondal 2006, Journal of
the Royal Statistical Society A 169:805, section 3)

    sum_k w_k log int exp{ sum_j w_j|k log int exp{ sum_i w_i|j log f(y_i | u_j, u_k) } phi(u_j) du_j } phi(u_k) du_k.

Let y_i be normal with variance sigma^2, u = sigma T b with b standard normal, and S the weighted cross-products of the
columns [Z of the unit's own level, Z of the levels above, X, y] of a unit's rows. Then the innermost integral is

    -1/2 { N log(2 pi sigma^2) + log|I + T'S_ZZ T| + (rest of S)_yy / sigma^2 },  N = sum w,
    S_rest <- S_rest - S_Z' T (I + T'S_ZZ T)^-1 T' S_Z,

which has the form of the contribution of one row to the level above: a sum of squares in the columns that are left, a
log determinant and a number of rows. All three are multiplied by the unit's own weight and added up over the units of
a parent; the parent's effects are eliminated in the same way. At the top remain S over [X, y], D and N, and beta and
sigma are profiled out: beta by least squares, sigma^2 = RSS / N,

    criterion = -2 log pseudo likelihood = N log(2 pi RSS / N) + N + D.

With all weights one this is -2 log likelihood of the model.

**Derivatives.** Each quantity is carried with its first and second derivatives in the parameters ("jets"). With
A = I + T'PT, P = S_ZZ, B = T'S_Z., X = A^-1 B and M_a = B_a - A_a X, what is taken from S is F = B'X, and

    F_a  = B_a'X + X'M_a
    F_ab = B_ab'X + X'B_ab - X'A_ab X + M_a'A^-1 M_b + M_b'A^-1 M_a
    (log|A|)_a = tr(A^-1 A_a),   (log|A|)_ab = tr(A^-1 A_ab) - tr(A^-1 A_b A^-1 A_a),

where A_a and B_a hold derivatives of T for parameters of the own level and of S for those below. T may be zero.

Arrays of units are (c, c, F, U): c columns, F fits (sets of weights or responses) and U units, the last contiguous, so
that small matrices are handled by loops over units and not one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Jet:
    """Cross-products and log determinants of units (or of a whole sample) with derivatives in theta.

    Attributes
    ----------
    S
        (c, c, F, U) cross-products of the columns that are left; (c, c, F) of a whole sample.
    D
        (F, U) or (F,) sums of log determinants.
    S1, D1
        Parameter -> first derivatives; those that are zero are left out.
    S2, D2
        Parameters (a, b), a <= b -> second derivatives.
    """

    S: Array
    D: Array
    S1: Mapping[int, Array]
    D1: Mapping[int, Array]
    S2: Mapping[Pair, Array]
    D2: Mapping[Pair, Array]

    def weighted_sums(self, weights: Array, starts: Index) -> Jet:
        """Units times their weights (F, U), added up over parents whose first units are `starts`."""

        def sums(x: Array) -> Array:
            return np.add.reduceat(x * weights, starts, axis=-1)

        return self._changed(sums)

    def _changed(self, f: Callable[[Array], Array]) -> Jet:
        return Jet(
            f(self.S), f(self.D),
            {a: f(x) for a, x in self.S1.items()}, {a: f(x) for a, x in self.D1.items()},
            {ab: f(x) for ab, x in self.S2.items()}, {ab: f(x) for ab, x in self.D2.items()},
        )  # fmt: skip


def bare(S: Array) -> Jet:
    """Units before any level was eliminated: no log determinants and no derivatives."""
    return Jet(S, np.zeros(S.shape[2:]), {}, {}, {}, {})


@dataclass(frozen=True, eq=False)
class Factor:
    """The factor T of one level in F fits, with derivatives.

    Attributes
    ----------
    T
        (F, k, k).
    first
        Parameter -> (F, k, k).
    second
        Parameters (a, b), a <= b -> (F, k, k); empty where T is linear.
    """

    T: Array
    first: Mapping[int, Array]
    second: Mapping[Pair, Array]


def eliminated(jet: Jet, factor: Factor, order: int = 2, weights: Array | None = None) -> Jet:
    """Integrate the effects of one level out of each unit.

    Parameters
    ----------
    jet
        Units; the first k columns are those of the level's effects.
    factor
        Its T.
    order
        Derivatives wanted: 0, 1 or 2.
    weights
        (F, U) of the units of the top level, for sums over all units instead of one jet each.

    Returns
    -------
    Jet
        Over the columns that are left, (c - k, c - k, F, U), or (c - k, c - k, F) with `weights`.
    """
    T, k, total = factor.T, factor.T.shape[-1], weights is not None
    S = jet.S
    P, Q = S[:k, :k], S[:k, k:]
    PT = np.einsum("ijfu,fjl->ilfu", P, T)
    A = np.einsum("fji,jlfu->ilfu", T, PT)
    for i in range(k):
        A[i, i] += 1.0
    C, log_determinant = inverse(A)
    B = np.einsum("fji,jcfu->icfu", T, Q)
    X = _times(C, B)
    w = np.ones((1, 1)) if weights is None else weights
    Xw = X if weights is None else X * w

    def left(x: Array) -> Array:
        """Blocks of the columns that remain, added up where totals are wanted."""
        return np.einsum("cdfu,fu->cdf", x[k:, k:], w) if total else x[k:, k:]

    def product(one: Array, two: Array) -> Array:
        return np.einsum("icfu,idfu->cdf" if total else "icfu,idfu->cdfu", one, two)

    def summed(x: Array) -> Array:
        return np.einsum("fu,fu->f", x, w) if total else x

    out_S = left(S) - product(Xw, B)
    out_D = summed(jet.D + log_determinant)
    S1: dict[int, Array] = {}
    D1: dict[int, Array] = {}
    S2: dict[Pair, Array] = {}
    D2: dict[Pair, Array] = {}
    if order == 0:
        return Jet(out_S, out_D, S1, D1, S2, D2)
    parameters = sorted({*factor.first, *jet.S1})
    A1: dict[int, Array] = {}
    M: dict[int, Array] = {}
    for a in parameters:
        own, below = factor.first.get(a), jet.S1.get(a)
        A_a, B_a = np.zeros_like(A), np.zeros_like(B)
        if own is not None:
            half = np.einsum("fji,jlfu->ilfu", own, PT)
            A_a += half + half.swapaxes(0, 1)
            B_a += np.einsum("fji,jcfu->icfu", own, Q)
        if below is not None:
            A_a += _within(T, below[:k, :k], T)
            B_a += np.einsum("fji,jcfu->icfu", T, below[:k, k:])
        M[a] = B_a - _times(A_a, X)
        A1[a] = _times(C, A_a)
        half = product(Xw, B_a)
        S1[a] = -half.swapaxes(0, 1) - product(Xw, M[a])
        if below is not None:
            S1[a] += left(below)
        D1[a] = _trace(A1[a]) + jet.D1.get(a, 0.0)
        D1[a] = summed(D1[a])
    if order == 1:
        return Jet(out_S, out_D, S1, D1, S2, D2)
    CM = {a: _times(C, M[a]) for a in parameters}
    for i, a in enumerate(parameters):
        Mw = M[a] if weights is None else M[a] * w
        for b in parameters[i:]:
            A_ab, B_ab = _second(jet, factor, PT, Q, k, a, b)
            half = product(Mw, CM[b])
            found = -half - half.swapaxes(0, 1)
            if B_ab is not None:
                half = product(Xw, B_ab)
                found -= half + half.swapaxes(0, 1)
            D_ab = -np.einsum("ijfu,jifu->fu", A1[b], A1[a])
            if A_ab is not None:
                found += product(_times(A_ab, X), Xw)
                D_ab += np.einsum("ijfu,jifu->fu", C, A_ab)
            below = jet.S2.get((a, b))
            if below is not None:
                found += left(below)
                D_ab += jet.D2[a, b]
            S2[a, b], D2[a, b] = found, summed(D_ab)
    return Jet(out_S, out_D, S1, D1, S2, D2)


def _second(
    jet: Jet, factor: Factor, PT: Array, Q: Array, k: int, a: int, b: int
) -> tuple[Array | None, Array | None]:  # fmt: skip
    """A_ab and B_ab; None where they are zero."""
    T = factor.T
    A_ab: Array | None = None
    B_ab: Array | None = None
    Ta, Tb, Tab = factor.first.get(a), factor.first.get(b), factor.second.get((a, b))
    Sa, Sb, Sab = jet.S1.get(a), jet.S1.get(b), jet.S2.get((a, b))

    def add(to: Array | None, what: Array) -> Array:
        return what if to is None else to + what

    def symmetric(x: Array) -> Array:
        return x + x.swapaxes(0, 1)

    if Tab is not None:
        A_ab = add(A_ab, symmetric(np.einsum("fji,jlfu->ilfu", Tab, PT)))
        B_ab = add(B_ab, np.einsum("fji,jcfu->icfu", Tab, Q))
    if Ta is not None and Tb is not None:
        A_ab = add(A_ab, symmetric(_within(Ta, jet.S[:k, :k], Tb)))
    for T_own, S_other in ((Ta, Sb), (Tb, Sa)):
        if T_own is not None and S_other is not None:
            A_ab = add(A_ab, symmetric(_within(T_own, S_other[:k, :k], T)))
            B_ab = add(B_ab, np.einsum("fji,jcfu->icfu", T_own, S_other[:k, k:]))
    if Sab is not None:
        A_ab = add(A_ab, _within(T, Sab[:k, :k], T))
        B_ab = add(B_ab, np.einsum("fji,jcfu->icfu", T, Sab[:k, k:]))
    return A_ab, B_ab


def _within(left: Array, P: Array, right: Array) -> Array:
    """Left' P right of (F, k, k), (k, k, F, U), (F, k, k)."""
    return np.einsum("fji,jlfu->ilfu", left, np.einsum("ijfu,fjl->ilfu", P, right))


def _times(left: Array, right: Array) -> Array:
    """Products of (k, k, F, U) and (k, c, F, U)."""
    if left.shape[0] == 1:
        return left * right
    return np.einsum("ijfu,jcfu->icfu", left, right)


def _trace(x: Array) -> Array:
    return np.einsum("iifu->fu", x)


def inverse(A: Array) -> tuple[Array, Array]:
    """Inverses (k, k, F, U) and log determinants (F, U) of positive definite matrices, by the sweep operator.

    A sweep of each pivot in turn leaves minus the inverse (Goodnight 1979, The American Statistician 33:149); the
    pivots are those of the Cholesky decomposition, squared.
    """
    k = A.shape[0]
    if k == 1:
        return 1.0 / A, np.log(A[0, 0])
    W = A.copy()
    log_determinant = np.zeros(A.shape[2:])
    for i in range(k):
        pivot = W[i, i].copy()
        log_determinant += np.log(pivot)
        row = W[i] / pivot
        column = W[:, i].copy()
        W -= column[:, None] * row[None]
        W[i] = row
        W[:, i] = row
        W[i, i] = -1.0 / pivot
    return -W, log_determinant
