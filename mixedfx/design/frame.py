"""Any data frame -> the pandas columns a formula needs, in plain dtypes.

Three steps, in the order `mixedfx.design.build` takes them: `to_pandas` fetches the columns and nothing else, `missing`
says which rows lack something, and `plain` turns what is left into one of five kinds of column: number, boolean, text,
category (with its own order) and time. Everything after that can rely on the five.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError

Kind = Literal["number", "boolean", "text", "category", "time"]

# Without copy-on-write a view would follow later changes that the caller makes to the data.
_COPY = int(pd.__version__.split(".")[0]) < 3


def nearest(name: str, names: Iterable[Any]) -> str | None:
    """Offer the names closest to `name` in a sentence; None where nothing is close."""
    candidates = [n for n in names if isinstance(n, str)]
    lower = {c.lower(): c for c in candidates}
    close = get_close_matches(name, candidates, n=3, cutoff=0.6)
    close += [lower[m] for m in get_close_matches(name.lower(), list(lower), n=3, cutoff=0.6) if lower[m] not in close]
    if not close:
        return None
    quoted = [f"'{c}'" for c in close[:3]]
    return "Did you mean " + (quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}") + "?"


def _native(data: Any) -> Any:
    """Wrap `data` as a narwhals frame; pandas frames never come here."""
    import narwhals as nw

    try:
        return nw.from_native(data)
    except TypeError:
        raise DataError(
            f"data is a {type(data).__module__}.{type(data).__qualname__}, which is no data frame",
            mend="Pass a pandas, polars or pyarrow frame; pandas.DataFrame(data) makes one from a dict or an array.",
        ) from None


def column_names(data: Any) -> list[Any]:
    """Names of the columns of any frame, in its order."""
    if isinstance(data, pd.DataFrame):
        return list(data.columns)
    return list(_native(data).collect_schema().names())


def to_pandas(data: Any, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Fetch columns of any frame narwhals understands as a pandas frame with a fresh index.

    Parameters
    ----------
    data
        A pandas, polars (eager or lazy), pyarrow or other frame; not a path.
    columns
        The columns to fetch; all of them where None. Nothing else is read or copied, and under pandas' copy-on-write
        the fetched columns share their memory with `data`.

    Returns
    -------
    pandas.DataFrame
        The columns in the order asked for, index 0 to n - 1. Categories keep their order; polars categoricals, which
        have none of their own, get sorted categories (a polars Enum keeps its order).

    Raises
    ------
    DataError
        Where a column does not exist (the nearest names are offered) or exists twice, or `data` is no frame.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.frame import to_pandas
    >>> data = pd.DataFrame({"y": [1.0, 2.0], "race": ["Black", "White"]}, index=[7, 7])
    >>> to_pandas(data, ["race"])
        race
    0  Black
    1  White
    """
    frame = data if isinstance(data, pd.DataFrame) else _native(data)
    names = list(frame.columns) if isinstance(data, pd.DataFrame) else list(frame.collect_schema().names())
    wanted = list(names) if columns is None else list(dict.fromkeys(columns))
    if len(set(names)) != len(names):
        for name in wanted:
            if names.count(name) > 1:
                count = names.count(name)
                raise DataError(f"{count} columns of the data are called '{name}'", mend="Rename all but one.")
    known = set(names)
    for name in wanted:
        if name not in known:
            raise DataError(f"the data have no column '{name}'", mend=nearest(name, names))
    if isinstance(data, pd.DataFrame):
        fetched = pd.DataFrame({name: data[name] for name in wanted}, index=data.index, copy=_COPY)
        fetched.index = pd.RangeIndex(len(data))
        return fetched
    import narwhals as nw

    selected = frame.select(wanted or names[:1])  # a selection of no columns would have no rows either
    if isinstance(selected, nw.LazyFrame):
        selected = selected.collect()
    return pd.DataFrame({c: _series(selected[c]) for c in wanted}, index=pd.RangeIndex(len(selected)), copy=False)


