r"""The least squares problem of a design whose rows are read in batches: one reading, in a basis from a sample.

In memory the cross-products are those of W = [Q, y0] and of columns of Z that are orthogonal, which are known after
a first pass over all rows (`mixedfx.pls.crossproducts`, `mixedfx.pls.basis`). Here the same accumulator adds up the
products in the basis that a *sample* of the rows gives: X_s = Q_s R_0, y_s = Q_s g_0 + rest, z_s = q_s B_0. Sums are
then of numbers about their means and of unit size, or nearly so, and what remains is a change of basis that loses no
digits. With G = (X R_0^{-1})'(X R_0^{-1}) = F'F, F the Cholesky factor from left to right,

    R = F R_0,   Q = (X R_0^{-1}) F^{-1},   g = F^{-T} (X R_0^{-1})'(y - X R_0^{-1} g_0),

and likewise B from the sums of q_s q_s'. A column of X whose pivot in F is nothing but rounding is a combination of
those before it and is dropped. Every level's products are multiplied by the triangles from both sides.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from mixedfx.design.checks import check_estimable, said_twice, warn_few_levels
from mixedfx.design.design import Design
from mixedfx.design.estimable import null_space
from mixedfx.design.rank import warn_dropped
from mixedfx.design.streamed import Streamed, check_sample
from mixedfx.design.unheld import Unheld
from mixedfx.errors import IdentifiabilityWarning, OptionError, outside
from mixedfx.linalg import triangular
from mixedfx.linalg.sums import Sum
from mixedfx.pls.basis import left_to_right, term_basis
from mixedfx.pls.cell_products import add_aggregates
from mixedfx.pls.choice import Solver
from mixedfx.pls.coupling import Coupling, couple
from mixedfx.pls.crossproducts import ONE_PASS_FROM, WELL_CONDITIONED, Accumulator, Fixed, chunks, orthogonal_columns
from mixedfx.pls.factors import GroupFactor, group_factors
from mixedfx.pls.incidence import Incidence, RowProducts
from mixedfx.pls.iterative_problem import IterativeProblem
from mixedfx.pls.problem import Problem
from mixedfx.pls.second_products import SecondProducts
from mixedfx.pls.streamed_rows import incidence_of, own_gram, rows_in_order

Vector = NDArray[np.float64]

SAID = 1e-10  # share of a level's squared length outside the fixed part, below which it is within
PIVOT = 1e-13  # share of a squared length that others leave, below which a column is a combination of them


@dataclass(frozen=True)
class Summed:
    """What one reading of all rows adds up to.

    Attributes
    ----------
    pilot
        The basis of the sample in which products were formed.
    factors
        Grouping factors in the order of elimination, in the basis of the sample, without rows.
    products
        Their sums.
    dependent
        (k,) columns of the fixed part that are combinations of others in the sample.
    log_weights
        Log determinant of the precision of the rows.
    """

    pilot: Fixed
    factors: tuple[GroupFactor, ...]
    products: Accumulator
    dependent: NDArray[np.bool_]
    log_weights: float


def whole_design(streamed: Streamed, solver: Solver = "auto") -> Design:
    """Read the rows once and keep their cross-products with the design, which holds no rows.

    Parameters
    ----------
    streamed
        The rows.
    solver
        What solves crossed terms; iteration holds their incidences beside the products
        (`mixedfx.pls.streamed_rows`).

    Raises
    ------
    ModelError
        As `mixedfx.design.checks.check_estimable`.
    DataError
        As `Streamed.parts`.
    MemoryForecastError, IterativeSolverError
        As `mixedfx.pls.streamed_rows.rows_in_order`.

    Warns
    -----
    RankDeficiencyWarning, FewLevelsWarning, IdentifierSlopeWarning, StructureWarning
    """
    summed = add_up(streamed, solver)
    design, problem = _finished(streamed, summed)
    streamed.cache["problem"] = problem
    check_sample(streamed)
    if design.sigma is None:
        check_estimable(design)
    for message in _said_twice(design, problem):
        warnings.warn(message, IdentifiabilityWarning, outside())
    if design.sigma is None:
        warn_few_levels(design)
    return design


def add_up(streamed: Streamed, solver: Solver) -> Summed:
    """Cross-products of all rows in the basis of the sample, for the `solver`."""
    sample, whole = streamed.sample(), streamed.aggregates
    pilot, dependent = _pilot(sample)
    factors = group_factors(sample)
    for group in factors[1:]:
        if group.mixing is not None and group.k > 1:
            raise OptionError(
                "gr(..., cov=) with several columns on the left needs all rows at once", hint="Fit with stream=False."
            )
    if whole is not None:
        found = Accumulator(pilot, factors)
        add_aggregates(found, factors, whole, streamed.spec, streamed.codes)
        return Summed(pilot, factors, found, dependent, whole.log_weights)
    found = Accumulator(pilot, factors, rows_in_order(streamed, sample, factors, solver))
    logs, squares = Sum(), Sum()
    for part in streamed.parts():
        streamed.facts.add(part)
        logs.add(part.precision.log_determinant)
        squares.add(float(part.y @ part.y))
        own = of_rows(factors, part)
        for chunk in chunks(part):
            found.add(chunk, own, streamed.n >= ONE_PASS_FROM)
    streamed.facts.square = float(squares.value)
    return Summed(pilot, factors, found, dependent, float(logs.value))


def of_rows(factors: tuple[GroupFactor, ...], part: Design) -> tuple[GroupFactor, ...]:
    """The factors with the rows of one batch."""
    out = []
    for group in factors:
        terms = [part.random[block.term] for block in group.blocks]
        codes = terms[0].codes if terms else np.broadcast_to(np.intp(0), (len(part.y),))
        out.append(replace(group, codes=codes, given=tuple(term.z for term in terms)))
    return tuple(out)


def _pilot(sample: Design) -> tuple[Fixed, NDArray[np.bool_]]:
    """R_0 and g_0 of the rows of a sample, and which columns are combinations of others in it."""
    X, y = sample.precision.whiten(sample.X), sample.precision.whiten(sample.y - sample.offset)
    n, p = X.shape
    if p == 0:
        return Fixed(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0)), np.zeros(0, dtype=bool)
    largest = np.abs(X).max(axis=0, initial=0.0)
    largest[largest == 0.0] = 1.0
    reduced = np.asarray(np.linalg.qr(X / largest, mode="r")) / np.sqrt(n)
    R = left_to_right(reduced)
    Q = triangular.solve(R, reduced.T, transposed=True).T
    dependent = np.abs(np.triu(Q.T @ Q, 1)).max(axis=0, initial=0.0) > 1e-6
    dependent |= np.linalg.norm(reduced, axis=0) == 0.0
    length = np.linalg.norm(R, axis=0)
    smallest = float((np.diag(R) / np.where(length > 0.0, length, 1.0)).min())
    R = R * largest
    inverse = np.ascontiguousarray(triangular.solve(R, np.eye(p))) if smallest > WELL_CONDITIONED else None
    Q = orthogonal_columns(X, R, inverse)
    gamma = np.zeros(p)
    free = ~dependent
    gamma[free] = np.linalg.lstsq(Q[:, free], y, rcond=None)[0]
    return Fixed(R, inverse, gamma), dependent


def _factor(gram: Vector) -> tuple[Vector, NDArray[np.intp]]:
    """(k, k) upper F with F'F = G from left to right, rows of combinations zero; and the columns that are none."""
    k = len(gram)
    length = np.sqrt(np.diag(gram))
    scale = np.where(length > 0.0, length, 1.0)
    C = gram / np.outer(scale, scale)
    F = np.zeros((k, k))
    for j in range(k):
        left = C[j, j] - F[:j, j] @ F[:j, j]
        if left <= PIVOT or length[j] == 0.0:
            continue
        F[j, j:] = (C[j, j:] - F[:j, j] @ F[:j, j:]) / np.sqrt(left)
    kept = np.flatnonzero(np.diag(F) > 0.0)
    return F * scale, kept


