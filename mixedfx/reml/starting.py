"""Starting values: variance components by moments.

With y0 = P0 y the least squares residual and Z_k the columns of one (factor, column of z), the quadratic forms
|Z_k'y0|^2 have expectations that are linear in the variances (MIVQUE(0); Rao 1970, Searle, Casella & McCulloch 1992,
section 11.3): with Z_k'P0 Z_l = Z_k'Z_l - B_k B_l' and B_k = Z_k'Q,

    E |Z_k'y0|^2 = sigma^2 tr(Z_k'P0 Z_k) + sum_l sigma_l^2 |Z_k'P0 Z_l|_F^2
    E |y0|^2     = sigma^2 (n - p)        + sum_l sigma_l^2 tr(Z_l'P0 Z_l).

Cross-products suffice; a known sigma takes its place among the known terms. The solution is consistent but can be
negative; it only has to be within reach of the optimiser.

Covariances within a term follow from its own quadratic forms, the variances given: with A_ab = Z_a'P0 Z_b for columns a
and b of one factor,

    E sum_j h_ja h_jc = sigma^2 tr A_ac + sum_b,d Sigma_bd <A_ab, A_cd>,     h_a = Z_a'y0.

What other factors add is left out; it vanishes in a balanced design, where the start is the estimate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.factors import Block
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

RANGE = (0.05, 20.0)  # relative standard deviations outside this range are not trusted as a start
WARM = 0.1  # relative standard deviation from which a variance that another fit put at zero starts
INSIDE = 0.05  # smallest eigenvalue of correlations that are taken as they are
WITHIN = 0.5  # the one to which correlations nearer the boundary, or beyond it, are drawn in
START_PROBES = 8  # with which products across factors are estimated where they are not formed
SPANNED = 1e-10  # share of |Z'Z|^2 that the projection on X leaves, below which a column counts as within its span


def moment_start(problem: Problem) -> Vector:
    """(r,) parameters: relative standard deviations and correlations from moments."""
    B, h, squares, cross_with_b, traces = (_estimated if problem.iterative else _products)(problem)
    count = len(B)
    p = problem.p
    A = np.empty((count + 1, count + 1))
    t = np.empty(count + 1)
    own = np.array([(one.T @ one).ravel() for one in B]).reshape(count, p * p)
    A[:count, :count] = squares - 2.0 * cross_with_b + own @ own.T
    A[:count, count] = A[count, :count] = traces - np.array([float((one**2).sum()) for one in B])
    t[:count] = [float(one @ one) for one in h]
    A[count, count] = problem.n - p
    t[count] = float(problem.ww[p, p])
    # A column within the span of X leaves nothing to a moment: its row is rounding error.
    known = np.diag(A) > SPANNED * np.append(np.diag(squares), problem.n)
    A, t = np.where(np.outer(known, known), A, 0.0), np.where(known, t, 0.0)
    scale = np.sqrt(np.where(known, np.diag(A), 1.0))
    if problem.sigma is None:
        solution = _solved(A, t, scale)
        sigma2 = max(solution[count], 0.05 * t[count] / max(problem.n - p, 1))
    else:
        sigma2 = problem.sigma**2
        solution = _solved(A[:count, :count], t[:count] - sigma2 * A[:count, count], scale[:count])
    ratio = np.sqrt(np.clip(solution[:count], 0.0, None) / sigma2) if sigma2 > 0 else np.ones(count)
    ratio = np.clip(ratio, *RANGE)
    firsts = np.cumsum([0, *(g.k for g in problem.factors)])
    T = []
    for f, group in enumerate(problem.factors):
        sd = ratio[firsts[f] : firsts[f + 1]]
        T.append(np.diag(sd))
        for block in group.blocks:
            if block.structure.free and block.structure.k > 1:
                columns = np.arange(firsts[f], firsts[f + 1])[block.columns]
                R = _correlations(
                    _own_blocks(problem, f, block), np.array([B[c] for c in columns]),
                    np.array([h[c] for c in columns]) / np.sqrt(sigma2), sd[block.columns],
                )  # fmt: skip
                T[f][block.columns, block.columns] = sd[block.columns, None] * np.linalg.cholesky(R)
    return problem.lower(T)


def _solved(A: Vector, t: Vector, scale: Vector) -> Vector:
    return np.linalg.lstsq(A / np.outer(scale, scale), t / scale, rcond=1e-10)[0] / scale


def _own_blocks(problem: Problem, f: int, block: Block) -> Vector:
    """(k, k, q) diagonal blocks of Z'Z of one term."""
    if f == 0:
        return problem.gram1[block.columns, block.columns]
    assert problem.coupling is not None
    if problem.iterative:
        return _gram_blocks(problem)[f - 1][:, block.columns, block.columns].transpose(1, 2, 0)
    position = problem.coupling.positions[f - 1][:, block.columns]
    k = position.shape[1]
    gram = problem.coupling.gram
    return np.array([[np.asarray(gram[position[:, a], position[:, b]]).ravel() for b in range(k)] for a in range(k)])


