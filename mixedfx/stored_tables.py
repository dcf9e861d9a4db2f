"""Tables and arrays as bytes: what `mixedfx.archive` files hold, written and read by NumPy and pandas alone.

A table is a small zip archive: a head in JSON, which lists the columns, and the numbers of each column as they lie in
memory. Reading runs nothing: a column is of one of the kinds below, its arrays of plain numbers, and sizes are compared
with those of the archive before anything is made of them.

    numbers     booleans and numbers of NumPy
    masked      pandas' nullable numbers and booleans: values, and which of them are missing
    time        dates and durations, as whole numbers of a unit; with a time zone, if they have one
    text        UTF-8, one after the other, where each ends, and which are missing
    category    codes, and the categories as a column of their own
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.archive import fits

HEAD = "head.json"
ALLOWED = 64 * 2**20  # bytes that a table may unpack to, however small it is,
RATIO = 500  # and beyond that how many times its own size
PLAIN = re.compile(r"[<|](b1|[iu][1248]|f[248])")
NULLABLE = re.compile("boolean|U?Int(8|16|32|64)|Float(32|64)")
UNITS = ("s", "ms", "us", "ns")

Array = NDArray[Any]
TEXTS = str | dict[str, str]


def table_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as bytes, without its index; of its ``attrs`` texts, and texts by name, such as labels of variables.

    Raises
    ------
    TypeError
        A column of values that are of no kind above, or a name that is no text or stands twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.stored_tables import read_frame, table_bytes
    >>> read_frame(table_bytes(pd.DataFrame({"x": [1.5, 2.0], "g": pd.Categorical(["b", "a"], ["b", "a"])})))
         x  g
    0  1.5  b
    1  2.0  a
    """
    names = list(frame.columns)
    if len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
        raise TypeError("columns of a file have names of their own, which are text")
    parts: list[Array] = []
    columns = [{"name": name} | _kept(frame.loc[:, name], parts) for name in names]
    attrs = {name: value for name, value in frame.attrs.items() if fits(name, str) and fits(value, TEXTS)}
    return _packed({"rows": len(frame), "columns": columns, "attrs": attrs}, parts, zipfile.ZIP_DEFLATED)


def read_frame(content: bytes) -> pd.DataFrame:
    """What `table_bytes` wrote.

    Raises
    ------
    ValueError
        Other bytes, or a table that would unpack to far more than its size.
    """
    head, parts = _unpacked(content)
    rows = head["rows"]
    if not _count(rows) or not isinstance(head["columns"], list):
        raise ValueError("a table has no rows or no columns")
    columns = {}
    for record in head["columns"]:
        if not isinstance(record["name"], str) or record["name"] in columns:
            raise ValueError("columns of a table have names of their own")
        columns[record["name"]] = _column(record, parts, rows)
    found = pd.DataFrame(columns, index=pd.RangeIndex(rows))
    found.attrs = {name: value for name, value in head["attrs"].items() if fits(value, TEXTS)}
    return found


def arrays_bytes(arrays: Mapping[str, NDArray[np.float64]]) -> bytes:
    """Arrays of numbers as bytes, by name; not compressed, since digits of estimates do not repeat."""
    head = [{"name": name, "shape": list(values.shape)} for name, values in arrays.items()]
    parts: list[Array] = [np.asarray(values, dtype=np.float64) for values in arrays.values()]
    return _packed({"arrays": head}, parts, zipfile.ZIP_STORED)


def read_arrays(content: bytes) -> dict[str, NDArray[np.float64]]:
    """What `arrays_bytes` wrote; raises as `read_frame` does.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.stored_tables import arrays_bytes, read_arrays
    >>> read_arrays(arrays_bytes({"mu": np.array([[1.0, 2.0]])}))
    {'mu': array([[1., 2.]])}
    """
    head, parts = _unpacked(content)
    if not isinstance(head["arrays"], list) or len(head["arrays"]) != len(parts):
        raise ValueError("arrays are not those that are named")
    found = {}
    for record, part in zip(head["arrays"], parts, strict=True):
        shape = record["shape"]
        if not isinstance(record["name"], str) or not isinstance(shape, list) or not all(map(_count, shape)):
            raise ValueError("an array has no name or no shape")
        found[record["name"]] = _numbers(part, "<f8").reshape(shape)
    return found


