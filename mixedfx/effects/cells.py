"""Effects over the rows of a fit that does not hold them: rows are read anew and counted into distinct cells.

Rows that agree in every column that matters count as one (`mixedfx.effects.grid`), so that nothing but the cells is
held. Where only differences of linear predictors are asked for, what does not interact with the treatment cancels: such
columns are set to one value before rows are compared, and a numeric covariate makes no cells of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Columns
from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.unheld import Unheld
from mixedfx.effects.grid import distinct
from mixedfx.effects.modifiers import effect_modifiers
from mixedfx.effects.treatment import Treatment
from mixedfx.errors import EffectsError

MOST = 2_000_000  # distinct cells


def answering_rows(fit: Any, treatment: Any = None) -> Any:
    """The fit, its design with a sample for a frame where it holds no rows; see `with_sample`."""
    design = getattr(fit, "design", None)
    if design is None or design.streamed is None or not isinstance(design.columns, Unheld):
        return fit
    name = next(iter(treatment)) if isinstance(treatment, Mapping) and len(treatment) == 1 else treatment
    return replace(fit, design=with_sample(design, name if isinstance(name, str) else None))


def with_sample(design: Design, treatment: str | None = None) -> Design:
    """The design with a sample of its rows for a frame, in which every level, and value of the treatment, occurs."""
    streamed: Any = design.streamed
    if streamed is None:
        return design
    frame: pd.DataFrame = streamed.learnt.sample
    if treatment is not None and treatment in frame.columns and pd.api.types.is_numeric_dtype(frame[treatment]):
        known = fetch(frame, treatment).unique()
        if len(known) <= 2:
            more = streamed.cache.get(treatment)
            if more is None:
                found: list[Any] = [fetch(part, treatment).unique() for part in streamed.frames()]
                more = streamed.cache[treatment] = np.setdiff1d(np.concatenate(found), np.asarray(known))
            if len(more):
                rows = frame.iloc[np.zeros(len(more), dtype=np.intp)].assign(**{treatment: more})
                frame = pd.concat([frame, rows], ignore_index=True)
    return replace(design, columns=Columns.of(frame))


def with_cells(
    design: Design, treated: Treatment, columns: Collection[str], weights: Any, *, cancels: bool, random: bool
) -> Design:  # fmt: skip
    """The design with the distinct cells of its rows for a frame, and how many rows each stands for.

    Parameters
    ----------
    design
        Of `with_sample`.
    treated
        What is compared.
    columns
        Columns that define subgroups.
    weights
        What rows count for: a column or a number; None: once.
    cancels
        Whether what does not interact with the treatment cancels.
    random
        Whether random effects count.

    Raises
    ------
    EffectsError
        Too many cells; weights as values for rows.
    """
    streamed: Any = design.streamed
    if weights is not None and not isinstance(weights, str | int | float):
        raise EffectsError(
            "weights are values for rows that the fit does not hold", hint="Name a column of the source that has them."
        )
    model = [c for c in design.terms.columns if treated.kind == "unit" or c != treated.column]
    matter = {*columns}
    matter |= effect_modifiers(design, treated.column, random=random) if cancels and treated.column else set(model)
    if treated.kind == "unit" and not (cancels and _affine(design, treated)):
        matter.add(treated.column)
    known = [c for c in streamed.columns if c in {*model, *columns, treated.column}]
    counts = weights if isinstance(weights, str) and weights in streamed.columns else None
    key = ("cells", tuple(known), frozenset(matter), counts)
    if key not in streamed.cache:
        streamed.cache[key] = _cells(streamed, known, matter, counts)
    frame, stands_for = streamed.cache[key]
    return replace(design, columns=Columns.of(frame), stands_for=stands_for)


def _affine(design: Design, treated: Treatment) -> bool:
    from mixedfx.effects.increments import affine_in

    return affine_in(design, treated.column) and not treated.slope


def _cells(
    streamed: Any, known: list[str], matter: Collection[str], weights: str | None
) -> tuple[pd.DataFrame, NDArray[np.int64]]:  # fmt: skip
    """Distinct cells, the mean of their weights among their columns, and their numbers of rows."""
    first: dict[str, Any] = {}
    waiting: list[tuple[pd.DataFrame, NDArray[np.float64]]] = []
    rows = 0
    for part in streamed.frames():
        frame = part[known].reset_index(drop=True)
        for name in known:
            first.setdefault(name, frame[name].iloc[0])
        own = frame.assign(
            **{
                name: pd.Series([first[name]] * len(frame), dtype=frame[name].dtype)
                for name in known
                if name not in matter
            }
        )
        w = np.ones(len(frame)) if weights is None else fetch(part, weights).to_numpy(dtype=np.float64)
        if (w < 0).any():
            raise EffectsError(f"weights are negative in the column {weights!r}")
        waiting.append(_merged(own, np.column_stack([np.ones(len(frame)), w])))
        rows += len(waiting[-1][0])
        if len(waiting) > 1 and rows > 2**19:
            waiting = [
                _merged(pd.concat([f for f, _ in waiting], ignore_index=True), np.vstack([s for _, s in waiting]))
            ]
            rows = len(waiting[0][0])
            if rows > MOST:
                numbers = [c for c in matter if c in known and pd.api.types.is_float_dtype(frame[c])]
                raise EffectsError(
                    f"the rows of the fit have more than {MOST:,} distinct cells"
                    + (f", as {', '.join(numbers)} takes many values" if numbers else ""),
                    hint="Name the rows to average over: newdata= a sample of them, or the cells of a census.",
                )
    frame, sums = _merged(pd.concat([f for f, _ in waiting], ignore_index=True), np.vstack([s for _, s in waiting]))
    if weights is not None:
        frame = frame.assign(**{weights: sums[:, 1] / sums[:, 0]})
    return frame, np.rint(sums[:, 0]).astype(np.int64)


def _merged(frame: pd.DataFrame, sums: NDArray[np.float64]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """One row for each distinct row of `frame`, and the sums (m, 2) over these."""
    first, cell, _ = distinct(frame)
    out = np.column_stack([np.bincount(cell, sums[:, j], len(first)) for j in range(sums.shape[1])])
    return frame.iloc[first].reset_index(drop=True), np.asarray(out, dtype=np.float64)
