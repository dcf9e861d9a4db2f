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
(`mixedfx.inference.covariance_derivatives`). **Hp** is the central difference of the engine's exact gradient. The
criterion varies over standard errors of theta, so a step of h of them has an error of order h^2; the gradient is a
difference of terms that are as large as M is beside the identity, so its rounding is about epsilon = |M| times that of
a number, and adds epsilon / h. With `STEP` both are below 1e-6. Where epsilon is larger than that allows (groups that
differ thousands of times as much as repeats within them), differences over one, two and three steps are combined, which
leaves an error of order h^6, and the step is epsilon^(1/7), where that meets the rounding: what is lost is
epsilon^(6/7), not the answer. Tests compare Hp with the analytical second derivatives of a dense V.

**Scale.** The unit of a parameter of T is the largest of 1 (a standard deviation between groups as large as the
residual one, z of unit mean square) and the length of its row of T, the standard deviation that it is part of. The
criterion itself has no unit, so second derivatives in these units are plain numbers: nothing here depends on units of
y or z, or on how much groups differ.

**Boundary.** Where a column of T is zero, its entries enter V by their squares: dV = 0 and the cross derivatives of the
criterion vanish. Such directions say nothing about v to first order and are dropped, as if the variance were known to
be zero; contrasts whose df then act as if groups did not exist are warned about (`IgnoredGroupsWarning`,
`mixedfx.inference.ignored_groups`). Any other direction in which the criterion is flat or bends downwards is dropped
with a warning (`DegreesOfFreedomWarning`).

**Several contrasts.** With L vcov L' = U diag(d) U' the rows of U'L are uncorrelated, each t_m^2 has df nu_m, and the F
statistic, the mean of the t_m^2, gets the df whose mean is the mean of nu_m / (nu_m - 2) (Fai & Cornelius 1996). The
rotation U, and with it this df, would depend on how the rows of L are written; they are written in one way first, see
`mixedfx.inference.canonical_contrasts`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import DegreesOfFreedomWarning, IgnoredGroupsWarning
from mixedfx.inference.canonical_contrasts import contrast_metric, independent_contrasts
from mixedfx.inference.covariance_derivatives import Products, products, theta_directions
from mixedfx.inference.ignored_groups import IgnoredGroups, ignored_groups
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.problem import Problem

Vector = NDArray[np.float64]

