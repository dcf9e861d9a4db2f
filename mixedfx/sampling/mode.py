"""Modes of the posterior of phi: several starts, quasi-Newton steps with the exact gradient, curvature at the best.

Where many points cost little more than one (`Target.batch`), the gradient and the Hessian are central differences of
the density at many points at once; elsewhere the gradient is exact, and the Hessian its differences. Where it is not
positive definite, or so flat that the normal approximation would spread over many powers of e, eigenvalues are raised:
the proposal is adapted afterwards anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import ModelError
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

FLATTEST = 1 / 9  # smallest eigenvalue of the negative Hessian: a spread of 3 on the logarithmic scale
STEP = 1e-4  # of first differences: of the exact gradient, and of the density for a gradient
SECOND_STEP = 3e-3  # of second differences of the density
SAME = 1.5  # modes closer than this, in standard deviations of the best one's curvature, are one
NOWHERE = 1e10  # stands for minus the log of a density that is zero
RELEVANT = 8.0  # modes this much lower in log density hold less than a thousandth of the probability


@dataclass(frozen=True, eq=False)
class Mode:
    """The highest mode found.

    Attributes
    ----------
    phi
        (d,) where.
    log_density
        How high.
    covariance
        (d, d) inverse of the negative Hessian.
    others
        Other modes that matter, lower.
    evaluations
        Evaluations of density and gradient used.
    """

    phi: Array
    log_density: float
    covariance: Array
    others: tuple[Array, ...]
    evaluations: int


def starting_points(target: Target) -> list[Array]:
    """The variation of the response shared between sigma and the random effects in three ways."""
    coordinates, collapsed = target.coordinates, target.collapsed
    problem, design = collapsed.problem, collapsed.design
    spread = np.sqrt(problem.ww[-1, -1] / max(problem.n - problem.p, 1))
    if problem.sigma is not None:  # rows were divided by their known standard deviations
        assert design.known_sd is not None
        spread *= float(np.sqrt(np.mean(design.known_sd**2)))
    if not spread > 0:
        spread = 1.0
    out = []
    for share in (0.5, 0.05, 2.0):
        phi = np.zeros(coordinates.size)
        if coordinates.has_sigma:
            phi[0] = np.log(spread * 0.7)
        for term, random in zip(coordinates.terms, design.random, strict=True):
            size = np.sqrt(np.mean(random.z**2, axis=0))
            phi[term.sds] = np.log(share * spread / np.where(size > 0, size, 1.0))
        out.append(phi)
    return out


def find_mode(target: Target) -> Mode:
    """The highest mode, and whether there are others."""
    from scipy import optimize

    objective = _Counted(target)
    found = []
    for start in starting_points(target):
        result = optimize.minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-3, "maxiter": 200})
        found.append((float(result.fun), np.asarray(result.x)))
    found.sort(key=lambda pair: pair[0])
    value, phi = found[0]
    if value >= NOWHERE:
        raise ModelError(
            "the posterior density is zero or not a number at every starting point",
            mend="Look for values in the response or the predictors that differ by many powers of ten.",
        )
    hessian = objective.hessian(phi)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    values = np.maximum(values, FLATTEST)
    covariance = (vectors / values) @ vectors.T
    others: list[Array] = []
    for other_value, other in found[1:]:
        apart = [np.sqrt(np.sum((vectors.T @ (other - seen)) ** 2 * values)) for seen in (phi, *others)]
        stationary = np.abs(objective(other)[1]).max() < 0.05
        if stationary and other_value - value < RELEVANT and min(apart) > SAME:
            others.append(other)
    return Mode(phi, -value, covariance, tuple(others), objective.count)


class _Counted:
    """Minus the log density with its gradient, counting evaluations."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.count = 0

    def __call__(self, phi: Array) -> tuple[float, Array]:
        d = len(phi)
        if self.target.batch is None:
            self.count += 1
            value, gradient = self.target.value_and_gradient(phi)
        else:
            self.count += 2 * d + 1
            steps = STEP * np.vstack([np.zeros(d), np.eye(d), -np.eye(d)])
            values = self.target.log_density(phi + steps)
            if not np.isfinite(values).all():
                return NOWHERE, np.zeros(d)
            value, gradient = float(values[0]), (values[1 : d + 1] - values[d + 1 :]) / (2 * STEP)
        if not np.isfinite(value):
            return NOWHERE, np.zeros(d)
        return -value, -gradient

    def hessian(self, phi: Array) -> Array:
        """(d, d) second derivatives of minus the log density."""
        d = len(phi)
        if self.target.batch is None:
            steps = STEP * np.eye(d)
            return np.array([(self(phi + step)[1] - self(phi - step)[1]) / (2 * STEP) for step in steps])
        i, j = np.triu_indices(d)
        one, other = SECOND_STEP * np.eye(d)[i], SECOND_STEP * np.eye(d)[j]
        points = np.concatenate([one + other, one - other, other - one, -one - other])
        self.count += len(points)
        values = -self.target.log_density(phi + points).reshape(4, -1)
        out = np.empty((d, d))
        out[i, j] = out[j, i] = (values[0] - values[1] - values[2] + values[3]) / (4 * SECOND_STEP**2)
        return out
