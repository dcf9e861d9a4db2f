"""The log posterior density of phi: collapsed likelihood plus prior, at many points, or at one with its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.pls.collapsed import Collapsed, CollapsedEvaluation
from mixedfx.pls.collapsed_batch import CollapsedBatch, batch
from mixedfx.pls.collapsed_points import CollapsedPoints, one_by_one, points_of
from mixedfx.pls.problem import build_problem
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.coefficients import coefficient_prior
from mixedfx.sampling.coordinates import Coordinates

Array = NDArray[np.float64]

FARTHEST = 60.0  # coordinates beyond this, on logarithmic scales, have no density that a computer can tell from zero


@dataclass(frozen=True, eq=False)
class Target:
    """The posterior of phi given the data, beta and u integrated out.

    Attributes
    ----------
    coordinates
        What phi is.
    collapsed
        The likelihood.
    """

    coordinates: Coordinates
    collapsed: Collapsed

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.coordinates.size

    @cached_property
    def as_stated(self) -> Target | None:
        """The same posterior in the basis that its priors are stated for; None where that is the one it is in.

        `Coordinates.translated` takes points from one to the other, and log densities differ by its Jacobian.
        """
        other = replace(self.coordinates, as_stated=True)
        if all(term.basis.stated is None for term in self.coordinates.terms):
            return None
        return Target(other, self.collapsed)

    @cached_property
    def batch(self) -> CollapsedBatch | None:
        """Evaluation at many points at once, where the model allows it."""
        return batch(self.collapsed)

    @cached_property
    def points(self) -> CollapsedPoints | None:
        """Evaluation of value and gradient at many points at once, in models of moderate size."""
        return points_of(self.collapsed)

    def log_density(self, phi: Array) -> Array:
        """(D,) log of likelihood times prior at (D, size) points, Jacobians included.

        Minus infinity where it underflows.
        """
        out = np.full(len(phi), -np.inf)
        inside = np.flatnonzero((np.abs(phi) < FARTHEST).all(axis=1))
        if len(inside) == 0:
            return out
        points = phi[inside]
        at = self.coordinates.variances(points)
        T = self.coordinates.relative_factors(at)
        if self.batch is not None:
            loglik = self.batch.loglik(T, at.sigma, at.mixing)
        elif self.points is not None:
            loglik = self.points.loglik(T, at.sigma, at.mixing)
        else:
            loglik = np.array([self._one(T, at, d) for d in range(len(points))])
        out[inside] = loglik + self.coordinates.log_prior(points)
        return np.where(np.isnan(out), -np.inf, out)

    def _one(self, T: list[Array], at, d: int) -> float:
        try:
            return self.collapsed.evaluate([one[d] for one in T], at.sigma[d], at.mixing[d]).value
        except np.linalg.LinAlgError:
            return -np.inf

    def evaluate(self, phi: Array, derivatives: bool = False) -> CollapsedEvaluation:
        """The collapsed likelihood at one point (size,), factor included.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the factorisation breaks down.
        """
        at = self.coordinates.variances(phi[None])
        T = [one[0] for one in self.coordinates.relative_factors(at)]
        return self.collapsed.evaluate(T, float(at.sigma[0]), at.mixing[0], derivatives)

    def draw(self, phi: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """(D, p) and (D, q) exact draws of (beta, u), one for each point (D, size)."""
        collapsed = self.collapsed
        if len(phi) == 0:
            return np.zeros((0, collapsed.problem.p)), np.zeros((0, collapsed.design.n_random))
        together = self.batch or self.points
        if together is not None:
            at = self.coordinates.variances(phi)
            return together.draw(self.coordinates.relative_factors(at), at.sigma, at.mixing, rng)
        parts = [collapsed.draw(self.evaluate(point), 1, rng) for point in phi]
        return np.concatenate([b for b, _ in parts]), np.concatenate([u for _, u in parts])

    def values_and_gradients(self, phi: Array, prior: bool = True) -> tuple[Array, Array]:
        """(D,) log densities and (D, size) exact gradients at (D, size) points; minus infinity and zeros at underflow.

        Points are evaluated together where that pays. Without the prior they are those of the likelihood.
        """
        values, out = np.full(len(phi), -np.inf), np.zeros(phi.shape)
        inside = np.flatnonzero((np.abs(phi) < FARTHEST).all(axis=1))
        if len(inside) == 0:
            return values, out
        points = phi[inside]
        at = self.coordinates.variances(points)
        T = self.coordinates.relative_factors(at)
        if self.points is not None:
            found = self.points.gradients(T, at.sigma, at.mixing)
        else:
            found = one_by_one(self.collapsed, T, at.sigma, at.mixing)
        value = found.value
        gradient = self.coordinates.chain(points, at, found.of_factors, found.of_sigma, found.of_precision)
        if prior:
            value = value + self.coordinates.log_prior(points)
            gradient += self.coordinates.prior_gradient(points)
        fine = np.isfinite(value) & np.isfinite(gradient).all(axis=1)
        values[inside[fine]], out[inside[fine]] = value[fine], gradient[fine]
        return values, out

    def value_and_gradient(self, phi: Array) -> tuple[float, Array]:
        """Log density and its (size,) gradient at one point; minus infinity and zeros where it underflows."""
        values, out = self.values_and_gradients(phi[None])
        return float(values[0]), out[0]


def build_target(design: Design, priors: ResolvedPriors) -> Target:
    """The posterior of one design under scaled priors."""
    problem = build_problem(design, REML=True)
    prior, df = coefficient_prior(design, priors)
    return Target(Coordinates(problem, priors, df), Collapsed(design, problem, prior))
