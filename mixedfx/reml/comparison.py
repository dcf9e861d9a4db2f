"""The likelihoods by which fits of linear mixed models compare; `mixedfx.inference.comparison` asks for them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError, RefittedWarning, outside
from mixedfx.inference.nesting import same_span
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.random_tests import null_block
from mixedfx.reml.solution import maximum_likelihood
from mixedfx.reml.state import LmerState


def criteria(fits: Sequence[LmerState], refit: bool) -> list[float]:
    """-2 log likelihoods, or REML criteria with ``refit=False``; see `mixedfx.anova`."""
    solutions = [fit.solution for fit in fits]
    if refit and any(fit.REML for fit in fits):
        again = [m for m, fit in enumerate(fits) if fit.REML]
        warnings.warn(
            f"{len(again)} fit(s) by REML refitted by maximum likelihood for the comparison", RefittedWarning, outside()
        )
        for m in again:
            solutions[m] = maximum_likelihood(fits[m].design, solutions[m])
    elif len({fit.REML for fit in fits}) > 1:
        raise OptionError("some fits are by REML and some by maximum likelihood", hint="Leave refit=True.")
    elif fits[0].REML and not all(same_span(fits[0].design.X, fit.design.X) for fit in fits[1:]):
        raise OptionError(
            "REML criteria of models with different fixed parts cannot be compared", hint="Leave refit=True."
        )
    if any(not isinstance(s, LeastSquares) and s.monte_carlo is not None for s in solutions):
        from mixedfx.reml.iterative_comparison import common_criteria

        return common_criteria(solutions, [fit.formula for fit in fits])
    return [solution.criterion for solution in solutions]


BLOCK = 250  # responses that are simulated and fitted together


def null_blocks(
    small: LmerState, large: LmerState, refit: bool
) -> tuple[Callable[[int, np.random.SeedSequence], NDArray[np.float64]], int]:
    """What simulates likelihood-ratio statistics from the smaller fit, and how many at once; see `mixedfx.anova`."""
    pairs = []
    for fit in (large, small):
        solution = maximum_likelihood(fit.design, fit.solution) if refit and fit.REML else fit.solution
        pairs.append((_numbers(fit.design), solution))
    return partial(null_block, *pairs), BLOCK


def _numbers(design: Design) -> Design:
    """A design without the data frame, which workers do not need."""
    light: Any = None
    return design if design.dispersion is not None else replace(design, columns=light, spec=light, formula=light)
