"""`effects`: from a fit and a question to a table.

The pipeline, one file for each step: the treatment and its values (treatment.py), the subgroups asked for
(subgroups.py, query.py), the rows averaged over as distinct cells (grid.py), the linear functional of each cell from
the fit, then one functional for each subgroup, C_S = sum over cells of w_i (c_i(high) - c_i(low)) / sum of w_i. On
the identity link the effect in subgroup S is exactly C_S (beta, u), so the fit is asked once about s rows, however
many rows or draws there are; one `apply` for all subgroups keeps their covariance joint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.effects.checks import check_options, not_estimable, warn_no_variation, warn_not_estimable
from mixedfx.effects.comparisons import find_comparison
from mixedfx.effects.grid import Grid, build_grid
from mixedfx.effects.result import Effects, Overall
from mixedfx.effects.subgroups import ByLike, block_diagonal, everybody, find_subgroups, read_plan
from mixedfx.effects.summary import summarize, take_rows
from mixedfx.effects.treatment import TreatmentLike, read_treatment
from mixedfx.results.protocol import Fit, NewLevels


def effects(
    fit: Fit,
    treatment: TreatmentLike,
    by: ByLike | None = None,
    subgroups: Mapping[str, str] | None = None,
    newdata: Any = None,
    weights: str | Sequence[float] | NDArray[np.float64] | None = None,
    comparison: str = "difference",
    scale: Literal["response", "link"] = "response",
    groups: Literal["fitted", "average", "integrate"] = "fitted",
    level: float = 0.95,
    new_levels: NewLevels = "sample",
    seed: int | None = None,
) -> Effects:
    """Average effects of a treatment, for everybody or for subgroups.

    Every row averaged over is taken twice, with the treatment set to one value and to another; the effect in a
    subgroup is the weighted average over its rows of the difference. Coefficients shared by both cancel; fixed and
    random effects that hold the treatment remain, with their joint uncertainty.

    Parameters
    ----------
    fit
        Any fit.
    treatment
        A column of the model. 0/1 or boolean: 1 minus 0. Text or categories: each level minus the first. A number:
        one unit more than the value each row has, which is the slope where the model is linear in it. A dictionary of
        one column chooses the values, the base first: ``{"style": ["Fully", "Some"]}`` is Some minus Fully,
        ``{"dose": [0, 10]}`` is 10 minus 0.
    by
        ``"race"``, or ``["race", "gender"]`` for one row per cell of the crossing, or ``[["race"], ["gender"]]`` for
        several margins in one table (``[]`` among them is everybody). Only combinations that occur have a row.
    subgroups
        Names and queries instead of `by`: ``{"Black boys": "race == 'Black' and gender == 'boy'"}``. Subgroups may
        overlap. A query compares columns with constants (``== != < <= > >= in``), joined with ``and``, ``or``,
        ``not``.
    newdata
        Rows to average over instead of the data of the fit: other people, or the cells of a census. A grouping column
        of the model may be missing: its effects are then set to the population mean, and a note says so.
    weights
        What each row counts for: a column, or one number per row. Population counts for poststratification. Where
        None, each row counts once; precision weights of the fit say how exact a row is, not how many people it stands
        for.
    comparison
        ``"difference"``.
    scale
        ``"response"`` or ``"link"``; the same on the identity link. Where the formula transforms the response,
        effects are in units of the transformed response.
    groups
        ``"fitted"`` keeps the random effects. ``"average"`` sets them to zero: the effect in an average group.
        ``"integrate"`` averages over the population of groups, on the identity link the same number.
    level
        Probability the intervals hold.
    new_levels
        What a level the fit has not seen gets: ``"sample"``, its population's distribution, each level independently,
        whose variance enters the interval (and a warning lists the levels); ``"population"``, the mean of it;
        ``"error"``.
    seed
        For fits that need random numbers to answer; REML fits need none.

    Returns
    -------
    Effects
        With `table`, `contrast`, `prob`, `plot`, `draws`.

    Raises
    ------
    EffectsError
        A question this fit cannot answer: a treatment that is not in the model, an unknown column, level or option, a
        subgroup without rows.
    DataError
        New data that lack a column the model needs, or (UnseenLevelError) hold a level unknown to its fixed part.

    Warns
    -----
    NoVariationWarning
        The formula does not let the effect vary over the subgroups asked about; the message holds one that does.
    IdentifiabilityWarning
        An effect needs columns that were dropped from the fit as aliased: the data do not determine it.
    UnseenLevelsWarning
        Levels of grouping factors that the fit has not seen, listed.

    Notes
    -----
    Intervals of a REML fit are normal, from the exact covariance of estimate minus truth given the estimated variances
    (theta-hat); the uncertainty of theta is left out, and the table says so. Where few groups say how much effects
    vary, this costs coverage: in simulations with 10 to 12 crossed groups and 400 rows, 90 % intervals of the effect
    in each group held it 76 to 81 times in 100, those of averages over all groups 90 times.

    Examples
    --------
    >>> import mixedfx as mx
    >>> star = mx.datasets.load("star")
    >>> fit = mx.lmer("math ~ small*race + small*gender + (1 + small | sch)", star)
    >>> eff = mx.effects(fit, "small", by=["race", "gender"])
    >>> eff.table[["race", "gender", "contrast"]].iloc[0].tolist()
    ['Black', 'boy', '1 - 0']
    """
    check_options(scale, groups, new_levels, level)
    design = fit.design
    chosen = find_comparison(comparison)
    treated = read_treatment(design, treatment)
    plan = read_plan(by, subgroups)
    grid = build_grid(design, treated, plan.columns, newdata, weights)
    asked = find_subgroups(plan, grid)

    stacked = grid.counterfactual(treated)
    cells = fit.design_for(stacked, new_levels=new_levels)
    if groups != "fitted":
        cells = _without_random(cells)
    # First the average outcome of every subgroup, and of everybody last, under every value; then what is compared.
    average = sparse.vstack([asked.averaging(grid.weight), everybody(grid).averaging(grid.weight)])
    averaging = block_diagonal(sparse.csr_array(average), len(treated.values))
    across = np.zeros((len(treated.pairs), len(treated.values)))
    for k, (high, low) in enumerate(treated.pairs):
        across[k, [high, low]] = chosen.coefficients
    k, s = len(across), len(asked.labels)
    comparing = sparse.csr_array(sparse.kron(across, sparse.eye_array(s + 1)))
    by_contrast = cells.combine(averaging).combine(comparing)
    order = np.arange(k * (s + 1)).reshape(k, s + 1)
    functional = take_rows(by_contrast, order[:, :s].T.ravel())
    concerned, aliased = not_estimable(design, stacked, comparing, averaging)
    warn_not_estimable((asked.labels[i // k] for i in np.flatnonzero(concerned[order[:, :s].T.ravel()])), aliased)
    overall = Overall(
        take_rows(by_contrast, order[:, s]),
        count=int(grid.count.sum()),
        weight=float(grid.weight.sum()),
        needs=aliased if concerned[order[:, s]].any() else (),
    )
    warn_no_variation(design, treated, plan.columns, grid, take_rows(by_contrast, order[0, :s]), groups=groups)

    keys = asked.keys.loc[asked.keys.index.repeat(k)].reset_index(drop=True)
    table = keys.assign(
        contrast=[treated.label(pair, chosen.label) for pair in treated.pairs] * s,
        n=np.repeat(asked.count, k),
        weight=np.repeat(asked.weight, k),
    )
    numbers = summarize(fit, functional, level, chosen.null, seed)
    table = pd.concat([table, numbers, pd.DataFrame({"unseen": functional.unseen})], axis=1)
    notes = _notes(fit, grid, cells, treated.column, groups=groups, new_levels=new_levels)
    table.attrs = {"level": level, "uncertainty": fit.uncertainty, "notes": list(notes)}
    return Effects(
        table=table,
        functional=functional,
        fit=fit,
        labels=tuple(np.repeat(np.array(asked.labels, dtype=object), k)),
        keys=tuple(asked.keys.columns),
        treatment=treated.column,
        comparison=chosen,
        level=level,
        notes=notes,
        overall=overall,
        seed=seed,
    )


def _without_random(cells: Functional) -> Functional:
    """Rows with every random effect at its population mean of zero."""
    return replace(cells, random=sparse.csr_array(cells.random.shape), new=sparse.csr_array(cells.new.shape))


def _notes(fit: Fit, grid: Grid, cells: Functional, treatment: str, *, groups: str, new_levels: str) -> tuple[str, ...]:
    """Collect what a reader must know to read the table."""
    notes = []
    if cells.averaged:
        names = " and ".join(cells.averaged)
        notes.append(f"newdata does not hold {names}: effects are averages over the population of {names}.")
    if grid.left_out:
        rows = "row was" if grid.left_out == 1 else "rows were"
        notes.append(f"{grid.left_out} {rows} left out because of a weight of zero.")
    if new_levels == "population" and (cells.unseen > 0).any():
        notes.append("Levels that the fit has not seen are at their population mean, without uncertainty of their own.")
    if groups != "fitted":
        notes.append(
            f'groups="{groups}": random effects are at their population mean; fixed effects of {treatment} count.'
        )
    response = fit.design.formula.response
    if response is not None and response not in fit.design.frame.columns:
        notes.append(f"Effects are in units of {response}.")
    return tuple(notes)
