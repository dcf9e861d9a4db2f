"""The likelihoods by which generalised linear mixed models compare; `mixedfx.inference.comparison` asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.glmm.batch import can_batch
from mixedfx.glmm.bootstrapping import BLOCK, TOGETHER
from mixedfx.glmm.penalised import refuse_penalised
from mixedfx.glmm.random_tests import null_block
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.state import GlmerState
from mixedfx.inference.common_probes import common_criteria


def criteria(fits: Sequence[GlmerState]) -> list[float]:
    """-2 log likelihoods of fits of one family, approximated alike; see `mixedfx.anova`.

    Numbers of nodes that ``nAGQ="auto"`` chose may differ: the criteria do not depend on them.

    Raises
    ------
    ModelError
        Maximum a posteriori estimates.
    OptionError
        Families, links, or numbers of nodes that differ.
    """
    for fit in fits:
        refuse_penalised(fit.solution.model, "mx.anova")
    families = {f"{fit.family.name}({fit.family.link.name})": None for fit in fits}
    if len(families) > 1:
        raise OptionError(
            f"the fits have different families or links: {', '.join(families)}; a likelihood-ratio test supposes that "
            "one model is a special case of the next",
            hint="Compare them by AIC, fit.aic: the likelihoods have all their constants.",
        )
    random = [fit for fit in fits if fit.design.random]
    nodes = sorted({fit.nAGQ for fit in random})
    if len(nodes) > 1 and any(fit.solution.settled is None for fit in random):
        raise OptionError(
            f"the fits approximate the likelihood differently: nAGQ={', '.join(map(str, nodes))}",
            hint=f"Fit all with the same, fit.update(nAGQ={nodes[-1]}).",
        )
    if any(fit.solution.iterative for fit in fits):
        return common_criteria([partial(_by_probes, fit.solution) for fit in fits], [fit.formula for fit in fits])
    return [fit.criterion for fit in fits]


def _by_probes(solution: GlmmSolution, begin: int, end: int) -> NDArray[np.float64]:
    """The criterion by each of the probes number `begin` to `end`; the same by all where it is exact."""
    if not solution.iterative:
        return np.full(end - begin, solution.criterion)
    from mixedfx.glmm.stochastic import StochasticEvaluation

    at = cast(StochasticEvaluation, solution.evaluation)
    return at.known + at.factorization.log_determinants(begin, end)


class Estimated(Protocol):
    """A fit with one or two linear predictors."""

    @property
    def solution(self) -> GlmmSolution: ...  # noqa: D102


def null_blocks(
    small: Estimated, large: Estimated
) -> tuple[Callable[[int, np.random.SeedSequence], NDArray[np.float64]], int]:  # fmt: skip
    """What simulates likelihood-ratio statistics from the smaller fit, and how many at once; see `mixedfx.anova`."""
    together = can_batch(small.solution) and can_batch(large.solution)
    return partial(null_block, _numbers(large.solution), _numbers(small.solution)), TOGETHER if together else BLOCK


def _numbers(solution: GlmmSolution) -> GlmmSolution:
    """A solution without the data frame, which workers do not need."""
    light: Any = None
    design = replace(solution.design, columns=light, spec=light, formula=light)
    return replace(solution, model=replace(solution.model, design=design))