STEP = 3e-4  # of a standard error of theta
LARGEST_STEP = 1e-3  # of the parameter's unit, where the criterion is nearly flat
SIXTH_ORDER = (1.5, -0.6, 0.1)  # weights of central differences over 1, 2, 3 steps: errors of h^2 and h^4 cancel
SETTLING, SETTLED, UNSETTLED = 4, 1e-14, 1e-2  # steps of scoring; squares of what is left, in standard errors
LOST = 1e-2  # rounding of the gradient's terms from which degrees of freedom are no longer good for a tenth
NOTHING = 1e-14  # of the product of the largest entries of dT and T, below which dT T' is rounding
FLAT = 1e-8  # second derivative in units of the parameters below which a direction is not informed


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
        Degrees of freedom of the residual variance; infinite where it is known, NaN where none can be said.
    design
        What was fitted: it says how hypotheses are written, and the names in warnings. None: hypotheses in units of
        standard errors, and no warnings.
    ignored
        Directions in which the estimated variance between groups is zero.
    """

    vcov: Vector
    derivatives: Vector
    nu: float
    design: Design | None = None
    ignored: tuple[IgnoredGroups, ...] = ()

    @cached_property
    def _metric(self) -> Vector | None:
        return None if self.design is None else contrast_metric(self.design)

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) degrees of freedom of the rows of (s, p) contrasts; residual ones where a variance is zero.

        Warns
        -----
        IgnoredGroupsWarning
            Where they act as if groups did not exist.
        """
        df = self._t_df(contrasts)
        self._warn_ignored(contrasts, df)
        return df

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """F statistic, numerator and denominator df of L beta = rhs; `difference` (m,) is L beta-hat - rhs.

        Warns
        -----
        IgnoredGroupsWarning
            Where these act as if groups did not exist.
        """
        t2 = independent_contrasts(L, self.vcov, difference)[1]
        if len(t2) == 0:
            return np.nan, 0.0, np.nan
        rows = independent_contrasts(L, self.vcov, difference, self._metric if len(t2) > 1 else None)[0]
        if self.ignored and self.design is not None:
            most = np.concatenate([groups.most_dependent(rows, self.vcov) for groups in self.ignored])
            self._warn_ignored(most, self._t_df(most))
        return float(np.mean(t2)), float(len(t2)), combined_df(self._t_df(rows))

    def coefficients_without_groups(self) -> dict[str, tuple[str, ...]]:
        """Grouping factor -> coefficients whose df act as if it did not exist; empty without a design."""
        eye = np.eye(len(self.vcov))
        return self._without_groups(eye, self._t_df(eye))

    def _t_df(self, contrasts: Vector) -> Vector:
        v = np.einsum("sp,pr,sr->s", contrasts, self.vcov, contrasts)
        g = np.einsum("sp,mpr,sr->sm", contrasts, self.derivatives, contrasts, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / self.nu + np.where(v > 0, (g**2).sum(axis=1) / v**2, 0.0)
            return 1.0 / inverse

    def _without_groups(self, contrasts: Vector, df: Vector) -> dict[str, tuple[str, ...]]:
        """Grouping factor -> coefficients in contrasts whose df act as if it did not exist."""
        found: dict[str, tuple[str, ...]] = {}
        if self.design is None:
            return found
        sd = np.sqrt(np.diag(self.vcov))
        for groups in self.ignored:
            rows = contrasts[groups.concerns(contrasts, self.vcov, df)] * sd
            if not len(rows):
                continue
            takes_part = (np.abs(rows) > 1e-8 * np.abs(rows).max(axis=1, keepdims=True)).any(axis=0)
            own = takes_part & groups.concerns(np.eye(len(sd)), self.vcov, self._t_df(np.eye(len(sd))))
            names = [
                n for n, part in zip(self.design.fixed_names, own if own.any() else takes_part, strict=True) if part
            ]
            label = self.design.random[groups.term].label
            found[label] = tuple(dict.fromkeys([*found.get(label, ()), *names]))
        return found

    def _warn_ignored(self, contrasts: Vector, df: Vector) -> None:
        for label, names in (self._without_groups(contrasts, df) if self.ignored else {}).items():
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            warnings.warn(
                f"an estimated variance between levels of '{label}' is zero, and Satterthwaite's degrees of freedom "
                f"for {listed} act as if these levels did not exist: intervals are too short and p values too small.\n"
                'Say ddf="kenward-roger" (a REML fit), which counts them, or fit mx.bayes; do not drop the levels from '
                "the model.",
                IgnoredGroupsWarning,
                stacklevel=4,
            )


def satterthwaite(problem: Problem, par: Vector, design: Design | None = None) -> Satterthwaite:
    """Pieces of Satterthwaite's method at the estimate.

    Parameters
    ----------
    problem
        Cross-products of the fit, REML or ML.
    par
        (r,) the estimate in the parameters of `problem`: in the columns as given, a covariate far from zero would cost
        the digits that second differences need.
    design
        What was fitted, for hypotheses of several contrasts.

    Warns
    -----
    DegreesOfFreedomWarning
        Where the criterion does not bend upwards in some direction of theta, or, with degrees of freedom that are NaN,
        cannot be evaluated beside the estimate.
    """
    at = settled(problem, evaluate(problem, par))
    return assembled(problem, at, products(problem, at), partial(second_derivatives, problem, at), design)


def assembled(
    problem: Problem, at: Evaluation, found: Products, bent: Callable[[NDArray[np.intp]], Vector], design: Design | None
) -> Satterthwaite:
    """Pieces of Satterthwaite's method from products at the estimate and second derivatives of chosen parameters."""
    dvcov, dresidual = theta_directions(problem, at, found)
    vcov = at.sigma2 * (found.unrotate @ found.S_inverse @ found.unrotate.T)
    nu = np.inf
    if problem.sigma is None:
        nu = float(problem.dof)
        dvcov = dvcov + (dresidual / (nu * at.sigma2))[:, None, None] * vcov
    active = informed(at)
    lost = rounding(at)
    if lost > LOST:
        warnings.warn(
            "groups differ so much more than repeats within them that the criterion's second derivatives are lost in "
            "rounding; Satterthwaite's degrees of freedom may be wrong",
            DegreesOfFreedomWarning,
            stacklevel=2,
        )
    ignored = ignored_groups(problem, at, found)
    if not active.any():
        return Satterthwaite(vcov, np.zeros((0, *vcov.shape)), nu, design, ignored)
    try:
        H = bent(np.flatnonzero(active))
    except np.linalg.LinAlgError:
        warnings.warn(
            "the criterion has no value beside the estimate, as where the model reproduces the response exactly, "
            'and Satterthwaite\'s degrees of freedom are not known (NaN); ddf="normal" does without them',
            DegreesOfFreedomWarning,
            stacklevel=2,
        )
        return Satterthwaite(vcov, np.zeros((0, *vcov.shape)), np.nan, design)
    # what is well informed in units of its standard error, what is not in its own
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(H)), parameter_units(at)[active] ** -2.0))
    values, vectors = np.linalg.eigh(H * np.outer(scale, scale))
    good = values > max(FLAT, lost ** (2 / 3)) * max(1.0, values[-1])
    if not good.all():
        warnings.warn(
            f"the criterion does not bend upwards in {int((~good).sum())} direction(s) of theta; Satterthwaite's "
            "degrees of freedom leave their uncertainty out and may be too large",
            DegreesOfFreedomWarning,
            stacklevel=2,
        )
    root = (vectors[:, good] / np.sqrt(values[good])).T * scale
    return Satterthwaite(vcov, np.tensordot(root, dvcov[active], axes=(1, 0)), nu, design, ignored)


