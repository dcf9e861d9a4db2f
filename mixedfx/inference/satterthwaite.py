r"""Satterthwaite degrees of freedom of any contrast, and Fai and Cornelius's of several.

The variance of c'beta-hat is v = sigma^2 c'(X'V^{-1}X)^{-1}c, a function of the variance parameters. Matching its first
two moments to those of a scaled chi square gives df = 2 v^2 / var(v) (Satterthwaite 1946; Giesbrecht & Burns 1985), and
var(v) = g'A g with g the gradient of v and A = 2 F^{-1} the asymptotic covariance of the variance parameters, F the
observed second derivatives of the (RE)ML criterion at its minimum.

**In (theta, sigma^2).** For given theta the criterion nu log s + r^2 / s + ... is least at s = r^2 / nu, where its
second derivative in s is nu / s^2. Eliminating s from F by blocks leaves the second derivatives Hp of the *profiled*
criterion, and with v(theta) = c'C c along the profile (s moves with theta)

    g'F^{-1}g = v^2 / nu + g_p'Hp^{-1}g_p,      g_p = dv / dtheta + (v / s)(dr^2 / dtheta) / nu,

    df = 1 / (1 / nu + g_p'Hp^{-1}g_p / v^2).

At a minimum the quadratic form is the same in every parametrisation. **g_p is exact**
(`mixedfx.inference.covariance_derivatives`). **Hp** is the central difference of the engine's exact gradient with steps
of `STEP` standard errors of theta: the criterion varies over standard errors, so the relative error of order STEP^2 is
below 1e-6, and rounding, about 1e-12 of the gradient's terms over the step, is below that. Tests compare it with the
analytical second derivatives of a dense V.

**Boundary.** Where a column of T is zero, its entries enter V by their squares: dV = 0 and the cross derivatives of the
criterion vanish. Such directions say nothing about v to first order and are dropped, as if the variance were known to
be zero. Any other direction in which the criterion is flat or bends downwards is dropped with a warning
(`DegreesOfFreedomWarning`).

**Several contrasts.** With L vcov L' = U diag(d) U' the rows of U'L are uncorrelated, each t_m^2 has df nu_m, and the F
statistic, the mean of the t_m^2, gets the df whose mean is the mean of nu_m / (nu_m - 2) (Fai & Cornelius 1996). F is
the same however the rows of L are written; this df is not quite, since another L is rotated otherwise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DegreesOfFreedomWarning
from mixedfx.inference.covariance_derivatives import products, theta_directions
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

STEP = 3e-4  # of a standard error of theta
LARGEST_STEP = 1e-3  # of the parameters' unit, where the criterion is nearly flat
SCALES = 1e3  # ratio of standard errors of contrasts up to which they are rotated as they are
FLAT = 1e-8  # eigenvalue of the scaled second derivatives below which a direction is not informed


@dataclass(frozen=True)
class Satterthwaite:
    """Degrees of freedom from the first two moments of estimated variances.

    Attributes
    ----------
    vcov
        (p, p) covariance of the fixed effects.
    derivatives
        (m, p, p) derivatives of `vcov` along m directions of theta that are informed, scaled so that the asymptotic
        variance of c'vcov c is 2 (v^2 / nu + the sum of squares of c'derivatives c).
    nu
        Degrees of freedom of the residual variance; infinite where it is known.
    """

    vcov: Vector
    derivatives: Vector
    nu: float

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) degrees of freedom of the rows of (s, p) contrasts; residual ones where a variance is zero."""
        v = np.einsum("sp,pr,sr->s", contrasts, self.vcov, contrasts)
        g = np.einsum("sp,mpr,sr->sm", contrasts, self.derivatives, contrasts, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / self.nu + np.where(v > 0, (g**2).sum(axis=1) / v**2, 0.0)
            return 1.0 / inverse

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """F statistic, numerator and denominator df of L beta = rhs; `difference` (m,) is L beta-hat - rhs."""
        rows, t2 = independent_contrasts(L, self.vcov, difference)
        return float(np.mean(t2)), float(len(t2)), combined_df(self.t_df(rows))


def satterthwaite(problem: Problem, par: Vector) -> Satterthwaite:
    """Pieces of Satterthwaite's method at the estimate.

    Parameters
    ----------
    problem
        Cross-products of the fit, REML or ML.
    par
        (r,) the estimate in the parameters of `problem`: in the columns as given, a covariate far from zero would cost
        the digits that second differences need.

    Warns
    -----
    DegreesOfFreedomWarning
        Where the criterion does not bend upwards in some direction of theta.
    """
    at = evaluate(problem, par)
    found = products(problem, at)
    dvcov, dresidual = theta_directions(problem, at, found)
    vcov = at.sigma2 * (found.unrotate @ found.S_inverse @ found.unrotate.T)
    nu = np.inf
    if problem.sigma is None:
        nu = float(problem.dof)
        dvcov = dvcov + (dresidual / (nu * at.sigma2))[:, None, None] * vcov
    active = informed(at)
    if not active.any():
        return Satterthwaite(vcov, np.zeros((0, *vcov.shape)), nu)
    H = second_derivatives(problem, at, np.flatnonzero(active))
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), 1e-300))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    good = values > FLAT * max(1.0, values[-1])
    if not good.all():
        warnings.warn(
            f"the criterion does not bend upwards in {int((~good).sum())} direction(s) of theta; Satterthwaite's "
            "degrees of freedom leave their uncertainty out and may be too large",
            DegreesOfFreedomWarning,
            stacklevel=2,
        )
    root = (vectors[:, good] / np.sqrt(values[good])).T * scale
    return Satterthwaite(vcov, np.tensordot(root, dvcov[active], axes=(1, 0)), nu)


