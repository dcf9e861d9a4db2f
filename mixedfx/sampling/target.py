"""The log posterior density of phi: collapsed likelihood plus prior, at many points, or at one with its gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.pls.collapsed import Collapsed, CollapsedEvaluation
from mixedfx.pls.collapsed_batch import CollapsedBatch, batch
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

    def value_and_gradient(self, phi: Array) -> tuple[float, Array]:
        """Log density and its (size,) gradient at one point; minus infinity and zeros where it underflows."""
        if not (np.abs(phi) < FARTHEST).all():
            return -np.inf, np.zeros(self.size)
        try:
            found = self.evaluate(phi, derivatives=True)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros(self.size)
        assert found.gradient is not None
        assert found.sigma_gradient is not None
        assert found.precision_gradient is not None
        points = phi[None]
        of_factors, of_precision = [G[None] for G in found.gradient], found.precision_gradient[None]
        at = self.coordinates.variances(points)
        gradient = self.coordinates.chain(points, at, of_factors, found.sigma_gradient, of_precision)
        value = found.value + float(self.coordinates.log_prior(points)[0])
        return value, (gradient + self.coordinates.prior_gradient(points))[0]


def build_target(design: Design, priors: ResolvedPriors) -> Target:
    """The posterior of one design under scaled priors."""
    problem = build_problem(design, REML=True)
    prior, df = coefficient_prior(design, priors)
    return Target(Coordinates(problem, priors, df), Collapsed(design, problem, prior))
