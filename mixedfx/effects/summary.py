"""Intervals and probabilities of linear functionals, from whatever a fit answers.

An estimate that knows its intervals is asked for them (`IntervalEstimate`). Of another, mean and covariance are those
of a normal distribution, and intervals are mean +- z sd; or it answers from draws (it is not `exact`), and intervals
are quantiles of these.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.results.protocol import Fit, IntervalEstimate, LinearEstimate
from mixedfx.results.undetermined import determined

# The covariance of the whole table is never needed at once; blocks keep it small when a table has thousands of rows.
BLOCK = 1024


def summarize(fit: Fit, functional: Functional, level: float, null: float, seed: int | None) -> pd.DataFrame:
    """Estimate, sd, interval and probability of each row.

    Parameters
    ----------
    fit
        Any fit.
    functional
        (s) rows.
    level
        Probability the interval holds, 0 to 1.
    null
        The value that `prob_above_null` compares with.
    seed
        For fits that need random numbers to answer.

    Returns
    -------
    DataFrame
        (s,) columns estimate, sd, lower, upper, null, prob_above_null.
    """
    parts = []
    for estimate in _blocks(fit, functional):
        mean, sd = moments(estimate)
        lower, upper = interval(estimate, level, seed)
        above = probability(estimate, seed, greater=null)
        parts.append(np.column_stack([mean, sd, lower, upper, np.full(len(mean), null), above]))
    return pd.DataFrame(np.vstack(parts), columns=["estimate", "sd", "lower", "upper", "null", "prob_above_null"])


def inner_interval(fit: Fit, functional: Functional, level: float, seed: int | None) -> NDArray[np.float64]:
    """(s, 2) intervals at another level than the table's."""
    return np.vstack([np.column_stack(interval(e, level, seed)) for e in _blocks(fit, functional)])


def probabilities(
    fit: Fit, functional: Functional, seed: int | None, greater: float | None, less: float | None
) -> NDArray[np.float64]:
    """(s,) probability that each row is greater than, less than, or (both given) between two numbers."""
    return np.concatenate([probability(e, seed, greater, less) for e in _blocks(fit, functional)])


def moments(estimate: LinearEstimate) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(s,) means and standard deviations."""
    if knows_intervals(estimate):
        return np.asarray(estimate.mean), estimate.sd
    # Where an effect is a constant, rounding may leave a variance of -1e-20.
    return np.asarray(estimate.mean), np.sqrt(np.clip(np.diag(estimate.cov), 0.0, None))


def interval(
    estimate: LinearEstimate, level: float, seed: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(s,) lower and upper ends of central intervals."""
    if knows_intervals(estimate):
        lower, upper = estimate.interval(level).T
        return lower, upper
    if estimate.exact:
        mean, sd = moments(estimate)
        z = NormalDist().inv_cdf(0.5 + level / 2)
        return mean - z * sd, mean + z * sd
    lower, upper = np.quantile(estimate.draws(None, seed), [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return lower, upper


def probability(
    estimate: LinearEstimate, seed: int | None, greater: float | None = None, less: float | None = None
) -> NDArray[np.float64]:
    """(s,) probability of lying above `greater` and below `less`."""
    if knows_intervals(estimate):
        return estimate.probability(greater, less)
    from scipy.special import ndtr

    low = -np.inf if greater is None else greater
    high = np.inf if less is None else less
    if estimate.exact:
        mean, sd = moments(estimate)
        safe = np.where(sd > 0, sd, 1.0)
        # As differences of upper tails where both bounds lie above the mean: no cancellation far out.
        a, b = (low - mean) / safe, (high - mean) / safe
        inside = np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))
        return np.where(sd > 0, inside, np.where(np.isnan(mean), np.nan, (mean > low) & (mean < high)))
    return share_between(estimate.draws(None, seed), low, high)


def share_between(draws: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """(s,) share of the draws (D, s) between two numbers; NaN where draws are NaN."""
    return np.where(np.isnan(draws).any(axis=0), np.nan, np.mean((draws > low) & (draws < high), axis=0))


def knows_intervals(estimate: LinearEstimate) -> TypeGuard[IntervalEstimate]:
    """Whether an estimate says itself what its intervals are."""
    return estimate.own_intervals


def _blocks(fit: Fit, functional: Functional) -> list[LinearEstimate]:
    m = len(functional)
    if m <= BLOCK:
        return [determined(fit.apply(functional), functional)]
    pieces = [np.arange(start, min(start + BLOCK, m)) for start in range(0, m, BLOCK)]
    parts = [functional.take(piece) for piece in pieces]
    return [determined(fit.apply(part), part) for part in parts]
