r"""The weight function of a selection model with its interval, drawn.

Steps have the limits of the table of weights. A smooth weight has the standard error of its logarithm, which by the
delta method is the root of g'V g with g the derivatives of log w(p) by delta and V their covariance; its interval is
symmetric on the scale of logarithms. Where a parameter is at its boundary there is no standard error, and no band.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import check_level
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.report import weight_at, weights
from mixedfx.meta.selection.state import SelectionState
from mixedfx.meta.univariate.rma_report import critical_value
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes


POINTS = 400  # of a curve
SMALLEST = 1e-3  # p at which a curve begins
TIMES = 3.0  # the largest weight, or 1, that the axis shows of intervals


def weight_table(fit: SelectionState, level: float | None = None) -> pd.DataFrame:
    """Weights as `mixedfx.plots.weight_function` draws them: low and high, or p; mean, lower, upper; k."""
    level = fit.level if level is None else level
    check_level(level)
    given = fit.estimate.given
    if not given.function.smooth:
        table = weights(fit, level)
        ends = np.r_[0.0, given.steps, 1.0]
        lower = table["conf_low"].where(table["std_error"] > 0, table["estimate"])
        upper = table["conf_high"].where(table["std_error"] > 0, table["estimate"])
        columns = {"low": ends[:-1], "high": ends[1:], "mean": table["estimate"], "lower": lower, "upper": upper}
        return pd.DataFrame(columns | {"k": table["k"]})
    p = np.geomspace(SMALLEST, 1.0 - SMALLEST, POINTS)
    mean = weight_at(fit, p)
    half = np.nan_to_num(critical_value(np.inf, level) * _log_error(fit, p))  # no band at the boundary
    return pd.DataFrame({"p": p, "mean": mean, "lower": mean * np.exp(-half), "upper": mean * np.exp(half)})


def _log_error(fit: SelectionState, p: Array) -> Array:
    """(m,) standard errors of log w(p)."""
    given, at = fit.estimate.given, fit.estimate.at_weights
    assert given.function.log_weight is not None
    slope = given.function.log_weight(p, 1 - p, fit.delta)[1]
    if given.steps:
        begin = np.array(given.steps)
        slope = np.where(p > begin[0], slope - given.function.log_weight(begin, 1 - begin, fit.delta)[1], 0.0)
    return np.sqrt(np.einsum("am,ab,bm->m", slope, fit.estimate.maximum.covariance[at, at], slope))


def plot(fit: SelectionState, ax: Axes | None, level: float | None, **options: Any) -> Picture:
    """Picture behind `SelectionFit.plot`."""
    from mixedfx.plots.weight_function import weight_function

    side = "two-sided" if fit.estimate.given.alternative == "two.sided" else "one-sided"
    options = {"xlabel": f"p value ({side})", **options}
    table = weight_table(fit, level)
    axes = weight_function(table, ax=ax, **options)
    highest = TIMES * max(1.0, float(np.max(table["mean"].to_numpy(dtype=np.float64))))
    if axes.get_ylim()[1] > highest:  # the limit of a weight that few estimates tell says nothing by its height
        axes.set_ylim(0.0, highest)
    return Picture(axes)
