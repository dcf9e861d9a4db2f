r"""Means and variances of linear functionals of (beta, u) at many points of the variance parameters at once.

Given (T, sigma), a functional c1'u1 + c2'u2 + cg'gamma of the effects of the first factor, those of the others and the
fixed effects is worked off one group after the other (Lindley & Smith 1972; the notation of
`mixedfx.pls.collapsed_batch`). With N_j = T (I + T'G_j T)^{-1} T' of level j and F = [Z2, Q, y],

    u1 given the rest has mean N Z1'(y - Z2 u2 - Q gamma) and covariance sigma^2 N:
        variance  sum_j c_j'N_j c_j,    t = sum_j (Z_j'F)'N_j c_j,
        and what is left is  t_y + (c2 - t_Z2)'u2 + (cg - t_Q)'gamma;

    u2 = Lambda2 v2, v2 given gamma has mean C^{-1}Lambda2'Z2'V1^{-1}(y - Q gamma), covariance sigma^2 C^{-1}, C = L L':
        variance  |h|^2,  h = L^{-1}Lambda2'(c2 - t_Z2),    half = L^{-1}Lambda2'Z2'V1^{-1}[Q, y],
        and what is left is  h'half_y + (cg - t_Q - half_Q'h)'gamma;

    gamma has the mean gamma-hat and covariance sigma^2 S~^{-1}.

Only the levels that a row touches are looked at, so that a row for one cell costs as little at a node as one draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.linalg import triangular
from mixedfx.pls.collapsed import Collapsed
from mixedfx.pls.collapsed_batch import CollapsedBatch

Vector = NDArray[np.float64]

CHUNK = 2**17  # numbers of one temporary array: near the processor


@dataclass(frozen=True, eq=False)
class Rows:
    """s functionals of (gamma, u) in the terms of a problem.

    Attributes
    ----------
    constant
        (s,) what no unknown enters.
    gamma
        (s, p) coefficients of gamma.
    levels
        (P,) level of the first factor that each touch concerns.
    coefficients
        (P, k) coefficients of its effects.
    starts
        (s + 1,) touches of each row.
    second
        (s, q2) coefficients of the effects of the other factors.
    """

    constant: Vector
    gamma: Vector
    levels: NDArray[np.intp]
    coefficients: Vector
    starts: NDArray[np.intp]
    second: Vector

    def __len__(self) -> int:
        return len(self.constant)


def rows_of(collapsed: Collapsed, fixed: Vector, random: sparse.csr_array) -> Rows:
    """Functionals fixed beta + random u, (s, p) and sparse (s, q), in the terms of the problem."""
    problem, s = collapsed.problem, len(fixed)
    p = problem.p
    gamma = triangular.solve(problem.R, fixed.T, transposed=True).T
    constant = fixed @ problem.shift if p else np.zeros(s)
    first, rest = problem.factors[0], problem.factors[1:]
    index = collapsed.effect_index[0]
    place = np.full(collapsed.design.n_random, -1, dtype=np.intp)
    place[index.ravel()] = np.arange(index.size)
    entries = sparse.coo_array(random)
    row, column = entries.coords
    own = place[column] >= 0
    level, effect = np.divmod(place[column[own]], first.k)
    # one touch for each pair of row and level, in order
    pairs, touch = np.unique(row[own].astype(np.intp) * first.n_levels + level, return_inverse=True)
    coefficients = np.zeros((len(pairs), first.k))
    np.add.at(coefficients, (touch.reshape(-1), effect), entries.data[own])
    at_row, levels = np.divmod(pairs, first.n_levels)
    starts = np.searchsorted(at_row, np.arange(s + 1))
    second = np.zeros((s, 0 if problem.coupling is None else problem.coupling.size))
    if problem.coupling is not None:
        by_column = sparse.csc_array(random)
        for group, where, position in zip(rest, collapsed.effect_index[1:], problem.coupling.positions, strict=True):
            part = by_column[:, where.ravel()].toarray().reshape(s, group.n_levels, group.k)
            second[:, position] = group.coefficients(part.transpose(1, 2, 0)).transpose(2, 0, 1)
    used = first.coefficients(coefficients[:, :, None])[..., 0]
    return Rows(constant, gamma, levels.astype(np.intp), used, starts.astype(np.intp), second)


def conditional_moments(
    batch: CollapsedBatch, factors: list[Vector], sigma: Vector, mixing: Vector, rows: Rows
) -> tuple[Vector, Vector]:
    """(D, s) means and (D, s) variances of s functionals at D points.

    Parameters
    ----------
    batch
        Sums over the levels of the first factor.
    factors, sigma, mixing
        The points, as in `CollapsedBatch.loglik`.
    rows
        The functionals.
    """
    means, variances = np.empty((len(sigma), len(rows))), np.empty((len(sigma), len(rows)))
    k, q2, p = batch.gram.shape[0], batch.q2, batch.collapsed.problem.p
    width = max(len(rows.levels) * (q2 + p + 1), len(rows) * (q2 + p + 1), k * k * batch.gram.shape[2], 1)
    step = max(1, CHUNK // width)
    products = np.concatenate([batch.cross, batch.collapsed.problem.zw1.transpose(1, 0, 2)], axis=2)[:, rows.levels]
    for begin in range(0, len(sigma), step):
        at = slice(begin, begin + step)
        means[at], variances[at] = _some(batch, [T[at] for T in factors], sigma[at], mixing[at], rows, products)
    return means, variances


def _some(
    batch: CollapsedBatch, factors: list[Vector], sigma: Vector, mixing: Vector, rows: Rows, products: Vector
) -> tuple[Vector, Vector]:
    """`conditional_moments` of a few points; `products` are Z_j'F, (k, P, w), of each touch."""
    D, s, q2, k = len(sigma), len(rows), batch.q2, len(batch.gram)
    at = batch.solve(factors, sigma, mixing)
    # J'J = N: half the product with the coefficients of each touch
    J = np.einsum("cadu,dba->cbdu", at.inverse.reshape(k, k, D, -1), factors[0], optimize=True)
    J = J[..., batch.block_of[rows.levels]]
    half = np.einsum("cadp,pa->cdp", J, rows.coefficients, optimize=True)
    variance = _sums((half**2).sum(axis=0)[..., None], rows.starts, s)[..., 0]
    N_c = np.einsum("cadp,cdp->dpa", J, half, optimize=True)
    t = _sums(np.einsum("dpa,apw->dpw", N_c, products, optimize=True), rows.starts, s)
    mean = rows.constant + t[..., -1]
    left = rows.gamma - t[..., q2:-1]
    if q2:
        scaled = np.einsum("dab,dsa->dbs", at.scale, rows.second - t[..., :q2], optimize=True)
        h = np.linalg.solve(at.factor, scaled)
        of_right = np.linalg.solve(at.factor, at.right)
        variance += (h**2).sum(axis=1)
        across = np.einsum("dqs,dqw->dsw", h, of_right, optimize=True)
        mean = mean + across[..., -1]
        left = left - across[..., :-1]
    if left.shape[2]:
        mean = mean + np.einsum("dsp,dp->ds", left, at.gamma)
        variance += (np.linalg.solve(at.L, left.transpose(0, 2, 1)) ** 2).sum(axis=1)
    return mean, variance * sigma[:, None] ** 2


def _sums(values: Vector, starts: NDArray[np.intp], s: int) -> Vector:
    """(D, s, w) sums over the touches of each row of (D, P, w)."""
    if len(starts) == values.shape[1] + 1 and (np.diff(starts) == 1).all():  # one touch in each row
        return values
    out = np.zeros((values.shape[0], s, values.shape[2]))
    touched = np.flatnonzero(np.diff(starts))
    if len(touched):
        out[:, touched] = np.add.reduceat(values, starts[touched], axis=1)
    return out
