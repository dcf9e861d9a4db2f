"""Any data frame -> the pandas columns a formula needs, in plain dtypes.

Three steps, in the order `mixedfx.design.build` takes them: `to_pandas` fetches the columns and nothing else, `missing`
says which rows lack something, and `plain` turns what is left into one of five kinds of column: number, boolean, text,
category (with its own order) and time. Everything after that can rely on the five.

`to_pandas` is the one door. A lazy frame is a question that is answered anew, perhaps with its rows in another order,
each time it is asked: whoever reads several things from a frame fetches them in one call and works on the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Columns, category_codes, column
from mixedfx.design.labels import level_label, variable_labels
from mixedfx.errors import DataError, MissingPackageError
from mixedfx.optional import package

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


def opened(data: Any) -> Any:
    """`data` as a pandas or narwhals frame, which `column_names` and `to_pandas` take; nothing is read yet.

    Raises
    ------
    DataError
        Where it is no frame.
    """
    if isinstance(data, pd.DataFrame):
        return data
    import narwhals as nw

    try:
        return nw.from_native(data)
    except TypeError:
        if any(hasattr(data, name) for name in ("__arrow_c_stream__", "__arrow_c_array__")):
            return nw.from_native(_arrow_table(data))
        raise DataError(
            f"data is a {type(data).__module__}.{type(data).__qualname__}, which is no data frame",
            hint="Pass a pandas, polars or pyarrow frame; pandas.DataFrame(data) makes one from a dict or an array.",
        ) from None


def _arrow_table(data: Any) -> Any:
    """A table from what speaks Arrow's C interface without being a frame, such as a record batch or a reader."""
    pa = package("pyarrow", "columns of Arrow need", "files")

    try:
        return pa.table(data)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"data cannot be read as a table of Arrow: {error}") from error


def column_names(data: Any) -> list[Any]:
    """Names of the columns of any frame, in its order."""
    frame = opened(data)
    return frame.columns.tolist() if isinstance(frame, pd.DataFrame) else list(frame.collect_schema().names())


def to_pandas(data: Any, columns: Sequence[str] | None = None, also: Collection[str] = ()) -> pd.DataFrame:
    """Fetch columns of any frame narwhals understands as a pandas frame with a fresh index.

    Parameters
    ----------
    data
        A pandas, polars (eager or lazy), pyarrow, DuckDB or other frame; not a path. A lazy one is collected once.
    columns
        The columns to fetch; all of them where None. Nothing else is read or copied, and under pandas' copy-on-write
        the fetched columns share their memory with `data`.
    also
        More columns to fetch, where there are such.

    Returns
    -------
    pandas.DataFrame
        The columns in the order asked for, index 0 to n - 1. Categories keep their order, those of Arrow dictionaries
        too; polars categoricals, which have none of their own, get sorted categories (an Enum keeps its order).
        Categories that are neither text, numbers, booleans nor dates throughout, such as intervals, become text.

    Raises
    ------
    DataError
        Where a column does not exist (the nearest names are offered) or exists twice, or holds whole numbers beyond 64
        bits, or `data` is no frame.
    MissingPackageError
        Frames of polars or DuckDB without pyarrow, which pandas needs to take them.

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
    frame = opened(data)
    return fetch(frame, column_names(frame), columns, also).frame


def fetch(frame: Any, names: Sequence[Any], columns: Sequence[str] | None, also: Collection[str] = ()) -> Columns:
    """The same as single columns, of an opened frame whose column names are known; see `to_pandas`."""
    wanted = list(names) if columns is None else list(dict.fromkeys([*columns, *(c for c in also if c in names)]))
    if len(set(names)) != len(names):
        for name in wanted:
            if names.count(name) > 1:
                count = names.count(name)
                raise DataError(f"{count} columns of the data are called '{name}'", hint="Rename all but one.")
    known = set(names)
    for name in wanted:
        if name not in known:
            raise DataError(f"the data have no column '{name}'", hint=nearest(name, names))
    if isinstance(frame, pd.DataFrame):
        series = {name: _own(column(frame, name)) for name in wanted}
        attrs, index = variable_labels(frame, wanted), frame.index
        if not _COPY and isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
            return Columns(series, len(frame), attrs)
        fetched = pd.DataFrame(series, index=index, copy=_COPY)
        fetched.index = pd.RangeIndex(len(frame))
        fetched.attrs = attrs
        return Columns.of(fetched)
    import narwhals as nw

    selected = frame.select(wanted or names[:1])  # a selection of no columns would have no rows either
    schema = selected.collect_schema()  # of the source: Arrow, in which some collect, has no types such as Enum
    try:
        if isinstance(selected, nw.LazyFrame):
            selected = selected.collect()
        return Columns.of(collected(selected, wanted, schema))
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{frame.implementation} frames are read through the package {error.name}, which is not installed",
            hint="pip install 'mixedfx[files]'",
        ) from error


def collected(frame: Any, columns: Sequence[str], types: Mapping[str, Any]) -> pd.DataFrame:
    """Columns of an eager narwhals frame as pandas, index 0 to n - 1; `types` are narwhals' of the source."""
    series = {c: _own(_series(frame[c], types[c])) for c in columns}
    return pd.DataFrame(series, index=pd.RangeIndex(len(frame)), copy=False)