def _correlations(G: Vector, B: Vector, h: Vector, sd: Vector) -> Vector:
    """(k, k) correlations of the effects of a term, far enough from the boundary.

    Parameters
    ----------
    G, B, h
        (k, k, q) blocks of Z'Z, (k, q, p) products Z'Q and (k, q) products Z'y0 / sigma.
    sd
        (k,) relative standard deviations.
    """
    k = len(sd)
    BB = np.einsum("ajp,bjp->abj", B, B)
    D = G - BB
    across = np.einsum("ajp,cjr->acpr", B, B)
    flat, own = D.reshape(k * k, -1), BB.reshape(k * k, -1)
    inner = (flat @ flat.T - own @ own.T).reshape(k, k, k, k)
    across = across.reshape(k * k, -1)
    inner += (across @ across.T).reshape(k, k, k, k).transpose(0, 2, 1, 3)  # <A_ab, A_cd>
    a, c = np.triu_indices(k, 1)
    from_variances = np.einsum("abcb,b->ac", inner, sd**2)[a, c]
    left = (h @ h.T)[a, c] - D.sum(axis=2)[a, c] - from_variances
    system = inner[a[:, None], a, c[:, None], c] + inner[a[:, None], c, c[:, None], a]
    squares = np.einsum("aaj,aaj->a", G, G)
    R = np.eye(k)
    if (np.diag(system) > SPANNED * np.sqrt(squares[a] * squares[c])).all():  # else X spans a column
        size = np.sqrt(np.diag(system))
        covariance = np.linalg.lstsq(system / np.outer(size, size), left / size, rcond=1e-10)[0] / size
        R[a, c] = R[c, a] = covariance / (sd[a] * sd[c])
    smallest = float(np.linalg.eigvalsh(R)[0])
    return R if smallest >= INSIDE else np.eye(k) + (R - np.eye(k)) * (1.0 - WITHIN) / (1.0 - smallest)


def off_boundary(problem: Problem, par: Vector) -> Vector:
    """A start from the estimate of another fit: zero is stationary by symmetry, and no place to start from."""
    return np.where(problem.stationary & (np.abs(par) < 1e-3 * WARM), WARM, par)


def _products(
    problem: Problem,
) -> tuple[list[Vector], list[Vector], Vector, Vector, Vector]:
    """For each (factor, column): B, Z'y0, and for each pair |Z_k'Z_l|_F^2, tr(B_k'Z_k'Z_l B_l); traces of Z_k'Z_k."""
    p, coupling, k1 = problem.p, problem.coupling, problem.factors[0].k
    B = [problem.zw1[:, a, :p] for a in range(k1)]
    h = [problem.zw1[:, a, p] for a in range(k1)]
    columns: list[NDArray[np.intp]] = []
    if coupling is not None:
        for position in coupling.positions:
            for a in range(position.shape[1]):
                columns.append(position[:, a])
                B.append(problem.zw2[position[:, a], :p])
                h.append(problem.zw2[position[:, a], p])
    count = len(B)
    squares, cross_with_b, traces = np.zeros((count, count)), np.zeros((count, count)), np.empty(count)

    def put(k: int, l: int, square: float, cross: float) -> None:  # noqa: E741
        squares[k, l] = squares[l, k] = square
        cross_with_b[k, l] = cross_with_b[l, k] = cross

    first = np.array(B[:k1]).transpose(1, 0, 2)  # (q, k1, p)
    squares[:k1, :k1] = np.einsum("abj,abj->ab", problem.gram1, problem.gram1)
    cross_with_b[:k1, :k1] = np.einsum("abj,jab->ab", problem.gram1, first @ first.transpose(0, 2, 1))
    traces[:k1] = np.einsum("aaj->a", problem.gram1)
    if coupling is not None:
        cross2, gram2 = coupling.cross.copy(), coupling.gram.copy()
        cross2.data, gram2.data = cross2.data**2, gram2.data**2
        membership = _membership(columns, coupling.size)
        by_row = (cross2 @ membership).reshape(-1, k1, len(columns)).sum(axis=0)
        by_pair = membership.T @ (gram2 @ membership)
        diagonal = coupling.gram.diagonal()
        for m, position in enumerate(columns):
            traces[k1 + m] = diagonal[position].sum()
            spread = np.zeros((coupling.size, p))
            spread[position] = B[k1 + m]
            up = (coupling.cross @ spread).reshape(len(B[0]), k1, p)
            across = coupling.gram @ spread
            for a in range(k1):
                put(a, k1 + m, by_row[a, m], float((up[:, a] * B[a]).sum()))
            for l in range(m + 1):  # noqa: E741
                put(k1 + m, k1 + l, by_pair[m, l], float((across[columns[l]] * B[k1 + l]).sum()))
    return B, h, squares, cross_with_b, traces