# --- columns -------------------------------------------------------------------------------------------------------
def _kept(values: pd.Series, parts: list[Array]) -> dict[str, Any]:
    """The record of a column; its arrays go to `parts`."""
    dtype: Any = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        own = _kept(pd.Series(dtype.categories), parts)
        return {
            "kind": "category", "ordered": bool(dtype.ordered), "count": len(dtype.categories), "categories": own,
            "codes": _put(values.cat.codes.to_numpy(), parts),
        }  # fmt: skip
    if isinstance(dtype, pd.StringDtype):
        return _kept_text(values, "str" if dtype.na_value is np.nan else "string", parts)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _kept_times(values.dt.tz_convert("UTC").dt.tz_localize(None), parts) | {"zone": str(dtype.tz)}
    if NULLABLE.fullmatch(str(dtype)):
        missing = values.isna().to_numpy()
        filled = values.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return {"kind": "masked", "of": str(dtype), "values": _put(filled, parts), "missing": _put(missing, parts)}
    if not isinstance(dtype, np.dtype):
        return _kept_objects(pd.Series(values.to_numpy(dtype=object), name=values.name), parts)
    if dtype.kind in "mM":
        return _kept_times(values, parts)
    if dtype.kind in "biuf" and dtype.itemsize <= 8:
        return {"kind": "numbers", "values": _put(values.to_numpy(), parts)}
    if dtype.kind == "O":
        return _kept_objects(values, parts)
    raise TypeError(f"column '{values.name}' holds values of type {dtype}")


def _kept_objects(values: pd.Series, parts: list[Array]) -> dict[str, Any]:
    """A column of Python objects, by what they are."""
    found = pd.api.types.infer_dtype(values, skipna=True)
    missing = bool(values.isna().any())
    if found in ("string", "empty"):
        return _kept_text(values, "object", parts)
    if found in ("date", "datetime", "datetime64"):
        return _kept(pd.to_datetime(values), parts)
    if found in ("integer", "boolean") and missing:
        return _kept(values.astype("Int64" if found == "integer" else "boolean"), parts)
    if found in ("integer", "boolean"):
        return _kept(values.astype(np.int64 if found == "integer" else bool), parts)
    if found in ("floating", "mixed-integer-float", "decimal"):
        return _kept(values.astype(np.float64), parts)
    raise TypeError(f"column '{values.name}' holds {found} values")


def _kept_times(values: pd.Series, parts: list[Array]) -> dict[str, Any]:
    kind, unit = np.asarray(values.to_numpy()).dtype.kind, np.datetime_data(values.to_numpy().dtype)[0]
    return {"kind": "time", "of": kind, "unit": unit, "values": _put(values.to_numpy().view(np.int64), parts)}


def _kept_text(values: pd.Series, of: str, parts: list[Array]) -> dict[str, Any]:
    missing = values.isna().to_numpy(dtype=bool)
    texts = [b"" if gone else str(text).encode() for text, gone in zip(values.tolist(), missing, strict=True)]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    letters = np.frombuffer(b"".join(texts), dtype=np.uint8)
    record = {"kind": "text", "of": of, "letters": _put(letters, parts), "ends": _put(ends, parts)}
    return record | {"missing": _put(missing, parts)}


def _column(record: Any, parts: list[bytes], rows: int) -> pd.Series:
    """A column from its record."""
    kind = record["kind"]
    if kind == "category":
        categories = pd.Index(_column(record["categories"], parts, _counted(record["count"])))
        codes = _get(record["codes"], parts, rows)
        if len(codes) and not -1 <= codes.min() <= codes.max() < len(categories):
            raise ValueError("codes of categories are not among them")
        dtype = pd.CategoricalDtype(categories, ordered=record["ordered"] is True)
        return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype))
    if kind == "text":
        return _text(record, parts, rows)
    values = _get(record["values"], parts, rows)
    if kind == "numbers":
        return pd.Series(values)
    if kind == "masked":
        found = pd.Series(values).astype(_nullable(record["of"]))
        found[_flags(record["missing"], parts, rows)] = pd.NA
        return found
    if kind == "time" and record["unit"] in UNITS and record["of"] in ("m", "M") and values.dtype == np.int64:
        found = pd.Series(values.view(f"{record['of']}8[{record['unit']}]"))
        zone = record.get("zone")
        return found if zone is None else found.dt.tz_localize("UTC").dt.tz_convert(zone)
    raise ValueError(f"a column is of no known kind: {kind!r:.20}")


