"""Modes of the posterior of phi: several starts, quasi-Newton steps with the exact gradient, curvature at the best.

The Hessian is taken by central differences of the gradient. Where it is not positive definite, or so flat that the normal
approximation would spread over many powers of e, eigenvalues are raised: the proposal is adapted afterwards anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from mixedfx.bayes.target import Target

Array = NDArray[np.float64]

FLATTEST = 1 / 9  # smallest eigenvalue of the negative Hessian: a spread of 3 on the logarithmic scale
STEP = 1e-4  # of the differences of the gradient
SAME = 1.5  # modes closer than this, in standard deviations of the best one's curvature, are one
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
    count = 0

    def objective(phi: Array) -> tuple[float, Array]:
        nonlocal count
        count += 1
        value, gradient = target.value_and_gradient(phi)
        return (-value, -gradient) if np.isfinite(value) else (1e10, np.zeros_like(phi))

    found = []
    for start in starting_points(target):
        result = optimize.minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-3, "maxiter": 200})
        found.append((float(result.fun), np.asarray(result.x)))
    found.sort(key=lambda pair: pair[0])
    value, phi = found[0]
    hessian = np.empty((len(phi), len(phi)))
    for i in range(len(phi)):
        step = np.zeros(len(phi))
        step[i] = STEP
        hessian[i] = (objective(phi + step)[1] - objective(phi - step)[1]) / (2 * STEP)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    values = np.maximum(values, FLATTEST)
    covariance = (vectors / values) @ vectors.T
    others: list[Array] = []
    for other_value, other in found[1:]:
        apart = [np.sqrt(np.sum((vectors.T @ (other - seen)) ** 2 * values)) for seen in (phi, *others)]
        stationary = np.abs(target.value_and_gradient(other)[1]).max() < 0.05
        if stationary and other_value - value < RELEVANT and min(apart) > SAME:
            others.append(other)
    return Mode(phi, -value, covariance, tuple(others), count)