def settled(problem: Problem, at: Evaluation) -> Evaluation:
    """The point to which steps of scoring lead from the end of a fit.

    A fit stops where its criterion changes no more, some 1e-6 standard errors of theta from the minimum, further where
    rounding hides the change. Coefficients and their variances do not feel it; second derivatives do, to first order.
    """
    which = np.flatnonzero(informed(at))
    step, left = _decrement(at, which)
    for _ in range(SETTLING):
        if not SETTLED < left < UNSETTLED:
            break
        moved = np.array(at.par)
        moved[which] -= step
        try:
            closer = evaluate(problem, moved)
        except np.linalg.LinAlgError:  # nothing is left of the response beside the estimate
            break
        further, still = _decrement(closer, which)
        if not still < left:
            break
        at, step, left = closer, further, still
    return at


def _decrement(at: Evaluation, which: NDArray[np.intp]) -> tuple[Vector, float]:
    """(m,) step of scoring towards the minimum and its squared length in standard errors; NaN if not defined."""
    assert at.gradient is not None
    assert at.information is not None
    try:
        step = np.linalg.solve(at.information[np.ix_(which, which)], at.gradient[which])
    except np.linalg.LinAlgError:
        return np.full(len(which), np.nan), np.nan
    return np.asarray(step, dtype=np.float64), float(step @ at.gradient[which])


def informed(at: Evaluation) -> NDArray[np.bool_]:
    """(r,) whether a parameter moves V to first order: dT T' is not zero, as where its column of T is."""
    problem = at.factorization.problem
    out = np.zeros(problem.n_parameters, dtype=bool)
    for (where, dT), T in zip(problem.directions(at.par), at.factorization.T, strict=True):
        # a zero column of a triangle leaves nothing at all; of other structures, what is left of P (I - P)
        moved = np.abs(dT @ T.T).max(axis=(1, 2), initial=0.0)
        size = np.abs(dT).max(axis=(1, 2), initial=0.0) * np.abs(T).max(initial=0.0)
        out[where] = moved > (0.0 if problem.entries is not None else NOTHING * size)
    return out


def parameter_units(at: Evaluation) -> Vector:
    """(r,) the size of a change of each scaled parameter that matters: 1, or the length of its row of T if larger.

    Of other parameters than entries of a triangle, 1 or the parameter itself.
    """
    problem = at.factorization.problem
    if problem.entries is None:
        return np.maximum(1.0, np.abs(at.par))
    pairs = zip(at.factorization.T, problem.turns, strict=True)
    row = [np.linalg.norm(T if C is None else C.T @ T, axis=1) for T, C in pairs]  # of L, with T = C L
    return np.array([max(1.0, float(row[f][a])) for f, a, _ in problem.entries])


def rounding(at: Evaluation) -> float:
    """Relative rounding of the gradient's terms: that of one number times the largest entry of M."""
    T, problem = at.factorization.T, at.factorization.problem
    largest = [float(np.max(np.diagonal(problem.gram1), initial=0.0))]
    if problem.coupling is not None:
        largest += [problem.coupling.largest] * (len(T) - 1)
    grown = [float(np.linalg.norm(factor, 2)) ** 2 * most for factor, most in zip(T, largest, strict=True)]
    return float(np.finfo(np.float64).eps) * (1.0 + max(grown))


def second_derivatives(problem: Problem, at: Evaluation, which: NDArray[np.intp]) -> Vector:
    """(m, m) second derivatives of the profiled criterion in the scaled parameters `which`.

    Central differences of the exact gradient: 2 m evaluations, 6 m where rounding rules the step.
    """
    assert at.information is not None
    epsilon = rounding(at)
    precise = epsilon < STEP**3  # rounding adds less than a central difference of this step leaves
    size, weights = (STEP, (1.0,)) if precise else (max(STEP, epsilon ** (1 / 7)), SIXTH_ORDER)
    columns, units = [], parameter_units(at)
    for k in which:
        bend = at.information[k, k]
        largest = max(LARGEST_STEP, 0.0 if precise else size) * units[k]
        step = min(size / np.sqrt(bend), largest) if bend > 0 else largest
        slopes = [w * _slope(problem, at.par, int(k), m * float(step)) for m, w in enumerate(weights, 1)]
        columns.append(np.sum(slopes, axis=0)[which])
    H = np.array(columns)
    return (H + H.T) / 2.0


def _slope(problem: Problem, par: Vector, k: int, step: float) -> Vector:
    """(r,) central difference of the gradient over two steps of parameter k."""
    sides = []
    for moved in (par[k] + step, par[k] - step):
        other = np.array(par)
        other[k] = moved
        sides.append((moved, _gradient(problem, other)))
    (high, above), (low, below) = sides
    return (above - below) / (high - low)


def _gradient(problem: Problem, par: Vector) -> Vector:
    gradient = evaluate(problem, par).gradient
    assert gradient is not None
    return gradient


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