def _finished(streamed: Streamed, summed: Summed) -> tuple[Design, Problem]:
    """The design and its problem, from the sums in the basis of the sample."""
    R0, g0, found = summed.pilot.R, summed.pilot.gamma, summed.products
    ww, k = found.ww, len(R0)
    F, kept = _factor(ww[:k, :k])
    fixed = streamed.spec.fixed
    full = F @ R0  # lengths and angles of all columns of X
    aliased = warn_dropped(full, kept, fixed.columns, fixed.constant_factors)
    design = streamed.whole(kept, aliased, null_space(full, kept, fixed.columns))

    F, p = F[np.ix_(kept, kept)], len(kept)
    R = F @ R0[np.ix_(kept, kept)]
    inverse = triangular.solve(F, np.eye(p)) if p else F
    columns = np.append(kept, k)
    g = inverse.T @ ww[kept, k]
    M = np.zeros((p + 1, p + 1))
    M[:p, :p], M[:p, p], M[p, p] = inverse, -inverse @ g, 1.0
    shift = triangular.solve(R0[np.ix_(kept, kept)], g0[kept]) + triangular.solve(R, g) if p else np.zeros(0)
    turned = M.T @ ww[np.ix_(columns, columns)] @ M

    D, factors = [], []
    for f, group in enumerate(summed.factors):
        basis = _basis(group, _own_gram(found, f), streamed.n)
        D.append(triangular.solve(basis, group.basis.T, transposed=True).T)
        factors.append(_without_rows(replace(group, basis=basis), streamed.n))
    by_level, d = found.by_level, D[0]
    zw = np.einsum("ba,qbw,wv->qav", d, by_level[:, :, columns], M, optimize=True)
    zz = np.einsum("ba,qbc,cd->qad", d, by_level[:, :, k + 1 :], d, optimize=True)
    coupling, zw2, kind = None, np.zeros((0, p + 1)), Problem
    if isinstance(found.second, RowProducts):
        coupling, zw2 = incidence_of(found.second, D, columns, M)
        kind = IterativeProblem
    if isinstance(found.second, SecondProducts):
        coupling, zw2 = couple(_turned(found.second, tuple(factors), D, columns, M))
    problem = kind(
        tuple(factors), np.ascontiguousarray(zz.transpose(1, 2, 0)), coupling, np.ascontiguousarray(zw), zw2, turned,
        np.asarray(R, dtype=np.float64), np.asarray(shift, dtype=np.float64), streamed.n, summed.log_weights, True,
        design.sigma, sum(b.structure.n_parameters for g in factors for b in g.blocks),
    )  # fmt: skip
    return design, problem


