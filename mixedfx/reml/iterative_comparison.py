"""Criteria of fits by iteration for likelihood-ratio tests: common probes, as many as their differences need.

The signs that belong to a factor are the same in every model that has it, so that most of the Monte Carlo error of the
log determinants cancels in the difference of two models with crossed factors in common. What is left is the spread of
the probes' differences. It shrinks with the root of their number; where it would not come below `NEEDED` a test would
be a throw of dice, and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import MonteCarloError
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.stochastic import StochasticEvaluation
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solve import RemlSolution

Vector = NDArray[np.float64]

NEEDED = 0.1  # Monte Carlo error of a difference of deviances that a test may have
FIRST, MOST = 32, 1024  # probes


def common_criteria(solutions: Sequence[RemlSolution | LeastSquares], words: Sequence[str]) -> list[float]:
    """Criteria of `solutions`, smallest model first, with differences known to `NEEDED`.

    Parameters
    ----------
    solutions
        At least one of them by iteration.
    words
        What the models are called.

    Raises
    ------
    MonteCarloError
        Where `MOST` probes leave a difference less exact.
    """
    held = [np.zeros(0) for _ in solutions]
    probes = FIRST
    while True:
        held = [np.concatenate([old, _more(s, len(old), probes)]) for old, s in zip(held, solutions, strict=True)]
        errors = [float((b - a).std(ddof=1) / np.sqrt(probes)) for a, b in pairwise(held)]
        worst = int(np.argmax(errors))
        if errors[worst] <= NEEDED:
            return [float(criteria.mean()) for criteria in held]
        wanted = int(np.ceil(probes * 1.2 * (errors[worst] / NEEDED) ** 2))
        if wanted > MOST:
            raise MonteCarloError(
                f"the difference of deviances of {words[worst]} and {words[worst + 1]} is known to "
                f"{errors[worst]:.2g} after {probes} probes, and {NEEDED} would take about {wanted:,}",
                hint='Fit both with control={"solver": "direct"} where memory allows; a variance is tested by its '
                "standard error in fit.monte_carlo, a fixed effect by fit.test.",
            )
        probes = max(wanted, probes + FIRST)


def _more(solution: RemlSolution | LeastSquares, begin: int, end: int) -> Vector:
    """The criterion by each of the probes number `begin` to `end`; the same by all where it is exact."""
    if isinstance(solution, LeastSquares) or solution.monte_carlo is None:
        return np.full(end - begin, solution.criterion)
    at = cast(StochasticEvaluation, solution.joint.evaluation)
    return at.known + cast(IterativeFactorization, at.factorization).log_determinants(begin, end)
