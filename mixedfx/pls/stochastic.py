r"""Score, average information and criterion of a problem that is solved by iteration, with their Monte Carlo errors.

The formulas are those of `mixedfx.pls.evaluate`; what needs the inverse there is estimated by probes here
(`mixedfx.pls.iterative`). Only the sums of [Z'V^{-1}Z]_jj are random: beta, u and the average information are solved
for. Each probe gives a gradient of its own, and the spread of these the covariance C of their mean; a parameter whose
score is zero within that error is off by H^{-1} C H^{-1}, H the information, beside the sampling covariance 2 H^{-1}.

The criterion is estimated apart from its gradient, where it is asked for: with the same probes its derivative is not
the score that they estimate, and the optimiser does not use it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.evaluate import Evaluation, inner, profiled
from mixedfx.pls.factorization import Pair
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

INFORMATION = 1e-6  # tolerance of the solves for the average information, whose forms have its square


@dataclass(frozen=True)
class StochasticEvaluation(Evaluation):
    """The score at one point, estimated; `criterion` is NaN until it is asked for.

    Attributes
    ----------
    noise
        (r, r) Monte Carlo covariance of `gradient`.
    probes
        Number of probes it rests on.
    vPy
        (r,) y'P dV_k P y: the derivative of y'Py with the sign changed.
    H
        For each factor (q, k, p) Z'V^{-1}X in the basis Q.
    h
        For each factor (q, k) Z'Py.
    solved
        M^{-1}Lambda'Z'W.
    known
        The criterion without log|M|.
    """

    noise: Vector
    probes: int
    vPy: Vector
    H: list[Vector]
    h: list[Vector]
    solved: Pair
    known: float


def evaluate_by_probes(problem: Problem, par: Vector, probes: int) -> StochasticEvaluation:
    """Score and information at scaled parameters `par`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a block or the residual sum of squares is not positive.
    IterativeSolverError
        If conjugate gradients do not come to an end.
    """
    at = IterativeFactorization(problem, problem.matrices(par))
    p, T = problem.p, at.T
    scaled = at.scale_transposed((problem.zw1, problem.zw2))
    solved = at.solve(scaled)
    product = inner(scaled, solved)
    found = profiled(problem, problem.ww - (product + product.T) / 2.0)
    gamma, sigma2, S_inverse = found.gamma, found.sigma2, found.S_inverse
    ZVW = _against_W(problem, at, solved)
    H = [part[..., :p] for part in ZVW]
    h = [part[..., p] - part[..., :p] @ gamma for part in ZVW]
    traces = at.traces(0, probes)
    outer = []
    for f in range(len(T)):
        own = h[f].T @ h[f] / sigma2
        if problem.REML and p:
            own += np.tensordot(H[f] @ S_inverse, H[f], axes=([0, 2], [0, 2]))
        outer.append(own)
    directions = problem.directions(par)
    gradients = np.zeros((probes, problem.n_parameters))
    for f, (where, dT) in enumerate(directions):
        if len(where):
            QT = traces.scaled[f] - outer[f] @ T[f]
            gradients[:, where] = 2.0 * (QT.reshape(probes, -1) @ dT.reshape(len(where), -1).T)
    Q = [plain.mean(axis=0) - own for plain, own in zip(traces.plain, outer, strict=True)]
    information, vPy = _information(problem, at, directions, H, h, S_inverse, Q, sigma2)
    if not problem.linear:
        QT = [2.0 * (s.mean(axis=0) - own @ Tf) for s, own, Tf in zip(traces.scaled, outer, T, strict=True)]
        information = information + problem.along_curvature(par, QT)
    noise = np.atleast_2d(np.cov(gradients.T)) / probes if problem.n_parameters else np.zeros((0, 0))
    return StochasticEvaluation(
        par, np.nan, gradients.mean(axis=0), information, Q, sigma2, gamma, found.S, found.residual, at, noise, probes,
        vPy, H, h, solved, found.constant,
    )  # fmt: skip


def _against_W(problem: Problem, at: IterativeFactorization, solved: Pair) -> list[Vector]:
    """For each factor (q, k, p + 1) Z'V^{-1}W, from M^{-1}Lambda'Z'W."""
    parts = at.by_factor(solved)
    rest: list[Vector] = []
    if not all(at.regular):
        moved = at.gram(at.scale(solved))
        rest = at.by_factor((problem.zw1 - moved[0], problem.zw2 - moved[1]))
    return [np.matmul(np.linalg.inv(T).T, parts[f]) if at.regular[f] else rest[f] for f, T in enumerate(at.T)]


def _information(
    problem: Problem, at: IterativeFactorization, directions: list[tuple[NDArray[np.intp], Vector]], H: list[Vector],
    h: list[Vector], S_inverse: Vector, Q: list[Vector], sigma2: float,
) -> tuple[Vector, Vector]:  # fmt: skip
    """(r, r) information, and (r,) y'P dV_k P y."""
    T, r = at.T, problem.n_parameters
    w = [np.zeros((*part.shape, r)) for part in h]
    e = [np.zeros((*part.shape, r)) for part in h]
    XVZv = np.zeros((problem.p, r))
    vPy, curvature = np.zeros(r), np.zeros((r, r))
    for f, (where, dT) in enumerate(directions):
        if not len(where):
            continue
        half = dT @ T[f].T
        Dh = np.einsum("mab,jb->jam", half + half.transpose(0, 2, 1), h[f])
        vPy[where] = np.einsum("jam,ja->m", Dh, h[f])
        XVZv[:, where] = np.einsum("jap,jam->pm", H[f], Dh)
        if at.regular[f]:
            w[f][:, :, where] = np.matmul(np.linalg.inv(T[f]), Dh)
        else:
            e[f][:, :, where] = Dh
        flat = dT.reshape(len(where), -1)
        curvature[np.ix_(where, where)] = 2.0 * ((Q[f] @ dT).reshape(len(where), -1) @ flat.T)
    ws, es = _stacked(w), _stacked(e)
    right, Ge = at.right_side(ws, es)
    x = at.solve(right, INFORMATION if all(at.regular) else None)
    forms = inner(ws, ws) - inner(right, x) - XVZv.T @ S_inverse @ XVZv
    if not all(at.regular):
        forms = forms + inner(es, Ge)
    information = (forms + forms.T) / (2.0 * sigma2)
    if problem.sigma is None:
        information -= np.outer(vPy, vPy) / (problem.dof * sigma2**2)
    information += curvature
    return (information + information.T) / 2.0, vPy


def _stacked(parts: list[Vector]) -> Pair:
    return parts[0], np.concatenate([part.reshape(-1, part.shape[2]) for part in parts[1:]])


def with_criterion(at: StochasticEvaluation, log_determinants: Vector) -> StochasticEvaluation:
    """The evaluation with its criterion, from estimates of log|M|."""
    return replace(at, criterion=at.known + float(log_determinants.mean()))
