"""Sums over rows from which the raw estimate of any subgroup follows; see `mixedfx.effects.shrinkage` for what it is.

The mean of some rows is sum w y / sum w, and its standard error needs sum w y^2 besides: sums over the rows of a cell,
which add up over the cells of a subgroup; a slope needs sum w x, sum w x^2 and sum w x y too. Responses and numeric
treatments are counted from their mean, so that nothing is lost in squares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.frame import column as fetch
from mixedfx.design.labels import level_label
from mixedfx.effects.quantities import functional_of
from mixedfx.effects.reported_fit import ReportedFit
from mixedfx.effects.shrinkage import raw_weights, responses, slope_factor
from mixedfx.effects.state import EffectsState
from mixedfx.explorer.content import Column, Raw, SlopeSums, Steps

Array = NDArray[np.float64]


def raw_sums(effects: EffectsState, columns: tuple[Column, ...], undone: Callable[[Any], Steps]) -> Raw | None:
    """Sums over the rows of the fit; None where a subgroup has no raw estimate.

    Parameters
    ----------
    effects
        An answer over one crossing.
    columns
        The columns of the crossing and their levels.
    undone
        Names the steps of a transformation.
    """
    question = effects.question
    if question.scale == "link" and not effects.fit.family.identity:
        return None
    if isinstance(effects.fit, ReportedFit):
        return _reported(effects, effects.fit)
    frame, design = effects.fit.design.frame, effects.fit.design
    treated, comparison = question.treated, effects.comparison
    if any(column.name not in frame.columns for column in columns):
        return None
    of_unit = comparison is not None and treated.kind == "unit"
    if of_unit and comparison is not None and not comparison.plain:
        return None
    factor = slope_factor(effects) if of_unit else 1.0
    codes = np.full((len(frame), len(columns)), -1, dtype=np.intp)
    for k, column in enumerate(columns):
        place = {key: i for i, key in enumerate(column.keys)}
        codes[:, k] = [place.get(level_label(value), -1) for value in fetch(frame, column.name)]
    known = (codes >= 0).all(axis=1)
    cells, cell = np.unique(codes[known], axis=0, return_inverse=True)
    cell, c = cell.ravel(), len(cells)
    Y = np.stack([np.asarray(y, dtype=np.float64)[known] for y in responses(effects)])
    weight, errors = raw_weights(design, len(frame))
    weight = weight[known]
    centre = float(np.average(Y[0], weights=weight)) if errors == "rows" and len(Y) == 1 else 0.0
    arms = [np.ones(len(cell), dtype=bool)]
    if comparison is not None and not of_unit:
        column = fetch(frame, treated.column)
        arms = [(column == value).to_numpy(dtype=bool)[known] for value in treated.values]

    def sums(of: Array) -> Array:
        found = [[np.bincount(cell[a], weights=of_y[a], minlength=c) for of_y in of] for a in arms]
        return np.array(found, dtype=np.float64)

    ones = np.ones_like(Y)
    slope = None
    if of_unit:
        x = fetch(frame, treated.column).to_numpy(dtype=float)[known]
        x = x - x.mean()
        slope = SlopeSums(sums(ones * weight * x), sums(ones * weight * x**2), sums((Y - centre) * weight * x), factor)
    back = question.back if not question.bias_adjust and slope is None else None
    return Raw(
        errors=errors,
        codes=cells,
        count=sums(ones).astype(np.int64),
        sw=sums(ones * weight),
        swy=sums((Y - centre) * weight),
        swyy=sums((Y - centre) ** 2 * weight),
        centre=centre,
        comparison=None if comparison is None else comparison.name,
        pairs=tuple(treated.pairs),
        back=() if back is None else undone(back),
        slope=slope,
    )


def _reported(effects: EffectsState, fit: ReportedFit) -> Raw | None:
    """Estimates that were reported, with the covariance of their errors."""
    functional = functional_of(effects.quantities)
    if functional is None:
        return None
    J = effects.per_subgroup
    L = functional.fixed
    rows = [np.arange(j, len(L), J) for j in range(J)]
    none = np.zeros((1, 1, len(L) // J))
    return Raw(
        errors="reported",
        codes=np.zeros((len(L) // J, 0), dtype=np.intp),
        count=none.astype(np.int64), sw=none, swy=none, swyy=none,
        estimates=np.stack([L[at] @ fit.estimates for at in rows]),
        cov=np.stack([L[at] @ fit.covariance @ L[at].T for at in rows]),
    )  # fmt: skip
