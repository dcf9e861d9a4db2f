"""`rake`: weights of cells that reproduce known margins.

What a user gives is read, or refused with the column, the rows and the level concerned, here; the weights themselves
are found in margins.py. Rows that agree in all margins are multiplied by one number, so the work is done on distinct
cells, and cells that start at zero or belong to a level with a total of zero stay out of it with a weight of zero.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import missing, to_pandas
from mixedfx.design.labels import level_label
from mixedfx.effects.margins import conflict, fit_margins
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError, some_rows

Array = NDArray[np.float64]
Margins = Mapping[Any, Mapping[Any, float] | pd.Series]
EXAMPLE = 'Write {"race": {"Black": 30, "White": 70}}.'


@dataclass(frozen=True, eq=False)
class _Margin:
    """One margin: the level of each cell (-1 where the cell has no weight to give) and the total of each level."""

    name: str
    code: NDArray[np.intp]
    levels: list[Any]
    target: Array


def rake(
    cells: Any,
    margins: Margins,
    weights: str | Sequence[float] | NDArray[np.float64] | None = None,
    tol: float = 1e-9,
    max_iter: int = 2000,
) -> pd.Series:
    """Weights for the cells of a table whose margins are known and whose joint distribution is not.

    Parameters
    ----------
    cells
        One row for each cell (or person); any frame narwhals understands. A column that a margin is about has no
        missing values in rows that have a weight.
    margins
        Column -> totals of its levels, ``{"race": {"Black": 30, "White": 70}}``, a dictionary or a pandas Series; a
        tuple of columns for a joint margin, with tuples of levels. Levels are those of the cells that are written
        alike, 1 or "1". Each stands once. All margins have the same grand total.
    weights
        Where to start: a column, or one number for each cell; what the margins do not say about the joint distribution
        stays as it is here. Cells start equal where None. Zero stays zero.
    tol
        Largest relative error of a total.
    max_iter
        Most iterations: passes over all margins, and steps of Newton's method where these converge too slowly.

    Returns
    -------
    Series
        One weight for each cell, named ``"weight"``, in the order of `cells`; ``attrs`` holds iterations,
        largest_error and design_effect: Kish's n sum(w^2) / sum(w)^2 over the n rows with a weight, by which unequal
        weights multiply the variance of a mean where rows are people. Give it as ``weights=`` to `mixedfx.effects` or
        `mixedfx.poststratify`. Of all weights that reproduce the margins these are nearest to those at the start,
        whatever the order of rows.

    Raises
    ------
    EffectsError
        Margins that no weights reproduce (naming the levels in conflict), cells with a missing value, levels without
        cells or cells without a total, a level given twice, totals or weights that are none; or no convergence.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> cells = pd.DataFrame({"race": ["Black", "Black", "White", "White"], "sex": ["f", "m", "f", "m"]})
    >>> w = mx.rake(cells, {"race": {"Black": 30, "White": 70}, "sex": {"f": 50, "m": 50}})
    >>> w.round(6).tolist()
    [15.0, 15.0, 35.0, 35.0]
    """
    from mixedfx.design.alignment import beside

    weights = beside(weights, cells, "weights")
    frame = to_pandas(cells)
    if not isinstance(margins, Mapping):
        raise EffectsError(
            f"margins must be a dictionary of columns and the totals of their levels, not a {type(margins).__name__}",
            hint=EXAMPLE,
        )
    if not margins:
        raise EffectsError("rake needs at least one margin", hint=EXAMPLE)
    if not (_is_number(tol) and 0 < tol < 1):
        raise EffectsError(f"tol must be a number between 0 and 1, not {tol!r}", hint="The default is 1e-9.")
    if not (_is_number(max_iter) and max_iter >= 1 and float(max_iter).is_integer()):
        raise EffectsError(f"max_iter must be a whole number of 1 or more, not {max_iter!r}")
    start = _start(weights, frame)
    read = [_read(key, totals, frame, start > 0) for key, totals in margins.items()]
    _check_grand_totals(read, tol)
    weight, iterations, error = _solve(read, start, tol, int(max_iter))
    index = getattr(cells, "index", None)
    out = pd.Series(weight, index=index if isinstance(index, pd.Index) else None, name="weight")
    design_effect = float((weight > 0).sum() * (weight**2).sum() / weight.sum() ** 2)
    out.attrs = {"iterations": iterations, "largest_error": error, "design_effect": design_effect}
    return out


def _solve(read: list[_Margin], start: Array, tol: float, max_iter: int) -> tuple[Array, int, float]:
    """Weights of all rows, iterations and the largest error, from distinct cells that have a weight."""
    live = (start > 0) & np.all([m.target[m.code] > 0 for m in read], axis=0)
    kept = [np.flatnonzero(m.target > 0) for m in read]
    names = [(m.name, m.levels[i]) for m, levels in zip(read, kept, strict=True) for i in levels]
    target = np.concatenate([m.target[levels] for m, levels in zip(read, kept, strict=True)])
    codes, first = np.empty((len(read), int(live.sum())), dtype=np.intp), 0
    for j, (margin, levels) in enumerate(zip(read, kept, strict=True)):
        place = np.full(len(margin.target), -1, dtype=np.intp)
        place[levels] = first + np.arange(len(levels))
        codes[j], first = place[margin.code[live]], first + len(levels)
    key = codes[0]
    for code in codes[1:]:
        key = np.unique(key * len(target) + code, return_inverse=True)[1].reshape(-1)
    _, at, which = np.unique(key, return_index=True, return_inverse=True)
    cells, which = codes[:, at], which.reshape(-1)
    total = np.bincount(which, weights=start[live], minlength=cells.shape[1]).astype(np.float64)
    reached = np.bincount(cells.ravel(), minlength=len(target)) > 0
    if not reached.all():
        empty = [names[i] for i in np.flatnonzero(~reached)]
        raise _conflict([f"{name} = {level!r} has only cells whose other totals are zero" for name, level in empty])
    found = fit_margins(total, cells, target, tol, max_iter)
    if found.error > tol:
        off = conflict(cells, target)
        if off.any():
            worst = np.argsort(-np.abs(off) / target, kind="stable")[:3]
            raise _conflict(
                [
                    f"{names[i][0]} = {names[i][1]!r} is {abs(off[i]):,.6g} {'over' if off[i] > 0 else 'short'}"
                    for i in worst
                    if abs(off[i]) > 1e-9 * target.sum()
                ]
            )
        raise EffectsError(
            f"the weights did not converge: after {found.iterations} iterations the largest relative error of a total "
            f"is {found.error:.2g}",
            hint=f"The margins do not conflict: raise max_iter (now {max_iter}) or tol (now {tol:g}).",
        )
    weight = np.zeros(len(start))
    weight[live] = start[live] * (found.weight / total)[which]
    return weight, found.iterations, found.error


def _conflict(reasons: list[str]) -> EffectsError:
    return EffectsError(
        "the margins cannot all hold: no weights of zero or more reproduce them. At best, " + "; ".join(reasons),
        hint="Check these totals; where cells that start at zero stand in their way, start them from a small weight.",
    )


def _start(weights: Any, frame: pd.DataFrame) -> Array:
    """(n,) starting weights."""
    n, what = len(frame), "weights"
    if isinstance(weights, str):
        if weights not in frame.columns:
            hint = did_you_mean(weights, frame.columns, all_of="Columns")
            raise EffectsError(f"weights: the cells have no column {weights!r}", hint=hint)
        what, weights = f"the column of weights {weights!r}", frame[weights]
    if n == 0:
        raise EffectsError("the table of cells has no rows")
    if weights is None:
        return np.ones(n)
    try:
        series = isinstance(weights, pd.Series)
        weight = weights.to_numpy(dtype=np.float64, na_value=np.nan) if series else np.array(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise EffectsError(
            f"{what} must be {n} numbers, one for each cell", hint="Make them numbers: pd.to_numeric(...)."
        ) from None
    if weight.shape != (n,):
        raise EffectsError(f"weights must be {n} numbers, one for each cell, not an array of shape {np.shape(weights)}")
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise EffectsError(
            f"{what} must be zero or more, and none missing: they are not in {some_rows(np.flatnonzero(bad))} (counted "
            "from 0)"
        )
    if not weight.any():
        raise EffectsError(f"{what} are zero in every row, and zero stays zero", hint="Leave weights= out.")
    return weight


def _read(key: Any, totals: Any, frame: pd.DataFrame, positive: NDArray[np.bool_]) -> _Margin:
    """Match the levels of one margin with those of the cells that have a weight."""
    columns = list(key) if isinstance(key, tuple) else [key]
    for column in columns:
        if not isinstance(column, Hashable) or column not in frame.columns:
            hint = did_you_mean(column, frame.columns, all_of="Columns")
            raise EffectsError(f"margins: the cells have no column {column!r}", hint=hint)
    if len(set(columns)) < len(columns) or not columns:
        raise EffectsError(f"margins: a joint margin is of different columns, not {key!r}")
    name = ":".join(map(str, columns))
    wanted = _totals(name, columns, totals)
    absent = missing(frame.loc[:, columns])
    for column, mask in absent.items():
        rows = np.flatnonzero(mask & positive)
        if len(rows):
            raise EffectsError(
                f"the margin {name} is about the column {column!r}, which is missing in {some_rows(rows)} (counted "
                "from 0): nobody knows to which total these cells belong",
                hint=f"Leave them out, cells.dropna(subset=[{column!r}]), or make them a level with a total of its "
                f"own, cells[{column!r}].fillna('unknown').",
            )
    place = {_written(level): i for i, level in enumerate(wanted)}
    target = np.array(list(wanted.values()))
    own = frame[columns[0]] if len(columns) == 1 else pd.MultiIndex.from_frame(frame.loc[:, columns])
    codes, levels = pd.factorize(own)
    seen = np.bincount(codes[positive], minlength=len(levels))[: len(levels)] > 0 if len(levels) else np.zeros(0, bool)
    unknown = [level for level, s in zip(levels, seen, strict=True) if s and _written(level) not in place]
    if unknown:
        raise EffectsError(
            f"the margin {name} has no total for {listed(unknown)}",
            hint="Add one, zero included, or leave these cells out.",
        )
    code = np.array([place.get(_written(level), -1) for level in levels], dtype=np.intp)[codes]
    reached = np.bincount(code[positive & (code >= 0)], minlength=len(target)) > 0
    empty = [level for i, level in enumerate(wanted) if target[i] > 0 and not reached[i]]
    if empty:
        raise EffectsError(
            f"no cell with a positive weight can make up the total of {name} = {listed(empty)}",
            hint="Add such cells, or start them from a small weight.",
        )
    return _Margin(name, code, list(wanted), target)


def _totals(name: str, columns: list[Any], totals: Any) -> dict[Any, float]:
    """Level -> total of one margin."""
    if not isinstance(totals, Mapping | pd.Series):
        by = repr(columns[0]) if len(columns) == 1 else repr(columns)
        hint = "Give the totals by level: {level: total, ...}."
        if isinstance(totals, pd.DataFrame):
            hint = f"Make it a Series of totals by level: frame.groupby({by})['N'].sum()."
        raise EffectsError(
            f"the totals of {name} must be a dictionary or a Series by level, not a {type(totals).__name__}", hint=hint
        )
    pairs = list(totals.items())
    if not pairs:
        raise EffectsError(f"the margin {name} has no levels", hint=EXAMPLE)
    found: dict[Any, float] = {}
    seen: set[Any] = set()
    for level, total in pairs:
        if len(columns) > 1 and not (isinstance(level, tuple) and len(level) == len(columns)):
            raise EffectsError(
                f"the joint margin {name} has the level {level!r}, which is no tuple of {len(columns)} levels",
                hint=f"Write {{({', '.join('...' for _ in columns)}): total, ...}}.",
            )
        if any(pd.isna(part) for part in (level if isinstance(level, tuple) else (level,))):
            raise EffectsError(
                f"the margin {name} has a total for a missing level",
                hint="Give these cells a level of their own, such as 'unknown', in the cells and in the margin.",
            )
        if _written(level) in seen:
            raise EffectsError(
                f"the margin {name} has the level {level!r} more than once",
                hint="Where its lines are parts of one total, add them up: totals.groupby(level="
                f"{0 if len(columns) == 1 else list(range(len(columns)))}).sum().",
            )
        seen.add(_written(level))
        try:
            found[level] = float("nan" if isinstance(total, bool | str) else total)
        except (TypeError, ValueError):
            found[level] = np.nan
        if not (np.isfinite(found[level]) and found[level] >= 0):
            raise EffectsError(
                f"the totals of {name} must be zero or more, and not all zero: that of {level!r} is {total!r}"
            )
    if not any(found.values()):
        raise EffectsError(f"the totals of {name} must be zero or more, and not all zero")
    return found


def _written(level: Any) -> Any:
    """A level as it is written: cells may hold the text "1" where a margin has the number 1."""
    return tuple(map(level_label, level)) if isinstance(level, tuple) else level_label(level)


def _check_grand_totals(read: list[_Margin], tol: float) -> None:
    first = read[0]
    for margin in read[1:]:
        if not np.isclose(margin.target.sum(), first.target.sum(), rtol=tol, atol=0.0):
            raise EffectsError(
                f"the margins conflict: {first.name} adds up to {first.target.sum():,.10g}, {margin.name} to "
                f"{margin.target.sum():,.10g}",
                hint="Scale them to one total.",
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