def _text(record: Any, parts: list[bytes], rows: int) -> pd.Series:
    letters, ends = _get(record["letters"], parts).tobytes(), _get(record["ends"], parts, rows)
    missing = _flags(record["missing"], parts, rows)
    if ends.dtype != np.int64 or (np.diff(ends, prepend=0) < 0).any() or (ends[-1] if rows else 0) != len(letters):
        raise ValueError("texts of a column do not fill it")
    starts = np.concatenate([[0], ends[:-1]]) if rows else ends
    texts: list[Any] = [letters[a:b].decode() for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
    for gone in np.flatnonzero(missing):
        texts[gone] = None
    of = record["of"]
    if of not in ("str", "string", "object"):
        raise ValueError(f"a column holds no text: {of!r:.20}")
    return pd.Series(texts, dtype=of)


def _nullable(name: Any) -> Any:
    if not isinstance(name, str) or not NULLABLE.fullmatch(name):
        raise ValueError(f"a column is of no known type: {name!r:.20}")
    return pd.api.types.pandas_dtype(name)


# --- arrays --------------------------------------------------------------------------------------------------------
def _put(values: Array, parts: list[Array]) -> dict[str, Any]:
    found = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    parts.append(found)
    return {"part": len(parts) - 1, "dtype": found.dtype.str}


def _get(record: Any, parts: list[bytes], rows: int | None = None) -> Array:
    part = record["part"]
    if not _count(part) or part >= len(parts):
        raise ValueError("an array of a table is missing")
    values = _numbers(parts[part], record["dtype"])
    if rows is not None and len(values) != rows:
        raise ValueError(f"a column has {len(values)} values for {rows} rows")
    return values


def _flags(record: Any, parts: list[bytes], rows: int) -> NDArray[np.bool_]:
    values = _get(record, parts, rows)
    if values.dtype != np.bool_:
        raise ValueError("missing values are not marked")
    return values


def _numbers(part: bytes, dtype: Any) -> Array:
    if not isinstance(dtype, str) or not PLAIN.fullmatch(dtype):
        raise ValueError(f"an array holds no numbers: {dtype!r:.20}")
    found = np.frombuffer(part, dtype=np.uint8 if dtype == "|b1" else dtype)
    return found != 0 if dtype == "|b1" else found.astype(found.dtype.newbyteorder("="))


def _count(value: Any) -> bool:
    return fits(value, int) and 0 <= value < 2**48


def _counted(value: Any) -> int:
    if not _count(value):
        raise ValueError(f"{value!r:.20} is no number of values")
    return int(value)


def _packed(head: Mapping[str, Any], parts: list[Array], how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how, compresslevel=1) as archive:
        archive.writestr(HEAD, json.dumps(head))
        for number, part in enumerate(parts):
            archive.writestr(str(number), part.tobytes())
    return buffer.getvalue()


def _unpacked(content: bytes) -> tuple[dict[str, Any], list[bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        unpacked = sum(info.file_size for info in infos)
        if unpacked > max(ALLOWED, RATIO * len(content)):
            raise ValueError(f"a table of {len(content):,} bytes would take {unpacked:,}")
        if [info.filename for info in infos] != [HEAD, *map(str, range(len(infos) - 1))]:
            raise ValueError("a table holds other members than its columns")
        head, *parts = (archive.read(info) for info in infos)
    record = json.loads(head)
    if not isinstance(record, dict):
        raise ValueError("the head of a table is no record")
    return record, parts
