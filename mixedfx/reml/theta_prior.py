r"""The weak prior under which theta's uncertainty enters intervals of a REML fit, and the density of theta it gives.

The restricted likelihood alone is no distribution of theta: where it says that a variance may be zero, or where few
levels hardly bound it from above, something must say how much of each to believe. What is chosen here answers one
question: which prior makes intervals for what the levels do cover at their nominal rate, whatever the variances are?

**A standard deviation.** Take the columns of a term less their means, of unit mean square, and let s be the standard
deviation of an effect over J levels of n rows in all, so that a level's own rows say of it no more than D = sigma^2 J /
n, and all of them of the mean sigma^2 / n. The prior is

    p(s) proportional to s / (s^2 + c sigma^2 / n),    c = 10.

* Near zero it is proportional to s: flat in the variance. This is the prior under which the posterior variance of an
  effect is its mean squared error to second order (Datta, Rao & Smith 2005, Biometrika 92:183; Ganesh & Lahiri 2008,
  Biometrika 95:514), recommended for coverage by Morris & Tang (2011, Statistical Science 26:271), and the gamma(2)
  penalty that keeps estimates off the boundary (Chung, Rabe-Hesketh, Dorie, Gelman & Liu 2013, Psychometrika 78:685).
  A density that is positive at s = 0 shrinks too much: 90 % intervals cover 83 to 89 times in 100 on rung 5 of the
  ladder (`mixedfx.datasets.varying_effects`).
* Far above it is proportional to 1 / s: Jeffreys's prior of a scale. Where the data determine each level's effect, the
  interval of a new level then is the classical t interval with J - 1 degrees of freedom, and that of a mean agrees with
  Satterthwaite's. Flat in the variance throughout, it would have J - 3, and cover 100 times in 100 with 4 levels.
* It turns from one to the other at c D / J. With ten levels that is D, where Jeffreys's prior of the variance turns if
  D is known; fewer levels know less of the variance and need more of the first kind, many need less. c was chosen by
  simulation (benchmarks/studies.md): 90 % intervals of effects of 10 to 12 levels, of 120 cells with three rows each,
  of differences and of cells without rows cover 88 to 93 times in 100, and by 2 more with c = 40.
* Beyond `FARTHEST` times the spread of the response it falls off, so that a variance about which the data say nothing,
  as with a single level, has a distribution at all.

**Correlations** of the effects of these columns: LKJ(2), as in the default priors of `mixedfx.bayes`. **sigma**: 1 /
sigma, under which a fit without random terms has its exact t distribution. **beta**: flat, so that the likelihood is
the restricted one, whether the fit is by REML or by maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.pls.collapsed import Collapsed
from mixedfx.pls.problem import Problem
from mixedfx.priors.location import Flat
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.coefficients import coefficient_prior
from mixedfx.sampling.coordinates import Coordinates
from mixedfx.sampling.level_scale import ETA, FARTHEST, TURN, level_priors, moved_inside
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

NEAREST = 1e-4  # times the same: where the prior of sigma does
STEEPEST = 1.5  # start of a search: no partial correlation beyond the tanh of this


@dataclass(frozen=True)
class ResidualScale:
    """Prior of sigma: 1 / sigma, falling off below `nearest`, where the response would have no residual at all."""

    nearest: float

    def log_positive(self, x: Array) -> Array:
        """Log density at x > 0, up to a constant."""
        return np.log(x) - np.log(x**2 + self.nearest**2)

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return 1.0 - 2.0 * x**2 / (x**2 + self.nearest**2)


def theta_density(design: Design, problem: Problem, sigma: float) -> Target:
    """Restricted likelihood times the weak prior.

    Parameters
    ----------
    design, problem
        What was fitted, by REML or maximum likelihood.
    sigma
        Estimated residual standard deviation, which the prior turns by.
    """
    spread = np.sqrt(problem.ww[-1, -1] / max(problem.n - problem.p, 1))
    terms = level_priors(problem, float(np.sqrt(TURN / problem.n) * sigma), float(FARTHEST * spread), ETA)
    p = problem.p
    residual: Any = None if problem.sigma is not None else ResidualScale(float(NEAREST * spread))
    priors = ResolvedPriors("weak", (Flat(),) * p, np.zeros(p), residual, terms, True, ())
    coefficients, df = coefficient_prior(design, priors)
    return Target(Coordinates(problem, priors, df), Collapsed(design, problem, coefficients))


def starting_point(target: Target, sigma: float, factors: list[Array]) -> Array:
    """(d,) the estimate moved off its boundaries.

    Parameters
    ----------
    target
        From `theta_density`.
    sigma, factors
        Estimates: residual standard deviation, and for each factor of the problem the (k, k) relative factor T of the
        columns used.
    """
    return moved_inside(target.coordinates, target.coordinates.from_used(sigma, factors, steepest=STEEPEST))
