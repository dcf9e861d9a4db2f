"""What a design remembers of its data, and how it repeats itself on new data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.estimable import Null, NullSpace
from mixedfx.design.expressions import Scope, number
from mixedfx.design.frame import (
    Kind,
    column,
    column_names,
    examples,
    has_text_categories,
    kind,
    kind_of,
    missing,
    nearest,
    opened,
    plain,
    to_pandas,
)
from mixedfx.design.grouping import Grouping, NewCodes, regroup
from mixedfx.design.labels import as_levels, level_label
from mixedfx.design.parts import Part
from mixedfx.design.terms import RandomTerms, Reader, Terms
from mixedfx.errors import DataError, some_rows
from mixedfx.formula.mixed_formula import MixedFormula


@dataclass(frozen=True)
class RandomSpec:
    """What repeats one random term: its left side and its grouping factor."""

    label: str
    part: Part
    grouping: Grouping


@dataclass(frozen=True)
class OffsetSpec:
    """An offset that new data repeat: its expression and the state of its transforms."""

    expression: str
    state: dict[str, Any]


@dataclass(frozen=True)
class ReplayedTerm:
    """A random term on m new rows.

    Attributes
    ----------
    z
        (m, k) covariates; None where `absent` is not empty.
    new
        Levels of the rows; None where `absent` is not empty.
    absent
        Grouping columns that the new data do not have.
    """

    z: NDArray[np.float64] | None
    new: NewCodes | None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """The design on m new rows: X (m, p), offset (m,) from ``offset(...)`` terms, and each random term.

    `null`: what each row needs of columns that were dropped; None where none were.
    """

    X: NDArray[np.float64]
    offset: NDArray[np.float64]
    terms: tuple[ReplayedTerm, ...]
    null: Null | None = None


@dataclass(frozen=True)
class DesignSpec:
    """Repeats a design on new data.

    Attributes
    ----------
    formula
        The formula, ``.`` expanded.
    kinds
        What each column was in the data of the fit.
    fixed
        The fixed part, all its columns.
    kept
        Positions of the columns of `fixed` that X keeps.
    random
        One entry for each random term.
    null
        The columns that were dropped as aliased, None where none were.
    offsets
        Offsets of the formula, then the one that ``offset=`` gave.
    given_offset
        Column of what ``offset=`` gave; None where it gave nothing.
    offset_is_own
        Whether these were numbers, which belong to the rows of the fit and which new data do not have.
    weights
        Column that ``weights=`` named; None where it named none.
    text_categories
        Columns that are categories with text for levels; the levels of new data are matched by their text.
    levels
        Levels of columns that are categories with other levels, and of booleans; those of new data are matched by how
        they are written.
    env, contrasts
        As the caller passed them.
    """

    formula: MixedFormula
    kinds: Mapping[str, Kind]
    fixed: Part
    kept: NDArray[np.intp]
    random: tuple[RandomSpec, ...]
    offsets: tuple[OffsetSpec, ...] = ()
    given_offset: str | None = None
    offset_is_own: bool = False
    weights: str | None = None
    text_categories: frozenset[str] = frozenset()
    levels: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    contrasts: Mapping[str, Any] = field(default_factory=dict)
    null: NullSpace | None = None

    @classmethod
    def of(cls, columns: Mapping[str, pd.Series], **parts: Any) -> DesignSpec:
        """Of plain columns, whose kinds it remembers, and its other fields."""
        types: dict[str, Any] = {name: values.dtype for name, values in columns.items()}
        text = frozenset(name for name, dtype in types.items() if has_text_categories(dtype))
        kinds: dict[str, Kind] = {name: kind_of(dtype) for name, dtype in types.items()}
        levels = {
            name: tuple(types[name].categories) for name in types if kinds[name] == "category" and name not in text
        }
        levels |= {name: (False, True) for name in types if kinds[name] == "boolean"}
        return cls(kinds=kinds, text_categories=text, levels=levels, **parts)

    @property
    def reader(self) -> Reader:
        """Reads expressions as this design does."""
        return Reader(self.env, self.kinds)

    @cached_property
    def terms(self) -> Terms:
        """What the terms read, and which coefficients they own."""
        reader, place = self.reader, {int(c): j for j, c in enumerate(self.kept)}
        parts = {random.part.text: reader.part(random.part) for random in self.random}
        expressions = tuple(offset.expression for offset in self.offsets)
        written = expressions if self.given_offset is None else expressions[:-1]
        return Terms(
            reader.part(self.fixed, place),
            tuple(RandomTerms(parts[r.part.text], r.grouping.columns) for r in self.random),
            tuple(map(reader.expression, written)),
            None if self.given_offset is None else reader.expression(expressions[-1]),
            reader.columns(self.fixed.text, written),
        )

    def fetch(self, newdata: Any, also: Collection[str] = ()) -> pd.DataFrame:
        """Fetch the columns of new data that the design needs, once, as a frame that `replay` takes.

        Parameters
        ----------
        newdata
            Any frame; needs neither the response nor every grouping column.
        also
            More columns to fetch, where there are such.

        Raises
        ------
        DataError
            Where a column is missing.
        """
        frame = opened(newdata)
        return to_pandas(frame, self._needs(column_names(frame))[0], also)

    def _needs(self, names: Sequence[Any]) -> tuple[list[str], tuple[str, ...], list[tuple[str, ...]]]:
        """What new data with these columns have to hold; those of it that X or Z read; for each term what is absent."""
        terms = self.terms
        absent = [tuple(c for c in random.grouping if c not in names) for random in terms.random]
        present = [random for random, lacking in zip(terms.random, absent, strict=True) if not lacking]
        given = () if terms.given_offset is None else terms.given_offset.columns
        lefts = (c for random in present for c in random.left_columns)
        values = tuple(dict.fromkeys([*terms.fixed_columns, *given, *lefts]))
        needed = list(dict.fromkeys([*values, *(c for random in present for c in random.grouping)]))
        for name in needed:
            if name not in names:
                raise self._lacking(name, names)
        return needed, values, absent

    def _lacking(self, name: str, names: Sequence[Any]) -> DataError:
        if self.offset_is_own and name == self.given_offset:
            return DataError(
                "the fit has an offset given as numbers, which belong to its own rows and to no others",
                hint="Fit with a column of the data, offset='log_exposure', and give the new data that column; or "
                "write offset(log_exposure) in the formula.",
            )
        return DataError(f"the model needs '{name}', which the new data do not have", hint=nearest(name, names))

    def replay(self, newdata: Any) -> Replay:
        """Make the same columns for new rows.

        Parameters
        ----------
        newdata
            Any frame; needs neither the response nor every grouping column.

        Raises
        ------
        UnseenLevelError
            Where a factor of the fixed part or of a left side has a level the fit has never seen.
        DataError
            Where a column is missing, has missing values, or holds another kind of values than in the fit.
        """
        given = opened(newdata)
        needed, values, absent = self._needs(column_names(given))
        frame = to_pandas(given, needed)
        refuse_missing(frame)
        frame = self._as_in_fit(plain(frame), values)
        scope = Scope.of(self.env, self.contrasts)
        rows = np.arange(len(frame), dtype=np.intp)
        matrices: dict[str, NDArray[np.float64]] = {}

        def matrix(part: Part) -> NDArray[np.float64]:
            if part.text not in matrices:
                matrices[part.text] = part.matrix(frame, scope, rows)
            return matrices[part.text]

        full = matrix(self.fixed)
        X = np.ascontiguousarray(full[:, self.kept])
        offset = np.zeros(len(frame))
        for spec in self.offsets:
            offset += number(spec.expression, frame, scope, spec.state, rows, "offset")
        terms = tuple(
            ReplayedTerm(None, None, lacking) if lacking else ReplayedTerm(matrix(r.part), regroup(frame, r.grouping))
            for r, lacking in zip(self.random, absent, strict=True)
        )
        return Replay(X, offset, terms, None if self.null is None else self.null.coordinates(full))

    def _as_in_fit(self, frame: pd.DataFrame, values: Sequence[str]) -> pd.DataFrame:
        """Bring columns to the kind they had in the fit where that loses nothing, and refuse the rest."""
        changed: dict[str, pd.Series] = {}
        for name in frame.columns:
            was, now = self.kinds[name], kind(column(frame, name))
            given = column(frame, name)
            labels = name in self.text_categories or was == "text"
            if labels and name in values and now != "text" and not has_text_categories(given.dtype):
                changed[name] = by_label(given)
                continue
            if name in values and now in ("text", "category") and name in self.levels:
                given = as_levels(given, self.levels[name])
                if was == "boolean" and isinstance(given.dtype, pd.CategoricalDtype):
                    given = given.astype(object)
            elif name in values and now in ("text", "category") and was == "number" and name in self.terms.categories:
                given = _numbers_written(given)
            if given is not column(frame, name):
                given = given.infer_objects()
                changed[name], now = given, kind(given)
            # Levels of grouping factors are matched by their labels, whatever the type of the column.
            if was == now or {was, now} <= {"text", "category"} or name not in values:
                continue
            if was == "number" and now == "boolean":
                changed[name] = given.astype(np.float64)
            elif was == "boolean" and now == "number" and bool(given.isin([0, 1]).all()):
                changed[name] = given.astype(bool)
            elif was == "category":
                changed[name] = given.astype("category")
            else:
                raise DataError(
                    f"column '{name}' was {was} in the data of the fit; the new data hold {now} values such as "
                    f"{examples(given)}",
                    hint=f"Convert it before, so that '{name}' has the type it had.",
                )
        return frame.assign(**changed) if changed else frame


def refuse_missing(frame: pd.DataFrame) -> None:
    """Refuse new rows without a value that they need.

    Raises
    ------
    DataError
        Naming columns and rows.
    """
    masks = missing(frame)
    if masks:
        where = "; ".join(f"'{name}' in {some_rows(np.flatnonzero(mask))}" for name, mask in masks.items())
        raise DataError(
            f"the new data have missing values: {where} (counted from 0)", hint="Fill them in or drop these rows."
        )


def _numbers_written(values: pd.Series) -> pd.Series:
    """Text of numbers as these, where all of it is; a census may hold "2019" where the data had 2019."""
    texts = [level_label(value) for value in pd.unique(values)]
    try:
        numbers = {text: float(text) for text in texts}
    except ValueError:
        return values
    if any(level_label(number) != text for text, number in numbers.items()):
        return values
    return values.astype(object).map(lambda value: numbers[level_label(value)]).astype(np.float64)


def by_label(values: pd.Series) -> pd.Series:
    """Levels as their text: where some codes of a survey are labelled, rows of other codes alone come as numbers."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.rename_categories(level_label)
    return values.map(level_label)
