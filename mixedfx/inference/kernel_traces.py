r"""Traces tr(K E_i K E_j), K = Z'V^{-1}Z, for the pattern E_i of each variance and covariance.

They are the expected information of the variance parameters. With the engine's blocks: the first factor alone gives
V_1, and with D = Z2'V_1^{-1}Z2, Y = Z1'V_1^{-1}Z2 (sparse: its rows are K_i'(Z1'Z2)_i), B = Z1'V_1^{-1}Z1 (block
diagonal), C the second level's Schur complement and J = Lambda2 C^{-1} Lambda2', F = I - J D,

    K_11 = B - Y J Y',      K_12 = Y F,      K_22 = D F.

Let X_i = Y'E_iY for a pattern of the first factor, (q2, q2). Then

    first, first:    tr(B E_i B E_j) - sum over levels tr(f (E_i b E_j + E_j b E_i)) + tr(J X_i J X_j)
    first, second:   tr(E_j F'X_iF)
    second, second:  tr(K_22 E_i K_22 E_j)

with b, f the (k1, k1) blocks of B and of Y J Y'. Work is in the square and the cube of q2, linear in the first factor,
and free of the rows; a single factor needs its blocks B only.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.errors import MemoryForecastError
from mixedfx.linalg import batched
from mixedfx.linalg.shape import shape_of
from mixedfx.pls.factorization import Factorization
from mixedfx.pls.second_level import SecondLevel

Vector = NDArray[np.float64]
PatternOf = tuple[int, int, int]

HELD = 9  # matrices over the second level at the largest, and one more for each pattern of the first factor
DENSE_NUMBERS = 2e7  # size of Y up to which it is laid out densely where a twentieth of it is filled


def kernel_traces(factorization: Factorization, pairs: list[PatternOf]) -> Vector:
    """(m, m) traces for the patterns of `pairs`: grouping factor and columns a <= c.

    Raises
    ------
    MemoryForecastError
        If matrices over the second level do not fit in the memory that is free.
    """
    T1, G1 = factorization.T[0], factorization.problem.gram1
    k1 = len(T1)
    N = batched.sandwich(T1.T, factorization.M1_inverse)
    shrink = -np.einsum("acj,cdj->adj", N, G1, optimize=True)
    shrink[np.arange(k1), np.arange(k1)] += 1.0  # K_i = (I + T1 T1'G_i)^{-1}
    B = np.einsum("acj,cdj->jad", G1, shrink, optimize=True)
    out = np.zeros((len(pairs), len(pairs)))
    first = [i for i, pair in enumerate(pairs) if pair[0] == 0]
    patterns = {i: _pattern(pairs[i], k1) for i in first}
    for i in first:
        BE = B @ patterns[i]
        for j in first:
            out[i, j] = np.einsum("jab,jba->", BE, B @ patterns[j])
    if factorization.second is not None:
        _check_memory(factorization.second, len(first))
        _with_second_level(factorization, factorization.second, pairs, patterns, B, N, shrink, out)
    return out


def _pattern(pair: PatternOf, k: int) -> Vector:
    E = np.zeros((k, k))
    E[pair[1], pair[2]] = E[pair[2], pair[1]] = 1.0
    return E


def _check_memory(second: SecondLevel, count: int) -> None:
    import psutil

    q2 = second.coupling.size
    needed, free = 8.0 * q2**2 * (HELD + count) / 2**20, psutil.virtual_memory().available / 2**20
    if needed > 0.9 * free:
        raise MemoryForecastError(
            f"Kenward and Roger's method needs {needed:,.0f} MB for {q2:,} crossed random effects; {free:,.0f} MB are "
            "free",
            hint='Use ddf="satterthwaite", which needs no more memory than the fit.',
        )


def _with_second_level(
    factorization: Factorization, second: SecondLevel, pairs: list[PatternOf], patterns: dict[int, Vector],
    B: Vector, N: Vector, shrink: Vector, out: Vector,
) -> None:  # fmt: skip
    coupling = second.coupling
    k1, q1 = N.shape[0], N.shape[2]
    Y = _shrunken(coupling.cross, shrink)
    height = shape_of(coupling.cross)[0]
    weights = sparse.csr_array(_block_diagonal(N, height))
    D = (coupling.gram - coupling.cross.T @ (weights @ coupling.cross)).toarray()
    half = second.half_solve(second.scale(np.eye(coupling.size), transposed=True))
    J = half.T @ half
    F = -J @ D
    F[np.arange(len(F)), np.arange(len(F))] += 1.0

    forms = np.einsum("cai,icd,dbi->iab", shrink, second.quadratic_forms(), shrink, optimize=True)
    JX: dict[int, Vector] = {}
    groups = [(i, f, coupling.positions[f - 1], a, c) for i, (f, a, c) in enumerate(pairs) if f > 0]
    for i, E in patterns.items():
        X = _gram(Y, E, q1, k1)
        JX[i] = J @ X
        XF = X @ F
        for j, _, position, a, c in groups:
            value = float(np.einsum("sl,sl->", F[:, position[:, a]], XF[:, position[:, c]]))
            out[i, j] = out[j, i] = value if a == c else 2.0 * value
    for i, E in patterns.items():
        for j, other in patterns.items():
            across = E @ B @ other + other @ B @ E
            out[i, j] += float(np.sum(JX[i] * JX[j].T)) - float(np.einsum("iab,iba->", forms, across))
    JX.clear()
    K22 = D @ F
    for i, _, rows, a, b in groups:
        for j, _, columns, c, d in groups:
            if j < i:
                continue
            straight = np.sum(K22[np.ix_(rows[:, a], columns[:, c])] * K22[np.ix_(rows[:, b], columns[:, d])])
            turned = straight
            if a != b and c != d:
                turned = np.sum(K22[np.ix_(rows[:, a], columns[:, d])] * K22[np.ix_(rows[:, b], columns[:, c])])
            times = (1 if a == b else 2) * (1 if c == d else 2) / 2
            out[i, j] = out[j, i] = times * float(straight + turned)


def _shrunken(cross: sparse.csr_array, shrink: Vector) -> sparse.csr_array | Vector:
    """Y, rows (level, column) as those of `cross`: K_i' times the block of each level."""
    height, width = shape_of(cross)
    Y = cast("sparse.csr_array", sparse.csr_array(_block_diagonal(shrink.transpose(1, 0, 2), height)) @ cross)
    dense = height * width <= DENSE_NUMBERS and cross.nnz > 0.05 * height * width
    return Y.toarray() if dense else sparse.csr_array(Y)


def _block_diagonal(blocks: Vector, height: int) -> sparse.bsr_array:
    q = blocks.shape[2]
    data = np.ascontiguousarray(blocks.transpose(2, 0, 1))
    return sparse.bsr_array((data, np.arange(q), np.arange(q + 1)), shape=(height, height))


def _gram(Y: sparse.csr_array | Vector, E: Vector, levels: int, k: int) -> Vector:
    """(q2, q2) Y'(I x E)Y for the pattern E of one variance or covariance."""
    a, c = np.argwhere(E)[0]
    left = Y[a::k]
    if a == c:
        product = left.T @ left
        return product if isinstance(product, np.ndarray) else product.toarray()
    product = left.T @ Y[c::k]
    product = product if isinstance(product, np.ndarray) else product.toarray()
    return product + product.T
