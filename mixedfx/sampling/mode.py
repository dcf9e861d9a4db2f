r"""Modes of the posterior of phi, and the mass that the density has around each.

No diagnostic of draws can see a mode that was never proposed, so the search begins at several points: the variation of
the response shared between the residual and the random effects in three ways, and the maximum of the likelihood of the
variances alone, beta and u integrated out, which is the REML estimate (moved inside where it is singular). Each climbs
to a top of the posterior (`mixedfx.sampling.ascent`). Tops less than `SAME` standard deviations apart are one.

**Mass.** Around a top phi* with negative Hessian H the integral of the density is about (2 pi)^(d/2) |H|^(-1/2) p(phi*)
(Laplace). H comes from differences of the exact gradient; where it is not positive definite, or so flat that the normal
approximation would spread over many powers of e, eigenvalues are raised: a proposal made from it is adapted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ModelError
from mixedfx.sampling.ascent import ascend
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

SHARES = (0.5, 0.05, 2.0)  # of the residual standard deviation that effects have at the first starting points
FLATTEST = 1 / 9  # smallest eigenvalue of the negative Hessian: a spread of 3 on the logarithmic scale
STEP = 1e-4  # of first differences of the gradient
SAME = 1.5  # modes closer than this, in standard deviations of the better one's curvature, are one
RELEVANT = 8.0  # modes with this much less log mass than the best hold less than a thousandth of the probability
LEAST, STEEPEST = 1e-2, 2.0  # of a singular estimate: effects' sd in units of sigma, atanh of a partial correlation
NEAR_ENOUGH = 0.1  # largest derivative at the maximum of the likelihood, which is a starting point only


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode.

    Attributes
    ----------
    phi
        (d,) where.
    log_density
        How high.
    covariance
        (d, d) inverse of the negative Hessian.
    """

    phi: Array
    log_density: float
    covariance: Array

    @property
    def log_mass(self) -> float:
        """Laplace's approximation of the log of the integral of the density around the mode."""
        return self.log_density + 0.5 * (len(self.phi) * np.log(2 * np.pi) + np.linalg.slogdet(self.covariance)[1])

    def distance(self, phi: Array) -> Array:
        """(m,) distances of points (m, d), in standard deviations."""
        root = np.linalg.cholesky(self.covariance)
        return np.sqrt((np.linalg.solve(root, (phi - self.phi).T) ** 2).sum(axis=0))


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes that were found, the one with the largest mass first.

    Attributes
    ----------
    found
        Those that matter.
    starts
        Number of points that the search began at.
    evaluations
        Evaluations of density and gradient.
    """

    found: tuple[Mode, ...]
    starts: int
    evaluations: int

    @property
    def best(self) -> Mode:
        """The one with the largest mass."""
        return self.found[0]


def starting_points(target: Target) -> list[Array]:
    """The variation of the response shared between sigma and the random effects in three ways."""
    return [_shared(target, share) for share in SHARES]


def _shared(target: Target, share: float) -> Array:
    """The point where effects move the response by a share of its residual standard deviation under least squares."""
    problem = target.collapsed.problem
    spread = float(np.sqrt(problem.ww[-1, -1] / max(problem.n - problem.p, 1)))
    return target.coordinates.even(0.7 * (spread if spread > 0 else 1.0), share / 0.7)


def find_modes(target: Target, more: Sequence[Array] = ()) -> Modes:
    """Climb from every start, and from each of `more` (size,) points, and keep the modes that matter.

    Raises
    ------
    ModelError
        Where no start has a positive density.
    """
    count = 0

    def posterior(phi: Array) -> tuple[Array, Array]:
        nonlocal count
        count += len(phi)
        return target.values_and_gradients(phi)

    def likelihood(phi: Array) -> tuple[Array, Array]:
        nonlocal count
        count += len(phi)
        value, gradient = target.values_and_gradients(phi, prior=False)
        gradient[:, target.coordinates.mixing_first :] = 0.0  # precisions of the coefficients' priors stay at one
        return value, gradient

    starts, scale = [*starting_points(target), *more], _first_scale(target)
    estimate = ascend(likelihood, _shared(target, SHARES[0])[None], scale, NEAR_ENOUGH)
    if np.isfinite(estimate.value[0]):
        starts.append(_moved_inside(target, estimate.phi[0]))
    tops = ascend(posterior, np.array(starts), scale)
    order = np.argsort(-tops.value)
    order = order[np.isfinite(tops.value[order])]
    if len(order) == 0:
        raise ModelError(
            "the posterior density is zero or not a number at every starting point",
            hint="Look for values in the response or the predictors that differ by many powers of ten.",
        )
    modes: list[Mode] = []
    for top in order:
        phi = tops.phi[top]
        if all(mode.distance(phi[None])[0] > SAME for mode in modes):
            modes.append(Mode(phi, float(tops.value[top]), _covariance(posterior, phi)))
    modes.sort(key=lambda mode: -mode.log_mass)
    kept = tuple(mode for mode in modes if mode.log_mass > modes[0].log_mass - RELEVANT)
    return Modes(kept, len(starts), count)


def _moved_inside(target: Target, phi: Array) -> Array:
    """A maximum of the likelihood, where it may have run off towards sd = 0 or a correlation of one."""
    out, coordinates = phi.copy(), target.coordinates
    log_sigma = phi[0] if coordinates.has_sigma else np.log(target.collapsed.problem.sigma or 1.0)
    for term in coordinates.terms:
        out[term.sds] = np.maximum(phi[term.sds], np.log(LEAST / term.size) + log_sigma)
        out[term.partials] = np.clip(phi[term.partials], -STEEPEST, STEEPEST)
    return out


def _first_scale(target: Target) -> Array:
    """(d,) guess at the inverse curvature: a variance known from n terms has a logarithm with curvature n / 2."""
    coordinates, collapsed = target.coordinates, target.collapsed
    curvature = np.ones(coordinates.size)
    if coordinates.has_sigma:
        curvature[0] += 2.0 * max(collapsed.problem.n - collapsed.problem.p, 1)
    for term, random in zip(coordinates.terms, collapsed.design.random, strict=True):
        curvature[term.sds] += random.n_levels
        curvature[term.partials] += random.n_levels
    return 1.0 / curvature


def _covariance(density, phi: Array) -> Array:
    """(d, d) inverse of the negative Hessian, its eigenvalues raised to what a proposal can use."""
    d = len(phi)
    steps = STEP * np.eye(d)
    _, gradients = density(np.concatenate([phi + steps, phi - steps]))
    hessian = (gradients[d:] - gradients[:d]) / (2 * STEP)
    return bounded(hessian)


def bounded(hessian: Array) -> Array:
    """(d, d) inverse of a negative Hessian with eigenvalues of `FLATTEST` at least."""
    if not np.isfinite(hessian).all():
        return np.eye(len(hessian)) / FLATTEST
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    inverse = (vectors / np.maximum(values, FLATTEST)) @ vectors.T
    return (inverse + inverse.T) / 2  # symmetric to the last digit, as searches insist on
