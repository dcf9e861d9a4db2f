r"""The smallest deviance with one parameter held: the refits behind a profile.

*sigma* is held by giving the criterion a known sigma; *a coefficient*, by moving its column to the response:
with X_j = Q R_j, U an orthonormal basis of the other columns of R and v the unit vector orthogonal to it, Q U spans the
other columns of X and y - delta r Q v, r = v'R_j, is the response from which delta X_j was taken: cross-products are
all it takes.

*An sd*: in a frame of its term sd_i = sigma |g_i| L_11 alone (`mixedfx.inference.term_charts`); the free parameters are
the other entries of L and l = log sigma, with L_11 = c / (sigma |g_i|). Given sigma the derivatives in L are those of
`mixedfx.pls.evaluate`; with f = log|V| + n log(2 pi sigma^2) + r^2 / sigma^2,

    f_l = 2 n - 2 r^2 / sigma^2,    f_ll = 4 r^2 / sigma^2,    f_lk = -2 (dr^2/dL_k) / sigma^2,
    dr^2/dL = -2 C'h h'T,

and the chain rule takes in L_11(l). *A correlation*: linear in the free parameters of its chart.

Every criterion is -2 log L: profiles of a REML fit are those of its ML fit, as in lme4, for the restricted likelihood
says nothing of the fixed effects. The derivative of the smallest deviance with respect to the value held comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.covariance.correlations import Correlation
from mixedfx.inference.held import Held, Local, descend
from mixedfx.inference.term_charts import TermChart
from mixedfx.pls.evaluate import Evaluation, evaluate, less_fixed, random_effect_products
from mixedfx.pls.problem import Problem
from mixedfx.reml.trust_region import minimise

Vector = NDArray[np.float64]


def _derivatives(evaluation: Evaluation) -> tuple[Vector, Vector]:
    assert evaluation.gradient is not None
    assert evaluation.information is not None
    return evaluation.gradient, evaluation.information


def hold_sigma(problem: Problem, value: float, start: Vector) -> Held:
    """Hold sigma; `start` (r,) parameters."""
    found, _ = minimise(replace(problem, sigma=value), start)
    slope = 2.0 * problem.n / value - 2.0 * found.residual / value**3
    return Held(found.criterion, slope, found.par)


@dataclass(frozen=True)
class HeldCoefficient:
    """The problem without coefficient j, and what to take out of the response for a value of it.

    Attributes
    ----------
    problem
        All coefficients, ML.
    reduced
        Without column j.
    v, length
        (p,) the direction of column j that the others do not span, and the length r of X_j along it.
    index
        The coefficient.
    """

    problem: Problem
    reduced: Problem
    v: Vector
    length: float
    index: int

    def at(self, value: float, start: Vector) -> Held:
        """Hold the coefficient at `value`; `start` (r,) parameters."""
        p, old = self.problem.p, self.problem
        delta = (value - old.shift[self.index]) * self.length
        zv1, zv2, wv = old.zw1[:, :, :p] @ self.v, old.zw2[:, :p] @ self.v, old.ww[:, :p] @ self.v
        zw1, zw2, ww = self.reduced.zw1.copy(), self.reduced.zw2.copy(), self.reduced.ww.copy()
        zw1[:, :, -1] -= delta * zv1
        zw2[:, -1] -= delta * zv2
        basis = self.reduced_basis
        cross = ww[:-1, -1] - delta * (basis.T @ wv[:p])
        ww[:-1, -1] = ww[-1, :-1] = cross
        ww[-1, -1] = ww[-1, -1] - 2.0 * delta * wv[p] + delta**2 * float(self.v @ wv[:p])
        moved = replace(self.reduced, zw1=zw1, zw2=zw2, ww=ww)
        found, _ = minimise(moved, start)
        full = evaluate(old, found.par, derivatives=False)
        # r^2 with the coefficient held is r^2 + (value - beta_j)^2 / C_jj, C = (X'V^-1X)^-1
        half = linalg.solve_triangular(np.linalg.cholesky(full.S), self._unit(), lower=True)
        estimate = old.shift[self.index] + float(linalg.solve_triangular(old.R, full.gamma)[self.index])
        slope = 2.0 * (value - estimate) / (float(half @ half) * found.sigma2)
        return Held(found.criterion, slope, found.par)

    @property
    def reduced_basis(self) -> Vector:
        """(p, p - 1) orthonormal columns orthogonal to `v`."""
        return _orthogonal_to(self.v)

    def _unit(self) -> Vector:
        unit = np.zeros(self.problem.p)
        unit[self.index] = 1.0
        return linalg.solve_triangular(self.problem.R, unit, trans=1)


def _orthogonal_to(columns: Vector) -> Vector:
    """Orthonormal columns orthogonal to those given, (p,) or (p, m) of full rank."""
    columns = columns.reshape(len(columns), -1)
    return np.asarray(np.linalg.qr(columns, mode="complete")[0][:, columns.shape[1] :], dtype=np.float64)


def hold_coefficient(problem: Problem, index: int) -> HeldCoefficient:
    """Prepare to hold coefficient `index`; `problem` is ML."""
    p = problem.p
    others = np.delete(problem.R, index, axis=1)
    v = _orthogonal_to(others)[:, 0] if p > 1 else np.ones(1)
    basis = _orthogonal_to(v)
    zw1 = np.concatenate([problem.zw1[:, :, :p] @ basis, problem.zw1[:, :, p:]], axis=2)
    zw2 = np.concatenate([problem.zw2[:, :p] @ basis, problem.zw2[:, p:]], axis=1)
    turn = np.zeros((p + 1, p))
    turn[:p, : p - 1], turn[p, p - 1] = basis, 1.0
    ww = turn.T @ problem.ww @ turn
    # R of the reduced problem matters to REML only
    reduced = replace(problem, zw1=zw1, zw2=zw2, ww=ww, R=np.eye(p - 1), shift=np.zeros(p - 1))
    return HeldCoefficient(problem, reduced, v, float(v @ problem.R[:, index]), index)


def sd_start(chart: TermChart, sigma: float) -> Vector:
    """The free parameters at the estimate: log sigma in the place of L_11, or nothing there if sigma is known."""
    if chart.problem.sigma is not None:
        return np.delete(chart.start, chart.first)
    at = chart.start.copy()
    at[chart.first] = np.log(sigma)
    return at


def hold_sd(chart: TermChart, value: float, at: Vector) -> Held:
    """Hold an sd at `value` >= 0; `at` are the free parameters as `sd_start` has them."""
    if chart.problem.sigma is not None:
        return _hold_sd_beside(chart, value, at, chart.problem.sigma)
    return _hold_sd(chart, value, at)


def _hold_sd_beside(chart: TermChart, value: float, at: Vector, sigma: float) -> Held:
    """The same beside a known sigma: L_11 is held, and that is all."""
    problem, first = chart.problem, chart.first
    free = np.delete(np.arange(problem.n_parameters), first)

    def criterion(x: Vector) -> Local:
        par = np.insert(x, first, value * chart.scale / sigma)
        found = evaluate(problem, par)
        gradient, curvature = _derivatives(found)
        slope = float(gradient[first]) * chart.scale / sigma
        return Local(found.criterion, gradient[free], curvature[np.ix_(free, free)], slope)

    x, found = descend(criterion, at, np.zeros(len(at), dtype=bool))
    return Held(found.value, found.slope, x)


def _hold_sd(chart: TermChart, value: float, at: Vector) -> Held:
    """The same where sigma is estimated too."""
    problem, first, n = chart.problem, chart.first, chart.problem.n
    scaled = value * chart.scale

    def criterion(x: Vector) -> Local:
        if not -300.0 < x[first] < 300.0:
            raise np.linalg.LinAlgError("sigma out of range")
        sigma = float(np.exp(x[first]))
        par = x.copy()
        par[first] = top = scaled / sigma
        found = evaluate(replace(problem, sigma=sigma), par)
        gradient, curvature = (a.copy() for a in _derivatives(found))
        ratio = found.residual / sigma**2
        mixed = -2.0 * residual_gradient(problem, found) / sigma**2
        g, column = gradient[first], curvature[:, first].copy()
        gradient[first] = 2.0 * n - 2.0 * ratio - top * g
        curvature[first] = curvature[:, first] = mixed - top * column
        curvature[first, first] = 4.0 * ratio - 2.0 * top * mixed[first] + top**2 * column[first] + g * top
        return Local(found.criterion, gradient, curvature, g * chart.scale / sigma)

    x, found = descend(criterion, at, np.zeros(len(at), dtype=bool))
    return Held(found.value, found.slope, x)


def hold_correlation(chart: TermChart, value: float, at: Vector) -> Held:
    """Hold a correlation in [-1, 1]; `at` (r - 1,) parameters with y in the place of L_21 and without L_22.

    The lengths x and y keep their sign: with L_11 below zero the correlation would be -rho.
    """
    if chart.correlation is not None:
        return _hold_angle(chart, chart.correlation, value, at)
    assert chart.pair is not None
    problem, (lower, corner) = chart.problem, chart.pair
    r = problem.n_parameters
    rest = float(np.sqrt(max((1.0 - value) * (1.0 + value), 0.0)))
    A = np.delete(np.eye(r), corner, axis=1)
    y = lower  # L_21 stands before L_22
    A[lower, y], A[corner, y], A[lower, chart.first] = value, rest, -chart.lean
    bounded = np.zeros(r - 1, dtype=bool)
    bounded[[chart.first, y]] = True

    def criterion(x: Vector) -> Local:
        found = evaluate(problem, A @ x)
        gradient, information = _derivatives(found)
        towards = gradient[lower] - (gradient[corner] * value / rest if rest > 0 else 0.0)
        return Local(found.criterion, A.T @ gradient, A.T @ information @ A, float(towards * x[y]))

    x, found = descend(criterion, at, bounded)
    return Held(found.value, found.slope, x)


def _hold_angle(chart: TermChart, correlation: Correlation, value: float, at: Vector) -> Held:
    """The same of the one correlation of a structure: the angle is held, and that is all."""
    problem, first = chart.problem, chart.first
    t = float(correlation.angle(value))
    slope = correlation.slope(t)
    free = np.delete(np.arange(problem.n_parameters), first)

    def criterion(x: Vector) -> Local:
        found = evaluate(problem, np.insert(x, first, t))
        gradient, curvature = _derivatives(found)
        towards = float(gradient[first]) / slope if abs(slope) > 1e-8 else 0.0
        return Local(found.criterion, gradient[free], curvature[np.ix_(free, free)], towards)

    x, found = descend(criterion, at, np.zeros(len(at), dtype=bool))
    return Held(found.value, found.slope, x)


def residual_gradient(problem: Problem, evaluation: Evaluation) -> Vector:
    """(r,) derivatives of r^2 = y'Py: -2 <sum_j h_j h_j'T, dT>, h = Z'Py."""
    factorization = evaluation.factorization
    zw = (problem.zw1, problem.zw2)
    solved = factorization.solve(factorization.scale_transposed(zw))
    h = less_fixed(random_effect_products(problem, factorization, zw, solved), evaluation.gamma)
    parts = [h[0][..., 0]]
    if problem.coupling is not None:
        parts += [h[1][position, 0] for position in problem.coupling.positions]
    outer = [part.T @ (part @ T) for part, T in zip(parts, factorization.T, strict=True)]
    out = np.empty(problem.n_parameters)
    for (where, dT), one in zip(problem.directions(evaluation.par), outer, strict=True):
        out[where] = -2.0 * (dT.reshape(-1, one.size) @ one.ravel())
    return out