def _series(column: Any, dtype: Any) -> pd.Series:
    """One narwhals column as pandas, keeping whole numbers and booleans what they are where some are missing."""
    import narwhals as nw

    if isinstance(dtype, nw.Enum):
        return pd.Series(
            pd.Categorical(column.cast(nw.String).to_pandas(), categories=list(dtype.categories), ordered=True)
        )
    if isinstance(dtype, nw.Categorical):
        if column.implementation.is_polars():
            return pd.Series(pd.Categorical(column.cast(nw.String).to_pandas()))
        return _from_dictionary(column.to_native()) if column.implementation.is_pyarrow() else _reset(column)
    if isinstance(dtype, nw.Int128 | nw.UInt128):
        column = _narrow(column)
        dtype = column.dtype
    if isinstance(dtype, nw.Decimal):
        return pd.Series(column.cast(nw.Float64).to_numpy())
    if (dtype.is_integer() or isinstance(dtype, nw.Boolean)) and column.null_count():
        known = ~column.is_null().to_numpy()
        target = "boolean" if isinstance(dtype, nw.Boolean) else str(dtype)
        values = pd.array([pd.NA] * len(column), dtype=target)
        values[known] = column.drop_nulls().to_numpy()
        return pd.Series(values)
    return _reset(column)


def _reset(column: Any) -> pd.Series:
    return column.to_pandas().reset_index(drop=True)


def _narrow(column: Any) -> Any:
    """Whole numbers of 128 bits (or decimals, as which Arrow has them) in 64 bits, where they fit."""
    import narwhals as nw

    least, most = column.min(), column.max()
    if least is None:
        return column.cast(nw.Int64)
    return column.cast(nw.Int64 if _whole(column.name, least, most) == np.int64 else nw.UInt64)


def _whole(name: str, least: Any, most: Any) -> type[np.int64 | np.uint64]:
    """The type of 64 bits that holds whole numbers from `least` to `most`."""
    for dtype in (np.int64, np.uint64):
        if int(np.iinfo(dtype).min) <= least and most <= int(np.iinfo(dtype).max):
            return dtype
    raise DataError(
        f"column '{name}' holds whole numbers from {least} to {most}, more than 64 bits hold",
        hint="Convert it first: to text if they are names, to floating point if they are amounts.",
    )


def _own(values: pd.Series) -> pd.Series:
    """Columns that pandas has and the rest of the package does not know: Arrow dictionaries, categories of any type."""
    dtype = values.dtype
    if isinstance(dtype, pd.ArrowDtype) and _is_dictionary(dtype.pyarrow_dtype):
        values = _from_dictionary(cast(Any, values.array).__arrow_array__()).set_axis(values.index)
    return _with_plain_categories(values) if isinstance(values.dtype, pd.CategoricalDtype) else values


def _is_dictionary(dtype: Any) -> bool:
    pa = package("pyarrow", "columns of Arrow need", "files")

    return pa.types.is_dictionary(dtype)


def _from_dictionary(column: Any) -> pd.Series:
    """An Arrow dictionary, in one piece or several, as categories in its own order."""
    pa = package("pyarrow", "columns of Arrow need", "files")

    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries()
        dictionary = column.chunk(0).dictionary if column.num_chunks else pa.array([], column.type.value_type)
        codes = pa.chunked_array(
            [chunk.indices for chunk in column.chunks], pa.int64() if not column.num_chunks else None
        )
    else:
        dictionary, codes = column.dictionary, column.indices
    categories = pd.Index(dictionary.to_pandas())
    kept = categories[~categories.isna()].unique()  # a dictionary may hold a missing value, or one value twice
    position = np.append(np.where(categories.isna(), -1, kept.get_indexer(categories)), -1)
    numbers = codes.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)  # -1: the last of `position`
    return pd.Series(pd.Categorical.from_codes(position[numbers], kept, ordered=column.type.ordered))


