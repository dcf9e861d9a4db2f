"""The treatment: which of its values are compared, and how a frame is set to one of them.

Each value compared is a *block*: all rows of the grid with the treatment set to that value. A contrast is a pair of
blocks.

==================  ==============================================  ===============================================
treatment           blocks                                          contrasts
==================  ==============================================  ===============================================
0/1 or boolean      0, 1                                            1 - 0
text or category    its levels; the first is the base               each other level - base
two numbers         those two in the data of the fit                the higher - the lower
number              the value x of each row, x + 1                  (x + 1) - x, "per unit"
{column: values}    those values; the first is the base             each other value - base
{column: style}     all levels                                      ``"reference"``: each other level - the first;
                                                                    ``"pairwise"``: each later level - each earlier;
                                                                    ``"sequential"``: each level - the one before
{column:            the value x of each row, x + 1                  (x + 1) - x, also of a number with two values
"per unit"}
==================  ==============================================  ===============================================

A number that the formula uses as a category, in ``C(dose)`` or as a grouping factor, is treated as text is. A number
with two values, however they are coded (0/1, 1/2, -0.5/0.5, 0/10), is a group and another group: rows are set to these
values and to none that nobody had. Where the model is linear in a numeric treatment, "per unit" is its slope exactly;
where it is not (``poly(dose, 2)``), it is the average effect of one unit more, starting from the value each row has
(see `mixedfx.effects.increments` for numbers so large that one unit is lost in them, and for splines, which end with
the data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import column as fetch
from mixedfx.design.labels import level_label
from mixedfx.effects.modifiers import model_columns
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError

TreatmentLike = str | Mapping[str, Sequence[Any] | str]
STYLES = ("reference", "pairwise", "sequential")
PER_UNIT = "per unit"


@dataclass(frozen=True)
class Treatment:
    """What is compared.

    Attributes
    ----------
    column
        Column of the data.
    kind
        ``"levels"``: every row is set to each of `values`; ``"unit"``: every row keeps its value, then has one unit
        more; ``"none"``: rows as they are, for averages of outcomes.
    values
        One for each block: the level, or what is added to each row's own value.
    pairs
        (higher, lower) blocks of each contrast.
    dtype
        Type of the column in the data of the fit.
    step
        How much more than its own value each row has in the second block of ``"unit"``: 1, or for large numbers what
        is not lost in them. Effects are divided by it.
    far
        The value that all rows have in that block instead, where the model is affine in the treatment.
    within
        Smallest and largest value of the data of the fit, where the model says nothing beyond (a spline): rows within
        have both values within, so that near its end the step is taken from below.
    slope
        Whether the step is small, with the value of each row in its middle.
    """

    column: str
    kind: Literal["levels", "unit", "none"]
    values: tuple[Any, ...]
    pairs: tuple[tuple[int, int], ...]
    dtype: Any
    step: float = 1.0
    far: float | None = None
    within: tuple[float, float] | None = None
    slope: bool = False

    def label(self, pair: tuple[int, int], template: str) -> str:
        """Name of one contrast: ``"1 - 0"``, ``"Some - None"``; ``"per unit"`` for a number."""
        if self.kind == "unit":
            return PER_UNIT
        high, low = pair
        return template.format(high=level_label(self.values[high]), low=level_label(self.values[low]))

    def set_block(self, frame: pd.DataFrame, block: int) -> pd.DataFrame:
        """`frame` with the treatment set to the value of one block."""
        if self.kind == "none":
            return frame
        value = self.values[block]
        if self.kind == "unit":
            # As double precision: 127 + 1 is not -128, whatever the column is stored as.
            own = fetch(frame, self.column).astype(np.float64)
            column = own * 0.0 + self.far if block and self.far is not None else self._stepped(own, value)
        elif isinstance(self.dtype, pd.CategoricalDtype):
            column = pd.Series(pd.Categorical([value], dtype=self.dtype).repeat(len(frame)), index=frame.index)
        else:
            column = pd.Series([value], dtype=self.dtype).repeat(len(frame)).set_axis(frame.index)
        return frame.assign(**{self.column: column})

    def _stepped(self, own: pd.Series, value: Any) -> pd.Series:
        """Values of rows in one block of ``"unit"``."""
        start = own - self.step / 2 if self.slope else own
        if self.within is None:
            return start + value * self.step
        low, high = self.within
        inside = own.between(low, high)
        start = start.where(~inside, start.clip(low, high - self.step))
        return (start + value * self.step).where(~inside, lambda x: x.clip(low, high))


# What `poststratify` averages: outcomes of rows as they are.
NO_TREATMENT = Treatment("", "none", (None,), (), None)


def read_treatment(design: Design, treatment: TreatmentLike) -> Treatment:
    """Understand what the user named, against the data and the formula of the fit.

    Parameters
    ----------
    design
        The design of the fit.
    treatment
        A column, or ``{column: [base, other, ...]}`` to choose the values compared and their base, or
        ``{column: "pairwise"}`` for other pairs of its levels, or ``{column: "per unit"}``.

    Raises
    ------
    EffectsError
        A treatment that is not in the model, has one value only, or has no such level.
    """
    name, chosen, style = _split(treatment)
    known = model_columns(design)
    if name not in known:
        what = "is not in the model" if name in design.frame.columns else "is neither in the model nor in its data"
        raise EffectsError(
            f"the treatment {name!r} {what}, so this fit says nothing about its effect",
            hint=did_you_mean(name, known, all_of=f"Columns in the model {design.formula}"),
        )
    column = fetch(design.frame, name)
    levels, numeric = _levels(column)
    if len(levels) < 2:
        raise EffectsError(
            f"the treatment {name!r} has the single value {levels[0]!r} in the data of the fit",
            hint="An effect needs rows with another value: fit the model to data that have both.",
        )
    category = not numeric or name in design.terms.categories
    by_level = category or set(levels) == {0, 1}
    if style == PER_UNIT:
        if category:
            raise EffectsError(f"{name!r} is used as a category, which has no unit", hint=f"Levels: {listed(levels)}.")
        return Treatment(name, "unit", (0, 1), ((1, 0),), column.dtype)
    if style is not None and not by_level and len(levels) > 2:
        raise EffectsError(
            f"{name!r} is a number and has no levels to compare {style!r}",
            hint=f"Name the values: treatment={{{name!r}: [0, 1]}}.",
        )
    if chosen is not None:
        levels = _check_chosen(name, chosen, levels, column, any_number=not by_level)
    elif not by_level and len(levels) > 2:
        return Treatment(name, "unit", (0, 1), ((1, 0),), column.dtype)
    dtype = column.dtype
    if numeric and not by_level:
        # Of 64 bits, since the type that holds the data, such as int8, need not hold the values asked for.
        whole = all(float(v).is_integer() and abs(v) < 2**63 for v in levels)
        dtype = np.dtype(np.int64 if whole and column.dtype.kind in "iu" else np.float64)
    return Treatment(name, "levels", tuple(levels), pairs_of(len(levels), style), dtype)


def read_slope(design: Design, treatment: TreatmentLike) -> Treatment:
    """The numeric treatment whose slope is asked for.

    Raises
    ------
    EffectsError
        As `read_treatment`; values to compare, of which a slope has none.
    """
    name, chosen, style = _split(treatment)
    if chosen is not None or style not in (None, PER_UNIT):
        raise EffectsError(
            f"a slope is taken at the value of each row, and the treatment names values of {name!r} to compare",
            hint=f'Write treatment={name!r}, or comparison="difference".',
        )
    return replace(read_treatment(design, {name: PER_UNIT}), slope=True)


def pairs_of(levels: int, style: str | None) -> tuple[tuple[int, int], ...]:
    """(higher, lower) positions of the levels compared."""
    if style == "pairwise":
        return tuple((high, low) for low in range(levels) for high in range(low + 1, levels))
    if style == "sequential":
        return tuple((i, i - 1) for i in range(1, levels))
    return tuple((i, 0) for i in range(1, levels))


def _split(treatment: TreatmentLike) -> tuple[str, list[Any] | None, str | None]:
    example = 'Write treatment="style", or treatment={"style": ["None", "Some"]} with the base first.'
    if isinstance(treatment, str):
        return treatment, None, None
    if not isinstance(treatment, Mapping) or len(treatment) != 1:
        raise EffectsError("treatment must be a column, or a dictionary of one column and its values", hint=example)
    ((name, values),) = treatment.items()
    if isinstance(values, str):
        if values not in (*STYLES, PER_UNIT):
            raise EffectsError(
                f"the values of the treatment {name!r} must be a list, or how its levels are paired, not {values!r}",
                hint=did_you_mean(values, (*STYLES, PER_UNIT), all_of="Pairings"),
            )
        return name, None, values
    if not isinstance(values, Sequence | np.ndarray | pd.Index):
        raise EffectsError(f"the values of the treatment {name!r} must be a list", hint=example)
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    if len(values) < 2 or len(set(values)) < len(values):
        raise EffectsError(f"the treatment {name!r} needs two or more different values, not {values}", hint=example)
    return name, values, None


def _levels(column: pd.Series) -> tuple[list[Any], bool]:
    """Observed values (categories in their order, others sorted) and whether they are plain numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        seen = set(column.cat.codes.unique())
        return [c for i, c in enumerate(column.cat.categories) if i in seen], False
    values = [v.item() if isinstance(v, np.generic) else v for v in column.unique()]
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return sorted(values), numeric


def _check_chosen(name: str, chosen: list[Any], levels: list[Any], column: pd.Series, *, any_number: bool) -> list[Any]:
    if any_number:
        bad = [v for v in chosen if isinstance(v, bool) or not isinstance(v, int | float) or not np.isfinite(v)]
        if bad:
            raise EffectsError(f"{name!r} is numeric; {bad[0]!r} is no number it can be set to")
        return chosen
    written = {level_label(level): level for level in levels}
    chosen = [value if value in levels else written.get(level_label(value), value) for value in chosen]
    if len(set(chosen)) < len(chosen):
        raise EffectsError(f"the values of the treatment {name!r} are the same: {listed(chosen)}")
    for value in chosen:
        if value not in levels:
            raise EffectsError(
                f"the treatment {name!r} has no level {value!r} in the data of the fit",
                hint=did_you_mean(value, levels, all_of="Levels")
                if isinstance(value, str)
                else f"Levels: {listed(levels)}.",
            )
    # The data's own value, so that 1 and 1.0 and True cannot become different levels.
    return [levels[levels.index(v)] for v in chosen]
