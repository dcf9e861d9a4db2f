"""Criteria of linear mixed models by iteration, probe by probe; `mixedfx.inference.common_probes` compares them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference import common_probes
from mixedfx.pls.iterative import IterativeFactorization
from mixedfx.pls.stochastic import StochasticEvaluation
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solve import RemlSolution

Vector = NDArray[np.float64]


def common_criteria(solutions: Sequence[RemlSolution | LeastSquares], words: Sequence[str]) -> list[float]:
    """Criteria of `solutions`, at least one of them by iteration; see `mixedfx.inference.common_probes`."""
    return common_probes.common_criteria([partial(_by_probes, solution) for solution in solutions], words)


def _by_probes(solution: RemlSolution | LeastSquares, begin: int, end: int) -> Vector:
    """The criterion by each of the probes number `begin` to `end`; the same by all where it is exact."""
    if isinstance(solution, LeastSquares) or solution.monte_carlo is None:
        return np.full(end - begin, solution.criterion)
    at = cast(StochasticEvaluation, solution.joint.evaluation)
    return at.known + cast(IterativeFactorization, at.factorization).log_determinants(begin, end)
