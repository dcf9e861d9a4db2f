r"""Confidence intervals of tau^2, and with it of tau, I^2 and H^2.

* Q-profile: the values tau^2 at which y'P y with weights 1 / (v + tau^2), which is then chi-square with k - p degrees
  of freedom, is neither too small nor too large (Viechtbauer 2007, Statistics in Medicine 26(1)).
* Generalised Q: the same of fixed weights, whose y'P y is a sum of weighted chi-squares (Jackson 2013, Research
  Synthesis Methods 4(3)).
* Profile likelihood: the values whose (restricted) log likelihood is less than half a chi-square quantile below the
  maximum (Hardy and Thompson 1996, Statistics in Medicine 15(6)).

I^2 = tau^2 / (tau^2 + s^2) and H^2 = 1 + tau^2 / s^2, with the typical sampling variance s^2 = (k - p) / tr P of the
weights 1 / v (Higgins and Thompson 2002, Statistics in Medicine 21(11)), rise with tau^2: their limits are those of
tau^2 put in.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from mixedfx.meta.measure import Array
from mixedfx.meta.roots import between
from mixedfx.meta.univariate.heterogeneity import solve_generalised_Q, solve_Q
from mixedfx.meta.univariate.likelihood import loglik
from mixedfx.meta.univariate.weighted import Effects

IntervalMethod = Literal["QP", "GENQ", "PL"]


def q_profile(effects: Effects, level: float) -> tuple[float, float]:
    """Limits of tau^2; both NaN where even 0 makes y'P y too small, so that the interval is empty."""
    from scipy import special

    tail = (1 - level) / 2
    df = effects.df
    small, large = (float(special.chdtri(df, p)[0]) for p in (1 - tail, tail))
    at_zero = float(effects.at(0.0).yPy[0])
    if at_zero < small:
        return np.nan, np.nan
    limits = [float(solve_Q(effects, np.array([target]))[0][0]) for target in (large, small)]
    return limits[0], limits[1]


def generalised_q(effects: Effects, weights: Array, level: float) -> tuple[float, float]:
    """Limits of tau^2 from the quadratic form with weights (k,); both NaN where the interval is empty."""
    tail = (1 - level) / 2
    low = solve_generalised_Q(effects, weights, tail)
    high = solve_generalised_Q(effects, weights, 1 - tail)
    return (np.nan, np.nan) if high == 0 else (low, high)


def profile_likelihood(effects: Effects, tau2: float, reml: bool, level: float) -> tuple[float, float]:
    """Limits of tau^2 around its maximum; the lower one is 0 where the curve does not fall enough."""
    from scipy import special

    top = float(loglik(effects.at(tau2), reml)[0])
    drop = float(special.chdtri(1.0, 1 - level)) / 2

    def depth(value: float) -> float:
        return top - float(loglik(effects.at(value), reml)[0]) - drop

    low = 0.0
    if tau2 > 0 and depth(0.0) > 0:
        low = between(depth, 0.0, tau2)
    high = 2 * tau2 + float(np.min(effects.v))
    while depth(high) < 0:
        high *= 2
    return low, between(depth, tau2, high)


def typical_variance(effects: Effects) -> Array:
    """(B,) typical sampling variance (k - p) / tr P of the weights 1 / v."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return effects.df / effects.at(0.0).trP


def i2(tau2: Array | float, typical: Array | float) -> Array:
    """Share of tau^2 in the variance of estimates, in per cent."""
    return 100 * np.asarray(tau2) / (np.asarray(tau2) + typical)


def h2(tau2: Array | float, typical: Array | float) -> Array:
    """Variance of estimates over their sampling variance."""
    return 1 + np.asarray(tau2) / typical