def _said_twice(design: Design, problem: Problem) -> list[str]:
    """Intercepts and slopes of single-column terms that the fixed part has as well: Z'Z - Z'QQ'Z is zero."""
    p, out = problem.p, []
    for f, group in enumerate(problem.factors):
        if group.k != 1 or not group.blocks or group.n_levels > p or group.mixing is not None:
            continue
        if f == 0:
            along, squares = problem.zw1[:, 0, :p], problem.gram1[0, 0]
        else:
            assert problem.coupling is not None
            at = problem.coupling.positions[f - 1][:, 0]
            along, squares = problem.zw2[at, :p], _squares(problem.coupling, f - 1)
        if (squares > 0.0).all() and ((squares - (along**2).sum(axis=1)) <= SAID * squares).all():
            size = np.sqrt(np.diag(problem.R.T @ problem.R))
            share = np.abs(triangular.solve(problem.R, along.T) * size[:, None]) / np.sqrt(squares)
            names = [n for n, one in zip(design.fixed_names, share.max(axis=1), strict=True) if one > 1e-6]
            t = group.blocks[0].term
            out.append(said_twice(design, t, design.random[t].columns[0], names))
    return out


def _squares(coupling: Coupling, f: int) -> Vector:
    """(q,) the diagonal of Z'Z of a factor of the second level that has one column."""
    if isinstance(coupling, Incidence):
        return coupling.diagonal_blocks(np.zeros((0, coupling.k1, coupling.k1)))[f][:, 0, 0]
    return np.asarray(coupling.gram.diagonal()[coupling.positions[f][:, 0]], dtype=np.float64)


