"""What an effect size measure is: one entry of a table, with the columns it needs, its formula and its variances.

An entry is data. `mixedfx.meta.effect_sizes.escalc` reads the columns, `layouts` checks them and treats zero cells, and
the entry's functions are pure: columns in, estimates and sampling variances out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # of float64 unless it is said to be another kind
Columns = Mapping[str, Array]
Estimate = Callable[[Columns], Array]
Variance = Callable[[Columns, Array], Array]


@dataclass(frozen=True)
class Measure:
    """An effect size measure.

    Attributes
    ----------
    name
        As users write it: ``"RR"``.
    title
        In words.
    layout
        Name of the kind of data in `mixedfx.meta.effect_sizes.layouts.LAYOUTS`.
    needs
        Columns it is computed from.
    estimate
        Columns (k,) each -> (k,) estimates.
    variances
        ``vtype`` -> function of columns and estimates -> (k,) sampling variances. The first is the default.
    source
        Where the formulas stand.
    add
        Constant added to zero cells where the caller names none.
    back
        Name in `mixedfx.meta.effect_sizes.transforms.BACK` of the function that leads back to the natural scale; ""
        for none.
    """

    name: str
    title: str
    layout: str
    needs: tuple[str, ...]
    estimate: Estimate
    variances: Mapping[str, Variance]
    source: str
    add: float = 0.5
    back: str = ""


def weighted_mean(values: Array, weights: Array) -> float:
    """Mean over the rows in which both are known."""
    known = np.isfinite(values) & np.isfinite(weights)
    return float(np.average(values[known], weights=weights[known])) if known.any() else np.nan


def table(*measures: Measure) -> dict[str, Measure]:
    """Measures by name."""
    return {measure.name: measure for measure in measures}
