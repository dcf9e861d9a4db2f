"""New rows that lack a value: a prediction of them is NaN, and that of the others what it would be without them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.design.alignment import aligned, row_labels
from mixedfx.design.design import Design
from mixedfx.design.frame import missing, opened
from mixedfx.errors import check_option

Table = pd.Series | pd.DataFrame
Na = Literal["pass", "raise"]
NA = ("pass", "raise")


def over_incomplete(
    design: Design, newdata: Any, weights: Any, na: Na, also: Collection[str], ask: Callable[[Any, Any], Any]
) -> Any:  # fmt: skip
    """Predictions of new rows, NaN where a row lacks a value that the prediction needs.

    Parameters
    ----------
    design
        The design of the fit.
    newdata
        Any frame; None for the rows of the fit, which lack nothing.
    weights
        As the caller gave them: those of the rows that are asked about go with them.
    na
        ``"pass"``, or ``"raise"``: whoever predicts refuses such rows.
    also
        Columns that are needed besides those of the design, where the new data have them.
    ask
        Rows and their weights -> a Series or frame with one line for each row, or the same number of lines for each.

    Returns
    -------
    Series or DataFrame
        As `ask` gives it, with lines for all rows.

    Raises
    ------
    OptionError
        For another `na`.
    """
    check_option("na", na, NA)
    if newdata is None or na == "raise":
        return ask(newdata, weights)
    given = opened(newdata)
    if not isinstance(given, pd.DataFrame):
        newdata = given = design.spec.fetch(given, also=also)  # a lazy frame is asked once, a reader has its rows once
    frame = design.spec.fetch(given, also=also)
    masks = missing(frame)
    if not masks:
        return ask(newdata, weights)
    lacking = np.any(list(masks.values()), axis=0)
    labels, n = row_labels(newdata), len(frame)
    if isinstance(newdata, pd.DataFrame):
        frame = newdata
    if not isinstance(weights, str | None):
        values = aligned(weights, labels, n, "weights")
        weights = np.asarray(values)[~lacking] if np.ndim(values) == 1 and len(values) == n else values
    return _spread(ask(frame.loc[~lacking] if labels is None else frame[~lacking], weights), lacking, labels)


def _spread(found: Table, lacking: np.ndarray, labels: pd.Index | None) -> Table:
    """Lines of complete rows among those of all rows."""
    n, complete = len(lacking), int((~lacking).sum())
    per = len(found) // complete if complete else 1
    place = np.flatnonzero(np.repeat(~lacking, per))
    index = (pd.RangeIndex(n) if labels is None else labels).repeat(per)

    def whole(values: pd.Series) -> Any:
        if isinstance(values.dtype, pd.CategoricalDtype):  # the category of each line, which no value decides
            names = values.cat.categories
            return pd.Categorical(np.tile(np.asarray(names), n), categories=names)
        out = np.full(n * per, np.nan)
        out[place] = values.to_numpy()
        return out

    if isinstance(found, pd.Series):
        made: Table = pd.Series(whole(found), index=index, name=found.name)
    else:
        made = pd.DataFrame({name: whole(values) for name, values in found.items()}, index=index)
    made.attrs = found.attrs
    return made
