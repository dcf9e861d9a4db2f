r"""Derivatives of the log likelihood of single clusters, and the information that each has about the fixed effects.

A cluster holds whole levels of every grouping factor, so that its likelihood is a factor of the whole, approximated or
not. Its score is the exact gradient of a model of its rows alone, in the columns of the whole (`rows_alone`). With one
grouping factor Laplace's gradient is a sum over rows and levels as it stands (`mixedfx.glmm.laplace`),

    dD/dgamma: rows q_i (e_i - 2 s_i),    dD/dSigma: levels G - G C G - h h' + (b h' + h b') / 2,
    dD/dphi:   rows -2 l_phi + c w_phi + (Z Lambda r) s_phi,

G = Z'W Z and C = Lambda A^{-1} Lambda' of a level, and all clusters come in one pass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.glmm.hessian import TIGHT
from mixedfx.glmm.laplace import Pieces, pieces
from mixedfx.glmm.likelihood import Likelihood
from mixedfx.glmm.model import Model, products
from mixedfx.glmm.modes import Mode, find_mode
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.resampling import take_rows
from mixedfx.pls.problem import build_problem
from mixedfx.pls.row_map import row_map
from mixedfx.progress import Asked, Progress

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]


def cluster_scores(
    design: Design, solution: GlmmSolution, codes: Codes, progress: Asked = None
) -> tuple[Vector, Vector]:  # fmt: skip
    """(m, d) derivatives of the log likelihood of clusters in psi, and (m, p, p) information about gamma by itself.

    Parameters
    ----------
    design, solution
        What was fitted, and its estimates.
    codes
        (n,) cluster of each row, 0 to m - 1; clusters share no random effect.
    progress
        Of a pass over the clusters one by one.
    """
    if solution.model.problem.coupling is None and solution.nAGQ == 1:
        return together(solution, codes)
    return one_by_one(design, solution, codes, progress)


def together(solution: GlmmSolution, codes: Codes) -> tuple[Vector, Vector]:
    """The same of Laplace's approximation with one grouping factor, or none."""
    model = solution.model
    (gamma, par, phi), (p, r, a), of_row = model.split(solution.psi), model.sizes, codes[model.rows.order]
    m, n = int(codes.max()) + 1, len(of_row)
    mode = find_mode(model, gamma, model.problem.matrices(par), phi, solution.evaluation.mode.v, decrement=TIGHT)
    parts = pieces(model, mode, par)
    weighted = mode.w[:, None] * model.Q
    by_row = np.empty((n, p + a))
    by_row[:, :p] = model.Q * (parts.pulled - mode.w * parts.Zr - 2.0 * mode.s)[:, None]
    by_row[:, p:] = _auxiliary_rows(model, parts).T
    gradient = np.zeros((m, p + r + a))
    rows = np.zeros((m, p + a))
    np.add.at(rows, of_row, by_row)
    gradient[:, :p], gradient[:, p + r :] = rows[:, :p], rows[:, p:]
    information = np.zeros((m, p, p))
    np.add.at(information, of_row, model.Q[:, :, None] * weighted[:, None, :])
    if r:
        of_level = np.empty(model.problem.factors[0].n_levels, dtype=np.intp)
        of_level[model.rows.codes] = of_row
        np.add.at(gradient[:, p : p + r], of_level, _by_level(model, parts))
        zq = model.rows.transposed(weighted)[0]
        taken = np.einsum("qap,abq,qbs->qps", zq, parts.first, zq, optimize=True)
        np.subtract.at(information, of_level, taken)
    return -0.5 * gradient, information


def _auxiliary_rows(model: Model, parts: Pieces) -> Vector:
    """(a, n) what each row adds to the derivatives of the criterion in phi."""
    own, mode = model.likelihood, parts.mode
    if not own.names:
        return np.zeros((0, len(own.y)))
    direct = own.auxiliary_derivatives(mode.eta[None], mode.phi)[:, 0, 0]
    return -2.0 * direct + parts.slopes.weight * parts.leverages + parts.slopes.score * parts.Zr


def _by_level(model: Model, parts: Pieces) -> Vector:
    """(q, r) what each level of the only factor adds to the derivatives of the criterion in par."""
    mode = parts.mode
    gram = mode.factorization.problem.gram1
    h, b = mode.h[0][:, :, 0], parts.b[0][:, :, 0]
    Q = (gram - np.einsum("abq,bcq,cdq->adq", gram, parts.first, gram, optimize=True)).transpose(2, 0, 1)
    cross = h[:, :, None] * b[:, None, :]
    Q = Q - h[:, :, None] * h[:, None, :] + (cross + cross.transpose(0, 2, 1)) / 2.0
    where, dT = model.problem.directions(parts.par)[0]
    out = np.zeros((len(Q), model.sizes[1]))
    out[:, where] = 2.0 * np.einsum("mab,qac,cb->qm", dT, Q, mode.T[0], optimize=True)
    return out


def one_by_one(
    design: Design, solution: GlmmSolution, codes: Codes, progress: Asked = None
) -> tuple[Vector, Vector]:  # fmt: skip
    """The same of any model, a cluster at a time."""
    model, psi, p, m = solution.model, solution.psi, len(solution.beta), int(codes.max()) + 1
    Q = np.empty_like(model.Q)
    Q[model.rows.order] = model.Q
    bare = replace(design, X=np.zeros((len(design.y), 0)), fixed_names=())
    scores, information = np.empty((m, len(psi))), np.empty((m, p, p))
    with Progress(progress, "scores", m, "clusters") as report:
        for j in report.over(range(m)):
            alone = rows_alone(model, bare, Q, np.flatnonzero(codes == j))
            found = solution.criterion_function(alone, psi, None, False, TIGHT, False)
            scores[j] = -0.5 * found.gradient
            information[j] = _information(alone, found.mode)
    return scores, information


def _information(model: Model, mode: Mode) -> Vector:
    """(p, p) Q'V^{-1}Q at a mode."""
    QWQ, zq = model.rows.column_products(mode.w, model.Q)
    scaled = model.scaled(mode.T, zq, transposed=True)
    return QWQ - products(scaled, mode.factorization.solve(scaled))


def rows_alone(model: Model, bare: Design, Q: Vector, rows: NDArray[np.intp]) -> Model:
    """The model of some rows alone, whose parameters are those of the whole.

    Parameters
    ----------
    model
        The whole.
    bare
        Its design without a fixed part.
    Q
        (n, p) fixed part, rows as the design has them.
    rows
        The rows, with all that share their random effects.
    """
    part = take_rows(bare, rows, [term.codes[rows] for term in bare.random])
    problem = build_problem(replace(part, weights=None, known_sd=None), REML=False)
    whole = {tuple(b.term for b in group.blocks): group for group in model.problem.factors}
    factors = []
    for group in problem.factors:
        same = whole.get(tuple(b.term for b in group.blocks))
        if same is not None and same.blocks:
            group = replace(group, given=tuple(z[rows] for z in same.given), basis=same.basis)
        factors.append(group)
    problem = replace(problem, factors=tuple(factors), frames=model.problem.frames, R=model.problem.R, sigma=1.0)
    found = row_map(problem)
    return Model(
        part, model.family, problem, found, Likelihood.of(part, model.family, found.order),
        np.ascontiguousarray(Q[rows][found.order]), part.offset[found.order],
    )  # fmt: skip
