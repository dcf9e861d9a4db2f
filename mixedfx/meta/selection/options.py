"""What is asked of a selection model, checked; the fit that answers, with the warnings that belong to it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import (
    ConvergenceWarning,
    FewInIntervalWarning,
    MergedIntervalsWarning,
    OptionError,
    check_option,
    outside,
)
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.clusters import MECHANISMS
from mixedfx.meta.selection.estimate import SelectionInput, fit_selection
from mixedfx.meta.selection.fit import SelectionFit
from mixedfx.meta.selection.intervals import FEW, Alternative, Empty, interval_names, read_steps
from mixedfx.meta.selection.state import Source
from mixedfx.meta.selection.weights import WeightFunction, find_weight_function

SelectionType = Literal["stepfun", "halfnorm", "negexp", "logistic", "power", "beta"]
MechanismName = Literal["conditional", "joint", "best"]


@dataclass(frozen=True)
class Asked:
    """Weight function, steps, direction, mechanism, and what becomes of empty intervals."""

    function: WeightFunction
    steps: tuple[float, ...]
    alternative: Alternative
    mechanism: str
    empty: Empty

    def of(
        self, y: Array, offset: Array, X: Array, v: Array, codes: NDArray[np.intp] | None, tau2: float | None = None
    ) -> SelectionInput:
        """The same of estimates."""
        return SelectionInput(
            y, offset, X, v, self.function, self.steps, self.alternative, codes, self.mechanism, tau2, self.empty
        )


def read_selection(
    type: SelectionType, steps: Any, alternative: Alternative, mechanism: MechanismName, empty: Empty
) -> Asked:
    """Check the options.

    Raises
    ------
    OptionError
        Unknown ones; steps that are none, or are given to a function that has none.
    """
    function = find_weight_function(type)
    check_option("alternative", alternative, ("greater", "less", "two.sided"))
    check_option("mechanism", mechanism, tuple(MECHANISMS))
    check_option("empty", empty, ("refuse", "merge"))
    if function.smooth and not function.starts_at_step and steps is not None:
        raise OptionError(
            f"steps= are given to the {function.title} function, which has none", hint="Leave steps= out."
        )
    default = () if function.smooth else (0.05,) if alternative == "two.sided" else (0.025,)
    return Asked(function, read_steps(steps, default, 1 if function.smooth else None), alternative, mechanism, empty)


def selection_fit(
    given: SelectionInput, formula: str, names: tuple[str, ...], source: Source, level: float, before: str
) -> SelectionFit:
    """The fit, after its warnings."""
    estimate = fit_selection(given)
    _caveats(estimate.given, given.steps, estimate.maximum.converged)
    return SelectionFit(estimate, formula, names, source, level, before)


def _caveats(given: SelectionInput, asked: tuple[float, ...], converged: bool) -> None:
    """Warnings that go with an answer."""
    if given.steps != asked:
        lost = [step for step in asked if step not in given.steps]
        warnings.warn(
            "intervals without estimates were merged with others: the steps "
            f"{', '.join(f'{step:g}' for step in lost)} are gone, and {', '.join(f'{step:g}' for step in given.steps)} "
            "left",
            MergedIntervalsWarning,
            outside(),
        )
    if not given.function.smooth:
        counts = given.counted(given.steps)
        few = np.flatnonzero(counts <= FEW)
        if len(few):
            names = interval_names(given.steps)
            what = "clusters' best estimates" if given.codes is not None and given.mechanism == "best" else "estimates"
            warnings.warn(
                f"few {what} in an interval: " + ", ".join(f"{names[j]} has {counts[j]}" for j in few)
                + "; weights and means that rest on so few are uncertain beyond their standard errors",
                FewInIntervalWarning,
                outside(),
            )  # fmt: skip
    if not converged:
        warnings.warn(
            "the likelihood of the selection model has no certain maximum: a weight may have none, or the model too "
            "many parameters for these estimates",
            ConvergenceWarning,
            outside(),
        )