def _series(column: Any) -> pd.Series:
    """One narwhals column as pandas, keeping whole numbers and booleans what they are where some are missing."""
    import narwhals as nw

    dtype = column.dtype
    if isinstance(dtype, nw.Enum):
        return pd.Series(
            pd.Categorical(column.cast(nw.String).to_pandas(), categories=list(dtype.categories), ordered=True)
        )
    if isinstance(dtype, nw.Categorical):
        if column.implementation.is_polars():
            return pd.Series(pd.Categorical(column.cast(nw.String).to_pandas()))
        native = column.to_native() if column.implementation.is_pyarrow() else column
        return native.to_pandas().reset_index(drop=True)
    if (dtype.is_integer() or isinstance(dtype, nw.Boolean)) and column.null_count():
        known = ~column.is_null().to_numpy()
        target = "boolean" if isinstance(dtype, nw.Boolean) else str(dtype)
        values = pd.array([pd.NA] * len(column), dtype=target)
        values[known] = column.drop_nulls().to_numpy()
        return pd.Series(values)
    return column.to_pandas().reset_index(drop=True)


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Take one column; its name is known to be there once."""
    return cast(pd.Series, frame[name])


def missing(frame: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Columns with missing values, each with its (n,) mask."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in frame.columns:
        values = column(frame, name)
        if values.dtype.kind in "iub" and isinstance(values.dtype, np.dtype):
            continue
        numeric = isinstance(values.dtype, np.dtype) and values.dtype.kind == "f"
        mask = np.isnan(values.to_numpy()) if numeric else values.isna().to_numpy(dtype=bool)
        if mask.any():
            masks[str(name)] = mask
    return masks


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring columns without missing values to plain dtypes; unused categories go.

    Raises
    ------
    DataError
        For a column that mixes types or holds complex numbers or other objects.
    """
    changed: dict[str, pd.Series] = {}
    for name in frame.columns:
        old = column(frame, name)
        new = _plain(str(name), old)
        if new is not old:
            changed[name] = new
    return frame.assign(**changed) if changed else frame


def _plain(name: str, values: pd.Series) -> pd.Series:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        used = np.bincount(codes[codes >= 0], minlength=len(dtype.categories)) > 0
        return values if used.all() else values.cat.remove_unused_categories()
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbMm":
        return values
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise DataError(f"column '{name}' holds complex numbers", mend="Take the real part, or the modulus.")
    if isinstance(dtype, pd.DatetimeTZDtype):
        return values
    if dtype == "str":
        return values
    if pd.api.types.is_bool_dtype(dtype):
        return pd.Series(values.to_numpy(dtype=bool), index=values.index, name=name)
    if pd.api.types.is_integer_dtype(dtype):
        unsigned = pd.api.types.is_unsigned_integer_dtype(dtype)
        return pd.Series(values.to_numpy(dtype=np.uint64 if unsigned else np.int64), index=values.index, name=name)
    if pd.api.types.is_float_dtype(dtype):
        return pd.Series(values.to_numpy(dtype=np.float64), index=values.index, name=name)
    if pd.api.types.is_string_dtype(dtype) and not pd.api.types.is_object_dtype(dtype):
        return values.astype(str)
    return _from_objects(name, values)


def _from_objects(name: str, given: pd.Series) -> pd.Series:
    """Give a column of Python objects the dtype of its values."""
    values = given.to_numpy(dtype=object)
    found = pd.api.types.infer_dtype(values, skipna=False)
    if found in ("string", "empty"):
        return pd.Series(values, index=given.index, name=name, dtype=object)
    if found == "boolean":
        return pd.Series(values.astype(bool), index=given.index, name=name)
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        numbers = values.astype(np.int64 if found == "integer" else np.float64)
        return pd.Series(numbers, index=given.index, name=name)
    if found in ("datetime", "datetime64", "date"):
        return pd.Series(pd.to_datetime(values), index=given.index, name=name)
    types = sorted({type(v).__name__ for v in values})
    raise DataError(
        f"column '{name}' holds values of type {', '.join(types)}, which is neither number, boolean, text nor category",
        mend=f"Convert it first, for instance with data['{name}'].astype(str).",
    )


def kind(values: pd.Series) -> Kind:
    """Which of the five kinds a plain column is."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        return "number"
    if values.dtype.kind == "b":
        return "boolean"
    return "time" if values.dtype.kind in "Mm" else "text"


def examples(values: pd.Series) -> str:
    """Write the first few distinct values, as Python writes them."""
    return ", ".join(repr(v) for v in pd.unique(values)[:3].tolist())
