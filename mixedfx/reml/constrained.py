r"""The smallest deviance with one parameter held: the refits behind a profile.

*sigma* is held by giving the criterion a known sigma; *a coefficient*, by moving its column to the response:
with X_j = Q R_j, U an orthonormal basis of the other columns of R and v the unit vector orthogonal to it, Q U spans the
other columns of X and y - delta r Q v, r = v'R_j, is the response from which delta X_j was taken: cross-products are
all it takes.

*An sd*, that of the effect of column i as given: the effect is g_i'u_used, g_i = B^{-1}'e_i, so that sd_i = sigma
|g_i'T|. In a frame C, orthogonal with g_i / |g_i| for its first column, T = C L and sd_i = sigma |g_i| L_11 alone; the
free parameters are the other entries of L and l = log sigma, with L_11 = c / (sigma |g_i|). Given sigma the derivatives
in L are those of `mixedfx.pls.evaluate`; with f = log|V| + n log(2 pi sigma^2) + r^2 / sigma^2,

    f_l = 2 n - 2 r^2 / sigma^2,    f_ll = 4 r^2 / sigma^2,    f_lk = -2 (dr^2/dL_k) / sigma^2,
    dr^2/dL = -2 C'h h'T,

and the chain rule takes in L_11(l). *A correlation* of columns i and j: with the second column of C in the span of g_i
and g_j, and p, q the coordinates of g_j, the effect of j has the row p L_1 + q L_2, of length q y. With L_11 = x,

    L_21 = rho y - (p / q) x,    L_22 = sqrt(1 - rho^2) y,    x, y >= 0 free:

linear for a given rho, regular at rho = +-1.

Every criterion is -2 log L: profiles of a REML fit are those of its ML fit, as in lme4, for the restricted likelihood
says nothing of the fixed effects. The derivative of the smallest deviance with respect to the value held comes with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.covariance.components import Component
from mixedfx.covariance.exchangeable import angle, correlation, correlation_slope, lowest_correlation
from mixedfx.covariance.structures import Structure
from mixedfx.linalg.trust_region import trust_region_step
from mixedfx.pls.evaluate import Evaluation, evaluate, less_fixed, random_effect_products
from mixedfx.pls.factors import Block, GroupFactor
from mixedfx.pls.problem import Problem
from mixedfx.reml.trust_region import ROUNDING, minimise

Vector = NDArray[np.float64]

MOST = 100  # evaluations at one value
ENOUGH = 1e-9  # predicted decrease of the deviance at which a point is a minimum


@dataclass(frozen=True)
class Held:
    """The smallest deviance with a parameter held: the deviance, its derivative in the value, where it is."""

    deviance: float
    slope: float
    at: Vector


@dataclass(frozen=True)
class Local:
    """Value, gradient and curvature of a criterion, and its derivative with respect to what is held."""

    value: float
    gradient: Vector
    curvature: Vector
    slope: float


def descend(criterion: Callable[[Vector], Local], start: Vector, bounded: NDArray[np.bool_]) -> tuple[Vector, Local]:
    """Newton's method in a trust region, with some parameters kept from going below zero.

    Parameters
    ----------
    criterion
        Raises LinAlgError where it cannot be evaluated.
    start
        (r,) where to begin.
    bounded
        (r,) which parameters must not be negative.
    """
    x, best = start, criterion(start)
    radius = 0.25 * max(float(np.linalg.norm(x)), 0.2)
    for _ in range(MOST):
        free = ~(bounded & (x <= 0.0) & (best.gradient > 0.0))
        if not free.any():
            break
        step = np.zeros_like(x)
        step[free], decrease = trust_region_step(best.gradient[free], best.curvature[np.ix_(free, free)], radius)
        length = float(np.linalg.norm(step))
        rounding = ROUNDING * abs(best.value)
        if (decrease <= ENOUGH + rounding and length < 0.99 * radius) or radius < 1e-10:
            break
        trial_at = np.where(bounded, np.maximum(x + step, 0.0), x + step)
        try:
            trial = criterion(trial_at)
        except np.linalg.LinAlgError:
            radius = 0.25 * length
            continue
        gain, noise = best.value - trial.value, 10.0 * rounding
        ratio = (gain + noise) / (decrease + noise)
        if ratio < 0.25:
            radius = 0.25 * length
        elif ratio > 0.75 and length > 0.9 * radius:
            radius = 2.0 * radius
        if gain > -noise:
            x, best = trial_at, trial
    return x, best


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


@dataclass(frozen=True)
class TermChart:
    """A problem in a frame that makes an sd or a correlation of one term a coordinate.

    Attributes
    ----------
    problem
        With a frame for the term.
    start
        (r,) parameters of the estimate in that frame.
    first
        Parameter of L_11.
    pair
        Parameters of L_21 and L_22; None for a term of independent columns.
    scale
        L_11 for a relative sd of one, 1 / |g_i|.
    lean
        p / q, what the effect of the second column has of the first coordinate; 0 for an sd.
    term
        The random term.
    columns
        Number of columns that any two have the correlation of, where that is an angle among the parameters; else 0.
    """

    problem: Problem
    start: Vector
    first: int
    pair: tuple[int, int] | None
    scale: float
    lean: float
    term: int
    columns: int = 0

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest correlation."""
        return (lowest_correlation(self.columns) if self.columns else -1.0), 1.0

    @property
    def perfect(self) -> bool:
        """Whether the correlation is one to rounding: 1 - |r| below 1e-8 for columns that are orthogonal."""
        if self.columns:
            return bool(np.isclose(np.sin(2.0 * self.start[self.first]), 0.0, rtol=0.0, atol=2e-4))
        assert self.pair is not None
        lower, corner = self.start[list(self.pair)]
        return bool(abs(corner) < np.sqrt(2e-8) * np.hypot(lower, corner))


