r"""How far off Laplace's approximation is: the second-order term of the log likelihood.

With C = Z Lambda A^{-1} Lambda'Z', leverages c, minus the third and fourth derivatives w' and w'' of log f at the mode,
t = w' c, the next term of the expansion of the log likelihood is (Shun & McCullagh 1995, JRSS B 57:749)

    eps = -sum w'' c^2 / 8 + t'C t / 8 + sum_rs w'_r w'_s C_rs^3 / 12,

and -2 eps is about what the criterion lacks. While it is small it is accurate; a large one says that the approximation
fails, and little more. The last sum is taken over the pairs of rows that share a level of some factor, the other
entries of C being small of higher order. With one factor it is a contraction of third moments of the levels. With
several, C_rs is formed for the rows of one level at a time, by one half solve for each row; beyond `WORK`
multiplications for some levels only, chosen at random and scaled up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.glmm.laplace import Pieces, pieces
from mixedfx.glmm.model import Model, inner
from mixedfx.glmm.modes import Mode
from mixedfx.pls.factorization import Pair

Vector = NDArray[np.float64]

WORK = 2e9  # multiplications of half solves for each factor
MOST_ROWS = 3000  # of levels with known correlations, all rows of which are related
AT_ONCE = 2**22  # numbers of half solves held at once


def laplace_error(model: Model, mode: Mode, par: Vector) -> float:
    """What -2 log L by Laplace's approximation lacks, to second order; NaN where that takes too much to say."""
    parts = pieces(model, mode, par)
    t = parts.third * parts.leverages
    fourth = -float(parts.fourth @ parts.leverages**2) / 8.0
    zt = model.scaled(mode.T, model.rows.score_products(t), transposed=True)
    chain = inner(parts.r, zt) / 8.0
    third_moments = _one_factor if model.problem.coupling is None else _several_factors
    triangle = third_moments(model, parts)
    mode.factorization.release()
    return -2.0 * (fourth + chain + triangle / 12.0)


def _one_factor(model: Model, parts: Pieces) -> float:
    """The sum over pairs of rows within the levels of the only factor."""
    z, codes = model.rows.z, model.rows.codes
    levels, k = model.problem.factors[0].n_levels, z.shape[1]
    cubes = np.einsum("na,nb,nc->nabc", z, z, z).reshape(len(z), -1)
    third = np.stack([np.bincount(codes, parts.third * cube, levels) for cube in cubes.T], axis=1)
    third = third.reshape(levels, k, k, k)
    P = parts.first.transpose(2, 0, 1)
    turned = np.einsum("qabc,qad,qbe,qcf->qdef", third, P, P, P, optimize=True)
    return float((third * turned).sum())


def _several_factors(model: Model, parts: Pieces) -> float:
    """The same over pairs that share a level of some factor, each pair once."""
    rng = np.random.default_rng(0)
    codes: list[NDArray[np.intp]] = []
    total = 0.0
    for group in model.problem.factors:
        if not group.blocks:
            continue
        own = group.codes[model.rows.order]
        if group.mixing is not None:
            if len(own) > MOST_ROWS:
                return float("nan")
            own = np.zeros_like(own)
        total += _pairs(model, parts, own, codes, rng)
        codes.append(own)
    return total


def _pairs(
    model: Model, parts: Pieces, own: NDArray[np.intp], before: list[NDArray[np.intp]], rng: np.random.Generator
) -> float:  # fmt: skip
    """Sum over the pairs that share a level of `own`, and none of the factors `before`."""
    coupling = model.problem.coupling
    size = model.rows.first_size + (0 if coupling is None else coupling.size)
    cost = model.rows.first_size + (0 if coupling is None else coupling.size) ** 2
    order = np.argsort(own, kind="stable")
    start = np.flatnonzero(np.r_[True, np.diff(own[order]) > 0])
    members = np.split(order, start[1:])
    share = min(1.0, WORK / (cost * len(own)))
    count = len(members) if share == 1.0 else max(10, int(share * len(members)))
    if count < len(members):
        members = [members[j] for j in rng.choice(len(start), count, replace=False)]
    total, batch, held = 0.0, [], 0
    for rows in members:
        batch.append(rows)
        held += len(rows) * size
        if held > AT_ONCE:
            total += _batch(model, parts, batch, before)
            batch, held = [], 0
    total += _batch(model, parts, batch, before) if batch else 0.0
    return total * len(start) / count


def _batch(
    model: Model, parts: Pieces, members: list[NDArray[np.intp]], before: list[NDArray[np.intp]]
) -> float:  # fmt: skip
    """The same for some levels, whose rows go through one half solve."""
    rows = np.concatenate(members)
    mode, k, m = parts.mode, model.rows.z.shape[1], len(rows)
    flat = sparse.csr_array(model.rows.Z[rows]).toarray().T
    right: Pair = (flat[: model.rows.first_size].reshape(-1, k, m), np.ascontiguousarray(flat[model.rows.first_size :]))
    half = mode.factorization.half_solve(model.scaled(mode.T, right, transposed=True))
    H = np.concatenate([half[0].reshape(-1, m), half[1]])
    total, at = 0.0, 0
    for one in members:
        part = H[:, at : at + len(one)]
        at += len(one)
        C = (part.T @ part) ** 3
        for codes in before:
            C[codes[one][:, None] == codes[one]] = 0.0
        w = parts.third[one]
        total += float(w @ C @ w)
    return total