def _without_rows(group: GroupFactor, n: int) -> GroupFactor:
    codes, given = Unheld("the levels", (n,)), Unheld("the left sides", (n, group.k))
    return replace(group, codes=codes, given=tuple(given for _ in group.blocks))  # type: ignore[arg-type]


def _own_gram(found: Accumulator, f: int) -> Vector:
    """(k, k) sums of q_s q_s' of a factor over all rows."""
    if f == 0:
        return found.by_level[:, :, found.by_level.shape[2] - found.first.k :].sum(axis=0)
    second = found.second
    if isinstance(second, RowProducts):
        return own_gram(second, f - 1)
    assert isinstance(second, SecondProducts)
    group, start = second.rest[f - 1], int(second.offsets[f - 1])
    k, gram = group.k, second.gram
    if group.mixing is not None:  # one column: Z = Z_plain L, and the sum of squares is the trace of L^{-T} gram L^{-1}
        own = gram[start : start + group.n_levels][:, start : start + group.n_levels].toarray()
        half = linalg.solve_triangular(group.mixing, own, trans=1, lower=True)
        return np.array([[np.trace(linalg.solve_triangular(group.mixing, half.T, trans=1, lower=True))]])
    first = start + np.arange(group.n_levels) * k
    return np.array([[float(np.asarray(gram[first + a, first + b]).sum()) for b in range(k)] for a in range(k)])


def _basis(group: GroupFactor, gram: Vector, n: int) -> Vector:
    """The basis of a factor that all rows give; `gram` in that of the sample."""
    if not group.blocks:
        return group.basis
    own = []
    for block in group.blocks:
        at = block.columns
        length = np.sqrt(np.diag(gram[at, at]))
        scale = np.where(length > 0.0, length, 1.0)
        values, vectors = np.linalg.eigh(gram[at, at] / np.outer(scale, scale))
        values[values < PIVOT * max(float(values[-1]), 0.0)] = 0.0  # a combination of columns, but for rounding
        root = np.sqrt(values)[:, None] * vectors.T * scale
        k = block.structure.k
        own.append(term_basis(np.sqrt(k / n) * root @ group.basis[at, at], block.structure.scaling))
    return own[0] if len(own) == 1 else np.asarray(linalg.block_diag(*own))


def _turned(
    second: SecondProducts, factors: tuple[GroupFactor, ...], D: list[Vector], columns: NDArray[np.intp], M: Vector
) -> SecondProducts:
    """The products of the second level in the basis of all rows."""
    rest, offsets = factors[1:], second.offsets
    blocks = [sparse.kron(sparse.eye_array(g.n_levels), d, format="csr") for g, d in zip(rest, D[1:], strict=True)]
    whole = sparse.csr_array(sparse.block_diag(blocks, format="csr"))
    gram = sparse.csr_array(whole.T @ second.gram @ whole)
    gram.sort_indices()
    pattern, values = second.pattern, second.values @ D[0]
    for f, (group, d) in enumerate(zip(rest, D[1:], strict=True)):
        inside = (pattern.indices >= offsets[f]) & (pattern.indices < offsets[f + 1])
        if group.k == 1:
            values[inside] *= d[0, 0]
            continue
        start = np.flatnonzero(inside & ((pattern.indices - offsets[f]) % group.k == 0))
        at = start[:, None] + np.arange(group.k)
        values[at] = np.einsum("ca,ecd->ead", d, values[at])
    zw = np.asarray(whole.T @ (second.zw[:, columns] @ M))
    return SecondProducts.of(factors[0], rest, pattern, values, gram, zw)