def _block(problem: Problem, term: int) -> tuple[int, GroupFactor, Block]:
    for f, group in enumerate(problem.factors):
        for block in group.blocks:
            if block.term == term:
                return f, group, block
    raise IndexError(f"no random term {term}")


def term_chart(problem: Problem, T: list[Vector], term: int, component: Component) -> TermChart:
    """A problem that has a component of a term for a parameter; `T` are the factors at the estimate.

    Of an unstructured term, a frame with the effects of its columns, one or two, first.
    """
    f, group, block = _block(problem, term)
    k, structure, columns = block.structure.k, block.structure, component.columns
    if structure.name != "us":
        shape, at = structure.held(component)
        held = replace(problem, factors=tuple(_with_structure(g, term, shape) for g in problem.factors))
        column = block.first + columns[0]
        scale = float(group.basis[column, column])
        return TermChart(
            held, held.lower(T), block.par + at, None, scale, 0.0, term, k if component.kind == "cor" else 0
        )
    start = problem.lower(T)
    g = group.inverse[block.columns, block.columns][list(columns)].T
    C, R = np.linalg.qr(g, mode="complete")
    sign = np.where(np.diag(R) < 0.0, -1.0, 1.0)
    C[:, : len(columns)] *= sign
    R = R[: len(columns)] * sign[:, None]
    start[block.parameters] = structure.parameters(C.T @ T[f][block.columns, block.columns])
    pair = (block.par + 1, block.par + k) if k > 1 else None
    lean = float(R[0, 1] / R[1, 1]) if len(columns) == 2 else 0.0
    return TermChart(
        replace(problem, frames={**problem.frames, term: C}), start, block.par, pair, float(1.0 / R[0, 0]), lean, term
    )


def _with_structure(group: GroupFactor, term: int, structure: Structure) -> GroupFactor:
    """The same factor with another structure of one of its terms."""
    return replace(group, blocks=tuple(replace(b, structure=structure) if b.term == term else b for b in group.blocks))


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
    if chart.columns:
        return _hold_angle(chart, value, at)
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


def _hold_angle(chart: TermChart, value: float, at: Vector) -> Held:
    """The same of a correlation of any two columns: the angle is held, and that is all."""
    problem, first = chart.problem, chart.first
    t = float(angle(value, chart.columns))
    slope = correlation_slope(t, chart.columns)
    free = np.delete(np.arange(problem.n_parameters), first)

    def criterion(x: Vector) -> Local:
        found = evaluate(problem, np.insert(x, first, t))
        gradient, curvature = _derivatives(found)
        towards = float(gradient[first]) / slope if abs(slope) > 1e-8 else 0.0
        return Local(found.criterion, gradient[free], curvature[np.ix_(free, free)], towards)

    x, found = descend(criterion, at, np.zeros(len(at), dtype=bool))
    return Held(found.value, found.slope, x)


def correlation_start(chart: TermChart) -> tuple[float, Vector]:
    """The correlation at the estimate, and the free parameters there; NaN where no two columns vary."""
    if chart.columns:
        rest = np.delete(chart.start, chart.first)
        own = chart.problem.blocks[chart.term].parameters
        varies = np.any(np.delete(chart.start, chart.first)[own.start : own.stop - 1] != 0.0)
        return (float(correlation(chart.start[chart.first], chart.columns)) if varies else np.nan), rest
    assert chart.pair is not None
    lower, corner = chart.pair
    along = float(chart.start[lower] + chart.lean * chart.start[chart.first])
    length = float(np.hypot(along, chart.start[corner]))
    x = np.delete(chart.start, corner)
    x[lower] = length
    return along / length if length > 0 else np.nan, x


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
