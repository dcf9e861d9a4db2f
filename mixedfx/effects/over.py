"""`effects_over`: the effect of a treatment along a number, for a curve with its band.

At each of some values of the modifier, every row is given that value and taken under both values of the treatment:
the average over rows as they are but for the modifier. That keeps the mix of all other variables the same along the
curve, so that it shows the modifier and nothing that goes with it in the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.frame import column
from mixedfx.effects.effects import effects
from mixedfx.effects.result import Effects
from mixedfx.effects.treatment import TreatmentLike
from mixedfx.errors import EffectsError, check_count
from mixedfx.results.protocol import Fit

ROWS = 500  # rows of the data that each point averages over; more are drawn from, with a fixed seed
POINTS = 25


def effects_over(
    fit: Fit, treatment: TreatmentLike, over: str, by: str | None = None, *, points: int = POINTS, **options: Any
) -> Effects:
    """Effects of a treatment along a numeric column; ``.plot("lines")`` draws the curve with band and rug.

    Parameters
    ----------
    fit
        Of `mixedfx.lmer`, `mixedfx.glmer` or `mixedfx.bayes`.
    treatment
        As for `mixedfx.effects`.
    over
        A numeric column of the model.
    by
        A second column: a curve for each of its levels.
    points
        Values of `over`, evenly from its smallest to its largest; its own values where these are no more.
    **options
        Of `mixedfx.effects`, but for ``newdata``.

    Returns
    -------
    Effects
        One row for each value (and level).

    Raises
    ------
    EffectsError
        A column that the model does not have, or that is no number.

    Examples
    --------
    >>> import mixedfx as mx
    >>> star = mx.datasets.load("star")
    >>> fit = mx.lmer("math ~ small*read + (1 | sch)", star)
    >>> curve = mx.effects_over(fit, "small", "read", points=5)
    >>> curve.table["read"].tolist()
    [315.0, 393.0, 471.0, 549.0, 627.0]
    >>> curve.plot("lines").ax.get_xlabel()
    'read'
    """
    check_count("points", points, 2)
    frame: pd.DataFrame = fit.design.frame
    for name in (over, *([] if by is None else [by])):
        if name not in frame.columns:
            raise EffectsError(
                f"the model has no column {name!r}", hint=f"It has {', '.join(map(str, frame.columns))}."
            )
    own = column(frame, over)
    if not pd.api.types.is_numeric_dtype(own) or over in fit.design.terms.categories:
        raise EffectsError(f"{over!r} is no number in this model", hint=f'Use mx.effects(fit, ..., by="{over}").')
    values = np.unique(own.to_numpy(dtype=float))
    if len(values) > points:
        values = np.linspace(values[0], values[-1], points)
    rows = frame.sample(ROWS, random_state=0) if len(frame) > ROWS else frame
    newdata = pd.concat([rows.assign(**{over: value}) for value in values], ignore_index=True)
    if by is None:
        return effects(fit, treatment, by=over, newdata=newdata, **options)
    levels = list(dict.fromkeys(column(frame, by)))
    kept = column(rows, by).dtype
    parts = [newdata.assign(**{by: pd.Series([level] * len(newdata), dtype=kept)}) for level in levels]
    return effects(fit, treatment, by=[over, by], newdata=pd.concat(parts, ignore_index=True), **options)