def _gram_blocks(problem: Problem) -> list[Vector]:
    """For each factor of the second level the (q, k, k) diagonal blocks of Z'Z, of a problem solved by iteration."""
    from mixedfx.pls.incidence import Incidence

    assert isinstance(problem.coupling, Incidence)
    return problem.coupling.diagonal_blocks(np.zeros((0, problem.factors[0].k, problem.factors[0].k)))


def _estimated(problem: Problem) -> tuple[list[Vector], list[Vector], Vector, Vector, Vector]:
    """What `_products` gives where Z1'Z2 and Z2'Z2 are not formed: squares across factors by a few probes."""
    coupling, p = problem.coupling, problem.p
    assert coupling is not None
    of_factor = [problem.zw1, *(problem.zw2[position] for position in coupling.positions)]
    blocks = [problem.gram1.transpose(2, 0, 1), *_gram_blocks(problem)]
    owner = [(f, a) for f, part in enumerate(of_factor) for a in range(part.shape[1])]
    B = [of_factor[f][:, a, :p] for f, a in owner]
    h = [of_factor[f][:, a, p] for f, a in owner]
    count, rng = len(owner), np.random.default_rng(0)
    squares, cross_with_b, traces = np.zeros((count, count)), np.zeros((count, count)), np.empty(count)
    for l, (f, a) in enumerate(owner):  # noqa: E741
        traces[l] = blocks[f][:, a, a].sum()
        signs = rng.integers(0, 2, (len(B[l]), START_PROBES)) * 2.0 - 1.0
        given = np.concatenate([signs, B[l]], axis=1)
        spread = np.zeros((*of_factor[f].shape[:2], given.shape[1]))
        spread[:, a] = given
        if f == 0:
            moved = coupling.down(spread.reshape(-1, given.shape[1]))
        else:
            second = np.zeros((coupling.size, given.shape[1]))
            second[coupling.positions[f - 1].ravel()] = spread.reshape(-1, given.shape[1])
            moved = coupling.within(second)
        for k, (g, b) in enumerate(owner):
            if g < f or k < l:
                continue
            if g == f:
                own = blocks[f][:, a, b]
                squares[k, l] = own @ own
                cross_with_b[k, l] = np.einsum("j,jc,jc->", own, B[k], B[l])
            else:
                part = moved[coupling.positions[g - 1][:, b]]
                squares[k, l] = (part[:, :START_PROBES] ** 2).sum() / START_PROBES
                cross_with_b[k, l] = (part[:, START_PROBES:] * B[k]).sum()
            squares[l, k], cross_with_b[l, k] = squares[k, l], cross_with_b[k, l]
    return B, h, squares, cross_with_b, traces


def _membership(columns: list[NDArray[np.intp]], size: int) -> Vector:
    """(size, columns) indicator of which effects belong to which (factor, column)."""
    out = np.zeros((size, len(columns)))
    for m, position in enumerate(columns):
        out[position, m] = 1.0
    return out