def informed(at: Evaluation) -> NDArray[np.bool_]:
    """(r,) whether a parameter moves V to first order: its column of T is not zero."""
    T = at.factorization.T
    return np.array([bool(np.any(T[f][:, b] != 0.0)) for f, _, b in at.factorization.problem.entries], dtype=bool)


def second_derivatives(problem: Problem, at: Evaluation, which: NDArray[np.intp]) -> Vector:
    """(m, m) second derivatives of the profiled criterion in the scaled parameters `which`.

    Central differences of the exact gradient, 2 m evaluations.
    """
    assert at.information is not None
    columns = []
    for k in which:
        bend = at.information[k, k]
        step = min(STEP / np.sqrt(bend), LARGEST_STEP) if bend > 0 else LARGEST_STEP
        sides = []
        for sign in (1.0, -1.0):
            moved = np.array(at.par)
            moved[k] += sign * step
            sides.append((moved[k], _gradient(problem, moved)))
        (high, above), (low, below) = sides
        columns.append((above - below)[which] / (high - low))
    H = np.array(columns)
    return (H + H.T) / 2.0


def _gradient(problem: Problem, par: Vector) -> Vector:
    gradient = evaluate(problem, par).gradient
    assert gradient is not None
    return gradient


def independent_contrasts(L: Vector, vcov: Vector, difference: Vector) -> tuple[Vector, Vector]:
    """Uncorrelated rows that span those of L, and the squared t statistic of each.

    Parameters
    ----------
    L
        (m, p) contrasts; rows may be linearly dependent.
    vcov
        (p, p).
    difference
        (m,) L beta-hat - rhs.

    Returns
    -------
    rows : (rank, p)
    t2 : (rank,)
    """
    covariance = L @ vcov @ L.T
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    size[size == 0] = 1.0
    # The rotation, and with it Fai and Cornelius's df, depends on the scale of the rows; it is lmerTest's, the rows as
    # they are given, unless their scales are so far apart that digits would be lost.
    if size.max() < SCALES * size.min():
        size[:] = 1.0
    values, vectors = np.linalg.eigh(covariance / np.outer(size, size))
    keep = values > max(1e-10, len(L) * 1e-12) * max(float(values[-1]), 0.0)
    turn = (vectors[:, keep] / size[:, None]).T
    return turn @ L, (turn @ difference) ** 2 / values[keep]


def combined_df(nu: Vector) -> float:
    """Denominator df of the mean of independent t^2 with df nu (Fai & Cornelius 1996).

    Matches E F = m / (m - 2) to the mean of nu / (nu - 2); 2 where some nu is not above 2 and no mean exists.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.satterthwaite import combined_df
    >>> combined_df(np.array([10.0, 10.0])), round(combined_df(np.array([10.0, 40.0])), 2)
    (10.0, 15.22)
    """
    if len(nu) == 0:
        return np.nan
    if np.isinf(nu).all():
        return np.inf
    if np.isfinite(nu).all() and np.ptp(nu) <= 1e-8 * float(np.max(nu)):
        return float(np.mean(nu))
    if np.any(nu <= 2):
        return 2.0
    with np.errstate(invalid="ignore"):
        excess = np.where(np.isinf(nu), 0.0, 1.0 / (nu - 2.0))
    return float(np.sum(1.0 + 2.0 * excess) / np.sum(excess))
