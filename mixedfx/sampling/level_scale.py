r"""The weak prior of standard deviations over levels, for what intervals believe of variances that are estimated.

`mixedfx.reml.theta_prior` says why it is what it is; fits by REML and generalised linear mixed models share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.pls.problem import Problem
from mixedfx.priors.resolve import TermPrior
from mixedfx.sampling.coordinates import Coordinates

Array = NDArray[np.float64]

TURN = 10.0  # variances below this times sigma^2 / n are equally likely, above it they are so in their logarithm
FARTHEST = 30.0  # times the residual spread of the response: where the prior of a standard deviation falls off
ETA = 2.0  # of the LKJ prior of correlations
LEAST = 0.5  # start of a search: no standard deviation below this times the root of c D


@dataclass(frozen=True)
class LevelScale:
    """Prior of the standard deviation of an effect over levels: s / (s^2 + turn^2), falling off beyond `farthest`.

    Attributes
    ----------
    turn
        Standard deviation at which a density flat in the variance becomes one flat in the logarithm.
    farthest
        Where it falls off.
    """

    turn: float
    farthest: float

    def log_positive(self, x: Array) -> Array:
        """Log density at x > 0, up to a constant."""
        return np.log(x) - np.log(x**2 + self.turn**2) - np.log1p((x / self.farthest) ** 2)

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return 1.0 - 2.0 * x**2 / (x**2 + self.turn**2) - 2.0 * x**2 / (x**2 + self.farthest**2)


def level_priors(problem: Problem, turn: float, farthest: float, eta: float) -> tuple[TermPrior, ...]:
    """Prior of every random term: standard deviations of effects of unit mean square, columns less their means.

    Parameters
    ----------
    problem
        Whose covariates say what unit mean square is.
    turn, farthest
        Of `LevelScale`, for such effects.
    eta
        Of the LKJ prior of correlations.
    """
    found: dict[int, TermPrior] = {}
    for group in problem.factors:
        for block in group.blocks:
            shape = block.structure.sampled
            lines = block.structure.free and block.structure.k > 1
            basis = group.basis[block.columns, block.columns].copy()
            means = np.zeros(len(basis))
            if lines:  # what is left of the covariates when their mean, or multiple of the first, is taken out
                means[1:] = basis[0, 1:] / basis[0, 0]
                basis[0, 1:] = 0.0
            size = np.sqrt((basis**2).sum(axis=0))[: shape.n_sds]  # those who share one have columns of one unit
            sds: Any = tuple(LevelScale(float(turn / s), float(farthest / s)) for s in size)
            centre = tuple(map(float, means)) if lines else ()
            found[block.term] = TermPrior(sds, eta if shape.n_correlations else None, centre, lines)
    return tuple(found[t] for t in range(len(found)))


def moved_inside(coordinates: Coordinates, phi: Array) -> Array:
    """(d,) the point with no standard deviation far below where its prior turns; its log sds are raised in place."""
    for term in coordinates.terms:
        turns = [prior.turn for prior in term.prior.prior.sd if isinstance(prior, LevelScale)]  # type: ignore[union-attr]
        phi[term.sds] = np.maximum(phi[term.sds], np.log(LEAST * np.array(turns)))
    return phi
