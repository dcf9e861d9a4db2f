r"""The posterior of the parameters psi of a generalised linear mixed model, random effects integrated out.

    psi = [ gamma = R beta | log standard deviations and partial correlations of each term | log auxiliary parameters ]

with X = Q R, the columns of Q orthogonal and of unit mean square, so that the coordinates of beta are alike whatever
the units; covariances as in `mixedfx.sampling.coordinates`; auxiliary parameters less their lower bound. Priors are
those of `mixedfx.priors`, that of the intercept at the means of the predictors, Jacobians included.

The likelihood has two forms: Laplace's approximation, smooth, for modes and curvature; and an unbiased estimate that
comes with a draw of the random effects (`mixedfx.bayes.importance.second`), for the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.importance.levels import Rule, scaled
from mixedfx.bayes.importance.rows import Rows, rows_of
from mixedfx.bayes.importance.second import first_factor, integrals, joint_mode, spread
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.linalg import triangular
from mixedfx.pls.crossproducts import orthogonal_columns, triangle
from mixedfx.pls.problem import build_problem
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.coordinates import Coordinates

Array = NDArray[np.float64]
Report = Callable[[int], None]

FARTHEST = 40.0  # coordinates beyond this have no density that a computer can tell from zero
HELD = 2**16  # numbers of one array over rows and draws
STEPS = 1  # Newton steps of a weighted point, from the effects that are predicted
OUTERMOST = 6.0  # standardised effects that are predicted
DIFFERENCE = 0.1  # of the derivatives of effects, in standard deviations of the coordinates
SMOOTH_STEPS, SMOOTH = 40, 1e-6  # of Laplace's approximation, and twice the gain that ends them


@dataclass(frozen=True, eq=False)
class Point:
    """Where searches for effects begin.

    Attributes
    ----------
    v1, v2
        (k, J) and (q2,) standardised effects.
    psi, slope1, slope2
        (size,) where they are those at the mode, and their derivatives (size, k, J) and (size, q2) there; None where
        they are the same for all parameters.
    """

    v1: Array
    v2: Array
    psi: Array | None = None
    slope1: Array | None = None
    slope2: Array | None = None

    def at(self, psi: Array) -> tuple[Array, Array]:
        """(k, J, D) and (q2, D) effects for points (D, size), to first order."""
        if self.psi is None or self.slope1 is None or self.slope2 is None:
            D = len(psi)
            return np.repeat(self.v1[:, :, None], D, axis=2), np.repeat(self.v2[:, None], D, axis=1)
        away = (psi - self.psi).T
        d, k, J = self.slope1.shape
        v1 = self.v1[:, :, None] + (self.slope1.reshape(d, -1).T @ away).reshape(k, J, -1)
        return np.clip(v1, -OUTERMOST, OUTERMOST), np.clip(
            self.v2[:, None] + self.slope2.T @ away, -OUTERMOST, OUTERMOST
        )


@dataclass(frozen=True, eq=False)
class GlmmTarget:
    """The posterior of psi.

    Attributes
    ----------
    rows
        The rows.
    coordinates
        Of the covariances.
    priors
        The priors.
    Q, R
        (n, p), rows as `rows` has them, and (p, p) upper triangle.
    """

    rows: Rows
    coordinates: Coordinates
    priors: ResolvedPriors
    Q: Array
    R: Array

    @property
    def design(self) -> Design:
        """The design."""
        return self.rows.design

    @property
    def auxiliary(self) -> tuple[str, ...]:
        """The auxiliary parameters."""
        return tuple(self.priors.auxiliary)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.Q.shape[1] + self.coordinates.size + len(self.auxiliary)

    @cached_property
    def offset(self) -> Array:
        """(n,)."""
        return self.design.offset[self.rows.order]

    @property
    def nowhere(self) -> Point:
        """Effects of zero."""
        return Point(np.zeros((self.rows.k, self.rows.n_levels)), np.zeros(self.rows.q2))

    # --- from psi to the model ---------------------------------------------------------------------------------------
    def split(self, psi: Array) -> tuple[Array, Array, Array]:
        """(D, p), (D, r) and (D, a) coordinates."""
        p, r = self.Q.shape[1], self.coordinates.size
        return psi[:, :p], psi[:, p : p + r], psi[:, p + r :]

    def beta(self, psi: Array) -> Array:
        """(D, p) fixed effects."""
        gamma = self.split(psi)[0]
        return np.asarray(triangular.solve(self.R, gamma.T)).T if gamma.shape[1] else gamma

    def factors(self, psi: Array) -> tuple[Array, ...]:
        """For each random term (D, k, k) factors of the covariance of a level's effects."""
        at = self.coordinates.variances(self.split(psi)[1])
        return tuple(at.factors(t) for t in range(len(self.design.random)))

    def aux(self, psi: Array) -> dict[str, Array]:
        """Name -> (D,) auxiliary parameters."""
        values = self.split(psi)[2]
        return {name: _lower(name) + np.exp(values[:, i]) for i, name in enumerate(self.auxiliary)}

    def log_prior(self, psi: Array) -> Array:
        """(D,) log densities of the prior of psi."""
        beta, (_, phi, values) = self.beta(psi), self.split(psi)
        total = self.coordinates.log_prior(phi)
        if len(self.R):
            total = total - np.log(np.abs(np.diag(self.R))).sum()
        names = self.design.fixed_names
        for j, (name, prior) in enumerate(zip(names, self.priors.coefficients, strict=True)):
            at = beta[:, j] + (beta @ self.priors.centring if name == "Intercept" else 0.0)
            total = total + prior.log_density(at)  # type: ignore[union-attr]
        aux = self.aux(psi)
        for i, (name, prior) in enumerate(self.priors.auxiliary.items()):
            total = total + prior.log_positive(aux[name]) + values[:, i]
        return total

    # --- densities ---------------------------------------------------------------------------------------------------
    def laplace(self, psi: Array, start: Point) -> tuple[Array, Point]:
        """(D,) log posterior densities by Laplace's approximation, minus infinity where there is none.

        Besides, the effects at the mode for the first of the points, where that has a density.
        """
        out = np.full(len(psi), -np.inf)
        for at in self._parts(psi):
            mode = self._mode(psi[at], start)
            out[at] = mode.laplace + self.log_prior(psi[at])
            if at[0] == 0 and np.isfinite(out[0]):
                start = Point(mode.v1[:, :, 0], mode.v2[:, 0])
        return np.where(np.isnan(out), -np.inf, out), start

    def effects(self, psi: Array, start: Point, sd: Array | None = None) -> Point:
        """Effects at the mode for one point (size,); with their derivatives where coordinates have an `sd` (size,)."""
        mode = self._mode(psi[None], start)
        found = Point(mode.v1[:, :, 0], mode.v2[:, 0])
        if sd is None:
            return found
        steps, d = DIFFERENCE * np.diag(sd), self.size
        ends = self._mode(np.concatenate([psi + steps, psi - steps]), found)
        slope1, slope2 = (
            np.moveaxis(v[..., :d] - v[..., d:], -1, 0) / (2 * DIFFERENCE * sd).reshape(-1, *[1] * (v.ndim - 1))
            for v in (ends.v1, ends.v2)
        )
        return Point(found.v1, found.v2, psi, slope1, slope2)

    def _mode(self, psi: Array, start: Point):
        v1, v2 = start.at(psi)
        base, factors, aux = self.base(psi), self.factors(psi), self.aux(psi)
        with np.errstate(all="ignore"):
            return joint_mode(self.rows, base, factors, aux, v1, v2, SMOOTH_STEPS, SMOOTH)

    def estimates(
        self, psi: Array, start: Point, rule: Rule, rng: np.random.Generator, report: Report | None = None,
        prior: bool = True, effects: bool = True,
    ) -> tuple[Array, Array]:  # fmt: skip
        """(D,) unbiased estimates of posterior densities, as logarithms, and (D, q) draws of the random effects.

        Without `prior` those of the likelihood; without `effects` the draws are not kept, (D, 0).
        """
        out = np.full(len(psi), -np.inf)
        u = np.zeros((len(psi), self.design.n_random if effects else 0))
        for at in self._parts(psi):
            if report is not None:
                report(int(at[0]))
            factors = self.factors(psi[at])
            with np.errstate(all="ignore"):
                out[at], v1, v2 = integrals(
                    self.rows, self.base(psi[at]), factors, self.aux(psi[at]), start.at(psi[at]), STEPS, rule, rng
                )
            if effects:
                u[at] = self.natural(factors, v1, v2)
        if prior:
            out = out + self.log_prior(psi)
        return np.where(np.isnan(out), -np.inf, out), u

    def base(self, psi: Array) -> Array:
        """(n, D) fixed part of the linear predictor."""
        return self.offset[:, None] + self.Q @ self.split(psi)[0].T

    def natural(self, factors: tuple[Array, ...], v1: Array, v2: Array) -> Array:
        """(D, q) random effects as the design orders them."""
        parts: dict[int, Array] = {}
        D, at = v1.shape[2], 0
        u1 = scaled(first_factor(self.rows, factors), v1)
        for t in self.rows.first:
            k = factors[t].shape[1]
            parts[t] = u1[at : at + k].transpose(2, 1, 0).reshape(D, -1)
            at += k
        u2 = spread(self.rows, factors, v2).T if self.rows.q2 else v2.T
        parts |= {t: u2[:, where] for t, where in self.rows.slices}
        return np.concatenate([parts[t] for t in range(len(self.design.random))], axis=1)

    def joint(self, psi: Array, u: Array) -> JointDraws:
        """Joint draws of everything."""
        return JointDraws((Predictor(self.beta(psi), u, self.factors(psi)),), self.aux(psi))

    def _parts(self, psi: Array) -> list[NDArray[np.intp]]:
        """Points with a density, in parts that fit in memory."""
        inside = np.flatnonzero((np.abs(psi) < FARTHEST).all(axis=1))
        count = max(1, -(-len(inside) * self.rows.width // HELD))
        return [part for part in np.array_split(inside, count) if len(part)]


def _lower(name: str) -> float:
    """Lower bound of an auxiliary parameter."""
    return float(AUXILIARY[name].bounds[0])


def build_target(design: Design, family: Family, priors: ResolvedPriors) -> GlmmTarget:
    """The posterior of one design under a family and scaled priors."""
    bare = replace(design, weights=None, known_sd=None)
    problem = replace(build_problem(bare, REML=False), sigma=1.0)
    rows, n = rows_of(design, family), len(design.y)
    R, inverse = triangle(design.X)
    Q = np.ascontiguousarray(orthogonal_columns(design.X, R, inverse)[rows.order]) * np.sqrt(n)
    coordinates = Coordinates(problem, priors, np.zeros(0))
    return GlmmTarget(rows, coordinates, priors, Q, R / np.sqrt(n))