def _with_plain_categories(values: pd.Series) -> pd.Series:
    """Categories as text where they are of several kinds (as where only some codes of a survey are labelled) or odd.

    Raises
    ------
    DataError
        Where two of them would be written alike.
    """
    categories = cast(pd.CategoricalDtype, values.dtype).categories
    if categories.dtype.kind == "f" and all(float(v).is_integer() and abs(v) < 2**53 for v in categories):
        return values.cat.rename_categories(categories.astype(np.int64))  # written as whole numbers wherever they stand
    odd = isinstance(categories.dtype, pd.IntervalDtype | pd.PeriodDtype) or categories.dtype.kind in "mc"
    if categories.dtype != object and not odd:
        return values
    if categories.inferred_type in ("string", "empty", "boolean"):
        return values
    labels = [level_label(v) for v in categories]
    if len(set(labels)) < len(labels):
        values = values.cat.remove_unused_categories()
        labels = [level_label(v) for v in values.cat.categories]
    if len(set(labels)) < len(labels):
        twice = next(v for v in labels if labels.count(v) > 1)
        raise DataError(f"two levels of '{values.name}' are both written '{twice}'", hint="Give them different names.")
    return values.cat.rename_categories(labels)


def missing(frame: pd.DataFrame | Mapping[str, pd.Series]) -> dict[str, NDArray[np.bool_]]:
    """Columns with missing values, each with its (n,) mask."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, values in frame.items():
        if values.dtype.kind in "iub" and isinstance(values.dtype, np.dtype):
            continue
        if isinstance(values.dtype, np.dtype) and values.dtype.kind == "f":
            mask = np.isnan(values.to_numpy())
        elif isinstance(values.dtype, pd.CategoricalDtype):
            mask = category_codes(values) < 0
        else:
            mask = values.isna().to_numpy(dtype=bool)
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
    changed = _changed(frame)
    return frame.assign(**changed) if changed else frame


def plain_columns(columns: Columns) -> Columns:
    """The same of single columns."""
    return columns.assign(_changed(columns.series))


def _changed(columns: pd.DataFrame | Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """The columns that are not plain, made so."""
    changed: dict[str, pd.Series] = {}
    for name, old in columns.items():
        new = _plain(str(name), old)
        if new is not old:
            changed[str(name)] = new
    return changed


def _plain(name: str, values: pd.Series) -> pd.Series:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = category_codes(values)
        used = np.zeros(len(dtype.categories) + 1, dtype=bool)
        used[codes] = True  # the last where a value is missing
        return values if used[:-1].all() else values.cat.remove_unused_categories()
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbMm":
        return values
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise DataError(f"column '{name}' holds complex numbers", hint="Take the real part, or the modulus.")
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
    if found == "integer":
        return pd.Series(values.astype(_whole(name, min(values), max(values))), index=given.index, name=name)
    if found in ("floating", "mixed-integer-float", "decimal"):
        return pd.Series(values.astype(np.float64), index=given.index, name=name)
    if found in ("datetime", "datetime64", "date"):
        return pd.Series(pd.to_datetime(values), index=given.index, name=name)
    if found in ("timedelta", "timedelta64"):
        return pd.Series(pd.to_timedelta(values), index=given.index, name=name)
    types = sorted({type(v).__name__ for v in values})
    raise DataError(
        f"column '{name}' holds values of type {', '.join(types)}, which is neither number, boolean, text nor category",
        hint=f"Convert it first, for instance with data['{name}'].astype(str).",
    )


def kind(values: pd.Series) -> Kind:
    """Which of the five kinds a plain column is."""
    return kind_of(values.dtype)


def kind_of(dtype: Any) -> Kind:
    """Which of the five kinds a plain column of this type is."""
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return "number"
    if dtype.kind == "b":
        return "boolean"
    return "time" if dtype.kind in "Mm" else "text"


def has_text_categories(dtype: Any) -> bool:
    """Whether columns of this type are categories whose levels are text."""
    return isinstance(dtype, pd.CategoricalDtype) and dtype.categories.inferred_type == "string"


def examples(values: pd.Series) -> str:
    """Write the first few distinct values, as Python writes them."""
    return ", ".join(repr(v) for v in pd.unique(values)[:3].tolist())
