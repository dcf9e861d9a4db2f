"""Responses and their means from draws of linear predictors: streams of blocks, summaries, new responses.

Everything that takes draws times rows numbers is done a block of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.estimate import blocks
from mixedfx.design.functional import Functional
from mixedfx.errors import DataError, OptionError
from mixedfx.families.facts import RowFacts

if TYPE_CHECKING:
    from mixedfx.bayes.state import PosteriorState
    from mixedfx.design.design import Design

Array = NDArray[np.float64]
Scale = Literal["response", "link"]
Kind = Literal["response", "link", "predictive"]


def row_facts(design: Design, newdata: Any = None) -> RowFacts:
    """Trials, weights and known standard deviations of the rows of the fit, or of new data.

    New data have the trials and standard deviations that their own columns say; their weights are 1.

    Raises
    ------
    DataError
        New data without a column that the left side of the formula needs.
    """
    if newdata is None:
        return RowFacts(design.trials, design.weights, design.known_sd)
    found = {
        addition.name: _left(design, newdata, addition.name, addition.argument) for addition in design.formula.additions
    }
    return RowFacts(found.get("trials"), None, found.get("se"))


def _left(design: Design, newdata: Any, name: str, expression: str) -> Array:
    """Evaluate what an addition on the left side says for new rows."""
    from mixedfx.design.expressions import Scope, columns_read, number
    from mixedfx.design.frame import column_names, plain, to_pandas

    names = [n for n in column_names(newdata) if isinstance(n, str)]
    alone = replace(design.formula, response=None, additions=(), fixed="1", random=(), offsets=(expression,))
    needed = list(columns_read(alone, design.spec.env, design.spec.kinds))
    lacking = [column for column in needed if column not in names]
    if lacking:
        raise DataError(
            f"new responses need {name}({expression}), and the new data have no column '{lacking[0]}'",
            mend="Add the column, or ask for kind='response'.",
        )
    frame = plain(to_pandas(newdata, needed or names[:1]))
    scope = Scope.of(design.spec.env, design.spec.contrasts)
    return number(expression, frame, scope, {}, np.arange(len(frame), dtype=np.intp), name)


def stream(
    fit: PosteriorState,
    functional: Functional,
    scale: Scale = "response",
    chosen: NDArray[np.intp] | None = None,
    rows: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Draws of the linear predictor or of the mean response of rows, a block at a time; see `PosteriorFit.stream`."""
    parameters = fit.joint.family_parameters(slice(None) if chosen is None else chosen)
    if rows is None and fit.categories:
        n = fit.n_draws if chosen is None else len(chosen)
        rows = max(1, 2**23 // (max(n, 1) * len(fit.categories)))
    for at, eta in blocks(functional, fit.joint, fit.seed, chosen, rows):
        yield at, _blanked(eta if scale == "link" else fit.family.mean(eta, parameters), functional, at)


def _blanked(values: Array, functional: Functional, at: slice) -> Array:
    """(D, b, ...) draws of a block of rows, NaN where the data do not determine the row."""
    if functional.null is None:
        return values
    lost = ~functional.null.take(at).estimable
    if lost.any():
        values = np.array(values, dtype=np.float64)
        values[:, lost] = np.nan
    return values


def together(found: Iterator[tuple[slice, Array]], n_draws: int, m: int, last: tuple[int, ...]) -> Array:
    """All blocks of a stream as one (D, m, ...) array; a single block as it is, which spares a copy."""
    out = np.empty((n_draws, 0, *last))
    for at, values in found:
        if values.shape[1] == m:
            return values
        if at.start == 0:
            out = np.empty((n_draws, m, *last))
        out[:, at] = values
    return out


def new_responses(
    fit: PosteriorState,
    functional: Functional,
    facts: RowFacts,
    rng: np.random.Generator,
    chosen: NDArray[np.intp] | None = None,
    rows: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Draws of new responses of rows, a block at a time; codes for categories."""
    parameters = fit.joint.family_parameters(slice(None) if chosen is None else chosen)
    for at, eta in blocks(functional, fit.joint, fit.seed, chosen, rows):
        yield at, _blanked(fit.family.draw(rng, eta, parameters, facts.take(at)), functional, at)


def summaries(found: Iterator[tuple[slice, Array]], m: int, last: tuple[int, ...], level: float) -> dict[str, Array]:
    """Mean, sd and equal-tailed interval of each row: (m, ...) arrays."""
    out = {name: np.empty((m, *last)) for name in ("estimate", "sd", "lower", "upper")}
    tails = [0.5 - level / 2, 0.5 + level / 2]
    for at, values in found:
        rows = np.ascontiguousarray(np.moveaxis(values, 0, -1))  # the draws of a row side by side: three times as fast
        out["estimate"][at] = rows.mean(axis=-1)
        out["sd"][at] = rows.std(axis=-1, ddof=1) if len(values) > 1 else np.nan
        out["lower"][at], out["upper"][at] = np.quantile(rows, tails, axis=-1, overwrite_input=True)
    return out


def prediction_table(
    found: dict[str, Array], index: pd.Index | None, names: tuple[str, ...], label: str
) -> pd.DataFrame:
    """One row for each row of the data; or, where there are several columns, for each row and column."""
    m = len(found["estimate"])
    index = pd.RangeIndex(m) if index is None else index
    if not names:
        return pd.DataFrame(found, index=index)
    table = pd.DataFrame({name: values.ravel() for name, values in found.items()}, index=index.repeat(len(names)))
    table.insert(0, label, pd.Categorical(list(names) * m, categories=list(names)))
    return table


def refuse_categories(fit: PosteriorState, what: str) -> None:
    """Refuse a question that needs a response that is a number."""
    if fit.categories:
        raise OptionError(
            f"{what} have no meaning for the categories of a {fit.family.name} response",
            mend="Use kind='response' for the probability of each category, or fit.simulate().",
        )
