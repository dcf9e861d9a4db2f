"""Satterthwaite's degrees of freedom of a fit by iteration: average information in the place of second derivatives.

The gradient of c'vcov c along theta is exact (`mixedfx.inference.covariance_derivatives`), from products that were
solved for. The second derivatives of the profiled criterion are the average information of the fit (Gilmour, Thompson
& Cullis 1995), whose difference from them has the mean zero at the estimate; differences of a stochastic score would
cost solves and say no more. Degrees of freedom are as exact as that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.design.design import Design
from mixedfx.inference.covariance_derivatives import Products, _level_outer, _unrotation
from mixedfx.inference.satterthwaite import Satterthwaite, assembled
from mixedfx.pls.problem import Problem
from mixedfx.pls.stochastic import StochasticEvaluation, evaluate_by_probes

Vector = NDArray[np.float64]


def satterthwaite_by_information(problem: Problem, at: StochasticEvaluation, design: Design | None) -> Satterthwaite:
    """Pieces of Satterthwaite's method at the estimate of a fit by iteration; see `satterthwaite`.

    Parameters
    ----------
    problem, at
        The fit; evaluated once more where it ended in another order of columns than it is told in.
    design
        What was fitted, for hypotheses of several contrasts.

    Warns
    -----
    DegreesOfFreedomWarning
        Where the criterion does not bend upwards in some direction of theta.
    """
    if at.information is None:
        at = evaluate_by_probes(problem, at.par, at.probes)
    assert at.information is not None
    p = problem.p
    F = [_level_outer(part) for part in at.H]
    hh = [part.T @ part for part in at.h]
    S_inverse = linalg.inv(at.S) if p else np.eye(p)
    second = np.concatenate([part.reshape(-1, p) for part in at.H[1:]])
    found = Products((at.H[0], second), F, hh, S_inverse, _unrotation(problem))
    return assembled(problem, at, found, lambda active: np.asarray(at.information)[np.ix_(active, active)], design)
