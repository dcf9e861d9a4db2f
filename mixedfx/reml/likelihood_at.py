"""-2 log likelihood of a linear mixed model at parameters that are given, not estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.problem import build_problem

Array = NDArray[np.float64]


def deviance_at(design: Design, beta: Array, covariances: Sequence[Array], sigma: float) -> float:
    """-2 log likelihood at fixed effects, covariances of random effects and residual standard deviation.

    With the residual sum of squares r^2 at the best beta-hat given theta, that at another beta is
    r^2 + (beta - beta-hat)' X'V^{-1}X (beta - beta-hat).

    Parameters
    ----------
    design
        What was fitted; without a model of the residual standard deviations.
    beta
        (p,) fixed effects.
    covariances
        For each random term the (k, k) covariance of a level's effects.
    sigma
        Residual standard deviation.

    Raises
    ------
    OptionError
        Where covariances are of a structure, which their means may not have.
    """
    if design.dispersion is not None or any(term.covariance.entries is None for term in design.random):
        raise OptionError(
            "a likelihood at given parameters is for unstructured or diagonal covariances and one residual variance"
        )
    if not design.random:
        residual = design.precision.whiten(design.y - design.offset - design.X @ beta)
        known = len(residual) * np.log(2 * np.pi * sigma**2) - design.precision.log_determinant
        return float(known + residual @ residual / sigma**2)
    problem = build_problem(replace(design, scale=sigma), REML=False)
    theta = [
        term.covariance.theta(_lower(covariance) / sigma)
        for term, covariance in zip(design.random, covariances, strict=True)
    ]
    found = evaluate(problem, problem.parameters(np.concatenate(theta)), derivatives=False)
    apart = problem.R @ (beta - problem.shift) - found.gamma
    return found.criterion + float(apart @ found.S @ apart) / sigma**2


def _lower(covariance: Array) -> Array:
    """Lower factor of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.linalg.qr((vectors * np.sqrt(np.clip(values, 0.0, None))).T)[1].T
