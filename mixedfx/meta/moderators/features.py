"""Moderators as a forest or a tree sees them: numbers as they are, and an indicator of every level of a category.

A tree needs no reference level, no transforms that keep the order of values, and no products: it finds thresholds and
interactions itself. So a formula here is a list of columns, and everything else is refused in words.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.expressions import columns_read
from mixedfx.design.frame import column, examples, kind, nearest, plain
from mixedfx.errors import DataError, ModelError, UnknownLevelWarning, outside
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.formula.parse import expand_dot, parse_formula

Array = NDArray[np.float64]


IMPUTE = 'Leave such rows or moderators out, or say impute="median" (within training rows).'


@dataclass(frozen=True)
class Moderator:
    """One moderator.

    Attributes
    ----------
    name
        Its column.
    levels
        Its levels as text, in their order; None where it is a number.
    """

    name: str
    levels: tuple[str, ...] | None

    @property
    def width(self) -> int:
        """Columns it has among the features."""
        return 1 if self.levels is None else len(self.levels)


@dataclass(frozen=True)
class Coding:
    """Turns columns of data into features, the same way for the data of a fit and for new ones.

    Attributes
    ----------
    moderators
        In the order of the formula.
    """

    moderators: tuple[Moderator, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The moderators by name."""
        return tuple(one.name for one in self.moderators)

    @property
    def columns(self) -> tuple[NDArray[np.intp], ...]:
        """For each moderator the positions of its columns among the features."""
        ends = np.cumsum([0, *(one.width for one in self.moderators)])
        return tuple(np.arange(a, b) for a, b in pairwise(ends))

    def values(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The moderators of a frame: numbers as float64 (NaN where missing), categories as text (None)."""
        out = {}
        for one in self.moderators:
            if one.name not in frame.columns:
                raise DataError(f"the data have no column '{one.name}'", hint=nearest(one.name, frame.columns))
            values = present(frame, one.name)
            if one.levels is None and kind(values) != "number":
                raise DataError(f"moderator '{one.name}' is a number in the data of the fit, here it is {values.dtype}")
            whole = values.astype(np.float64) if one.levels is None else _texts(values)
            out[one.name] = whole.reindex(range(len(frame))).to_numpy()
        return pd.DataFrame({name: _absent_as_none(found) for name, found in out.items()}, index=frame.index)

    def features(self, values: pd.DataFrame) -> Array:
        """(n, c) features of what `values` gives; a level that is not known has an indicator of none."""
        parts = []
        for one in self.moderators:
            found = values[one.name].to_numpy()
            if one.levels is None:
                parts.append(found.astype(np.float64)[:, None])
            else:
                parts.append((found[:, None] == np.array(one.levels, dtype=object)[None]).astype(np.float64))
        self.warn_unknown(values, "are none of those known")
        return np.hstack(parts) if parts else np.zeros((len(values), 0))

    def warn_unknown(self, values: pd.DataFrame, what: str) -> None:
        """Say which levels the data of the fit do not have, and what becomes of them."""
        unseen = {}
        for one in self.moderators:
            if one.levels is not None:
                strange = sorted({str(v) for v in values[one.name].to_numpy() if v is not None} - set(one.levels))
                if strange:
                    unseen[one.name] = strange
        if unseen:
            listed = "; ".join(f"{name}: {', '.join(levels)}" for name, levels in unseen.items())
            warnings.warn(
                f"levels of moderators that the data of the fit do not have {what} ({listed})",
                UnknownLevelWarning, outside(),
            )  # fmt: skip


def read_formula(formula: str | MixedFormula, available: Any) -> tuple[str, tuple[str, ...], frozenset[str]]:
    """The response, the moderators that a formula lists, and which of them are categories by ``C()``.

    Parameters
    ----------
    formula
        ``"yi ~ grade + C(design) + weeks"``.
    available
        Columns of the data.

    Raises
    ------
    ModelError
        Random terms, offsets, products or functions.
    DataError
        A column that is not there.
    """
    parsed = expand_dot(parse_formula(formula) if isinstance(formula, str) else formula, tuple(available))
    if parsed.random or parsed.offsets or parsed.additions:
        raise ModelError(
            "a forest has no random terms, offsets or known errors in its formula",
            hint="Name moderators alone; clusters are given by cluster=, sampling variances by vi=.",
        )
    if parsed.response is None:
        raise ModelError("the formula has no response", hint="Write 'yi ~ x1 + x2'.")
    read = columns_of(parsed, available)
    listed = terms_of(parsed.fixed)
    names = tuple(name for name in read if {quote(name), f"C({quote(name)})"} & set(listed))
    absent = [name for name in read if name not in available]
    if absent:
        raise DataError(f"the data have no column '{absent[0]}'", hint=nearest(absent[0], available))
    strange = [piece for piece in listed if piece not in {t for n in names for t in (quote(n), f"C({quote(n)})")}]
    if strange:
        raise ModelError(
            f"{strange[0]!r} is not a column of the data",
            hint="Trees find thresholds and interactions themselves: add up columns, without functions or products.",
        )
    if not names:
        raise ModelError("the formula names no moderator", hint="Write 'yi ~ x1 + x2'.")
    coded = frozenset(name for name in names if f"C({quote(name)})" in listed)
    return _response(parsed), names, coded


def terms_of(fixed: str) -> tuple[str, ...]:
    """The terms of a right side that is a sum, as they are written; its intercept left out."""
    return tuple(piece.strip() for piece in _pieces(fixed))


def columns_of(formula: MixedFormula, available: Any) -> tuple[str, ...]:
    """Columns of the data that the fixed part reads."""
    return columns_read(replace(formula, response=None, random=(), offsets=(), additions=()), (), list(available))


def _response(parsed: MixedFormula) -> str:
    assert parsed.response is not None
    text = parsed.response
    return text[1:-1] if text.startswith("`") and text.endswith("`") else text


def _pieces(fixed: str) -> list[str]:
    """The terms of a right side that is a sum; its intercept left out."""
    out, text, quoted, depth = [], "", False, 0
    for letter in fixed:
        quoted ^= letter == "`"
        depth += (letter == "(") - (letter == ")") if not quoted else 0
        if letter == "+" and not quoted and not depth:
            out.append(text)
            text = ""
        else:
            text += letter
    return [piece for piece in (*out, text) if piece.strip() not in ("0", "1")]


def read_coding(frame: pd.DataFrame, names: tuple[str, ...], categorical: frozenset[str] = frozenset()) -> Coding:
    """What the moderators are in the data of a fit: numbers, or categories with these levels.

    Raises
    ------
    DataError
        A moderator with one value, of dates, or of text that reads as numbers.
    """
    out, constant = [], []
    for name in names:
        values = present(frame, name)
        if kind(values) == "time":
            raise DataError(
                f"moderator '{name}' is a date", hint="Give the year, or the days since some date, as a number."
            )
        if kind(values) == "text" and name not in categorical and values.nunique() > 2 and _reads_as_numbers(values):
            raise DataError(
                f"moderator '{name}' is text that reads as numbers ({examples(values)})",
                hint=f"Make it numbers, or write C({quote(name)}) for levels without an order.",
            )
        if name in categorical or kind(values) != "number":
            texts = set(_texts(values))
            ordered = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else sorted(texts)
            levels = tuple(str(level) for level in ordered if str(level) in texts)
            out.append(Moderator(name, levels))
        else:
            out.append(Moderator(name, None))
        if values.nunique() < 2:
            constant.append(name)
    if constant:
        raise DataError(
            f"moderators that do not vary explain nothing: {', '.join(constant)}", hint="Leave them out of the formula."
        )
    return Coding(tuple(out))


def _reads_as_numbers(values: pd.Series) -> bool:
    read: Any = pd.to_numeric(pd.Series(_texts(values).unique(), dtype=object), errors="coerce")
    return bool(read.notna().all())


def present(frame: pd.DataFrame, name: str) -> pd.Series:
    """The values of a column that are there, by position."""
    values = column(frame, name).reset_index(drop=True)
    return column(plain(pd.DataFrame({name: values.dropna()})), name)


def _texts(values: pd.Series) -> pd.Series:
    return pd.Series([str(value) for value in values.to_numpy(dtype=object)], index=values.index, dtype=object)


def _absent_as_none(found: NDArray[Any]) -> NDArray[Any]:
    out: Any = found.copy()
    if out.dtype == object:
        out[pd.isna(out)] = None
    return out


@dataclass(frozen=True)
class Filling:
    """Values that stand for missing moderators: the median of numbers, the commonest level of categories.

    Attributes
    ----------
    values
        Moderator -> value.
    """

    values: dict[str, Any]

    @classmethod
    def of(cls, values: pd.DataFrame) -> Filling:
        """From the rows of a fit (or of the training part of a fold)."""
        out: dict[str, Any] = {}
        for name in values.columns:
            found: Any = values[name].dropna()
            if found.dtype == np.float64:
                out[name] = float(found.median()) if len(found) else 0.0
            else:
                counts = found.value_counts()
                out[name] = None if not len(counts) else sorted(counts.index[counts == counts.max()])[0]
        return cls(out)

    def fill(self, values: pd.DataFrame) -> pd.DataFrame:
        """The same rows without a missing moderator."""
        out = values.copy()
        for name, value in self.values.items():
            absent = out[name].isna().to_numpy()
            if absent.any():
                out.loc[absent, name] = value
        return out


def refuse_missing(values: pd.DataFrame, hint: str = IMPUTE) -> None:
    """Say which moderators are missing and how often, or infinite.

    Raises
    ------
    DataError
        Where any is.
    """
    counts = {name: int(values[name].isna().to_numpy().sum()) for name in values.columns}
    if any(counts.values()):
        listed = ", ".join(f"{name} in {count}" for name, count in counts.items() if count)
        raise DataError(f"moderators are missing in some of {len(values)} rows: {listed}", hint=hint)
    endless = [name for name in values.columns if values[name].dtype == np.float64 and np.isinf(values[name]).any()]
    if endless:
        raise DataError(f"moderators are infinite in some rows: {', '.join(endless)}", hint="Give finite numbers.")


def refuse_own_levels(columns: Mapping[str, Any], clusters: Any, what: str) -> None:
    """A category whose levels all are of one cluster each names the clusters, and says nothing of those left out.

    Parameters
    ----------
    columns
        Categories by name, (n,) values.
    clusters
        (n,) what is left out together.
    what
        What that is, in the singular.

    Raises
    ------
    DataError
        Where a moderator is one.
    """
    of_row = pd.factorize(clusters)[0]
    for name, values in columns.items():
        level, found = pd.factorize(values)  # -1 where missing
        pairs = np.unique((level * (of_row.max() + 1) + of_row)[(level >= 0) & (of_row >= 0)])
        if 1 < len(pairs) == len(found):
            raise DataError(
                f"no two {what}s share a level of moderator '{name}', which has {len(pairs):,} in "
                f"{len(np.unique(pairs % (of_row.max() + 1))):,} {what}s",
                hint="It names them and predicts none that are left out: put levels together, or leave it out.",
            )
