"""Data frames of R: .rds, .RData and .rda, parsed by rdata (pure Python), which runs nothing that such a file may hold.

Factors become categories in the order of their levels, ordered ones ordered. A level that is itself NA (``addNA``) is a
level in R, in tables and in models, and stays one here, called ``"NA"``. Labelled values (haven's) follow
`mixedfx.files.labelled`, their labels of variables and Hmisc's those of columns. Dates and times become such, numbers
of 64 bits keep all their digits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.files.labelled import LabelNotes, Values, decoded
from mixedfx.files.recognised import Recognised, listed, with_labels
from mixedfx.optional import package

WHAT = "R files need"
SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "days": 86400, "weeks": 604800}


def read_rds(path: Path, table: str | None, values: Values) -> Recognised:
    """Read an .rds file that holds a data frame, or a list with one.

    Raises
    ------
    DataError
        A file without a data frame, or with several and no word which.
    """
    parsed, convert = _parsed(path, ".rds")
    top = {"": parsed.object} if _is_frame(parsed.object, convert) else _elements(parsed.object, convert)
    return _chosen(path, top, table, values, convert)


def read_rdata(path: Path, table: str | None, values: Values) -> Recognised:
    """Read a data frame of an .RData or .rda file, which holds named objects; see `read_rds`."""
    parsed, convert = _parsed(path, ".rda")
    return _chosen(path, dict(_pairs(parsed.object, convert)), table, values, convert)


def _parsed(path: Path, extension: str) -> tuple[Any, Callable[[Any], Any]]:
    """What the file holds, and a function from one of its objects to Python's."""
    package("rdata", WHAT, "files")
    parser, conversion = package("rdata.parser", WHAT, "files"), package("rdata.conversion", WHAT, "files")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = parser.parse_file(path, extension=extension)
    converter = conversion.SimpleConverter({}, default_encoding=parsed.extra.encoding or "utf-8")

    def convert(thing: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of classes that it does not know, which are looked at here
            return converter.convert(thing)

    return parsed, convert


def _kind(thing: Any) -> str:
    return thing.info.type.name


def _pairs(thing: Any, convert: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
    """Names and elements of a pair list."""
    while thing is not None and _kind(thing) == "LIST":
        yield ("" if thing.tag is None else str(convert(thing.tag))), thing.value[0]
        thing = thing.value[1]


def _attributes(thing: Any, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Name -> attribute, unconverted."""
    return dict(_pairs(thing.attributes, convert))


def _texts(thing: Any, convert: Callable[[Any], Any]) -> list[str | None]:
    return [None if text is None else str(text) for text in convert(thing).tolist()]


def _classes(attributes: Mapping[str, Any], convert: Callable[[Any], Any]) -> list[str]:
    return [str(one) for one in _texts(attributes["class"], convert)] if "class" in attributes else []


def _is_frame(thing: Any, convert: Callable[[Any], Any]) -> bool:
    return _kind(thing) == "VEC" and "data.frame" in _classes(_attributes(thing, convert), convert)


def _elements(thing: Any, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Name -> element of a list; nothing of what is no list."""
    if _kind(thing) != "VEC":
        return {}
    attributes = _attributes(thing, convert)
    names = _texts(attributes["names"], convert) if "names" in attributes else [None] * len(thing.value)
    return {name or f"[[{i + 1}]]": one for i, (name, one) in enumerate(zip(names, thing.value, strict=True))}


def _chosen(
    path: Path, objects: Mapping[str, Any], table: str | None, values: Values, convert: Callable[[Any], Any]
) -> Recognised:
    """The data frame that is asked for, or the only one."""
    frames = {name: thing for name, thing in objects.items() if _is_frame(thing, convert)}
    if not frames:
        held = ", ".join(name for name in objects if name) or "one object that is none"
        raise DataError(f"{path}: holds no data frame ({held})", hint="Save it in R: saveRDS(data, 'data.rds').")
    if table is None and len(frames) > 1:
        first = next(iter(frames))
        hint = f"Name one: table={first!r}, on the command line --table {first}."
        raise DataError(f"{path}: holds several data frames: {', '.join(frames)}", hint=hint)
    if table is not None and table not in frames and list(frames) != [""]:
        raise DataError(f"{path}: there is no data frame {table!r}", hint=f"It holds: {', '.join(frames)}.")
    name = next(iter(frames)) if table is None or list(frames) == [""] else table
    frame, notes = _frame(frames[name], values, convert)
    others = [other for other in objects if other != name]
    if others:
        notes.append(f"one object of several, {name!r}; left alone: {listed(others)}")
    return Recognised(frame, "R data frame" + (f" {name!r}" if name else ""), tuple(notes))


def _frame(thing: Any, values: Values, convert: Callable[[Any], Any]) -> tuple[pd.DataFrame, list[str]]:
    """A data frame, and what is to be said of it."""
    attributes = _attributes(thing, convert)
    labelled, columns, labels, left_out, na_levels = LabelNotes(), {}, {}, [], []
    for name, one in _elements(thing, convert).items():
        own = _attributes(one, convert)
        column = None if "dim" in own else _column(name, one, own, values, labelled, convert)
        if column is None:
            left_out.append(name)
            continue
        if "levels" in own and None in _texts(own["levels"], convert):
            na_levels.append(name)
        columns[name] = column
        if "label" in own:
            labels[name] = next(iter(_texts(own["label"], convert)), None)
    names = attributes.get("row.names")
    index = _texts(names, convert) if names is not None and _kind(names) == "STR" else None
    made = pd.DataFrame(columns)
    frame, notes = with_labels(made if index is None or made.empty else made.set_axis(index, axis=0), labels)
    notes += labelled.sentences()
    if na_levels:
        notes.append(f"NA is a level, as R has it, called 'NA': {listed(na_levels)}")
    if left_out:
        notes.append(f"left out, since they are lists or matrices: {listed(left_out)}")
    return frame, notes


def _column(
    name: str, thing: Any, attributes: Mapping[str, Any], values: Values, notes: LabelNotes,
    convert: Callable[[Any], Any],
) -> Any:  # fmt: skip
    """One column as an array or Series; None for lists."""
    kind, classes = _kind(thing), _classes(attributes, convert)
    if kind == "STR":
        column: Any = pd.Series(_texts(thing, convert), dtype=object, name=name)
    elif kind in ("INT", "LGL", "REAL"):
        column = _numbers(thing, kind, name)
    else:
        return None
    if "factor" in classes:
        codes = np.ma.filled(np.ma.asarray(thing.value), 0).astype(np.int64) - 1
        levels = _texts(attributes["levels"], convert)
        of_na = "<NA>" if "NA" in levels else "NA"
        levels = [of_na if level is None else level for level in levels]
        return pd.Categorical.from_codes(codes, pd.Index(levels), ordered="ordered" in classes)
    if "Date" in classes:
        return pd.to_datetime(column.astype(np.float64), unit="D")
    if "POSIXct" in classes:
        zone = next(iter(_texts(attributes["tzone"], convert)), None) if "tzone" in attributes else None
        times = pd.to_datetime(column.astype(np.float64), unit="s")
        return times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times
    if "integer64" in classes:
        whole = np.asarray(thing.value, dtype=np.float64).view(np.int64)
        return pd.Series(whole, name=name, dtype="Int64").mask(pd.Series(whole == np.iinfo(np.int64).min))
    if "labels" in attributes:
        return decoded(column, _labels(attributes, convert), _missing(attributes, convert), values, notes)
    return column


def _numbers(thing: Any, kind: str, name: str) -> pd.Series:
    """Numbers or truth; whole numbers and truth of which some are missing in pandas' types that know that."""
    held = np.ma.asarray(thing.value)
    if kind == "REAL":
        return pd.Series(np.asarray(held, dtype=np.float64), name=name)
    dtype, nullable = (np.bool_, "boolean") if kind == "LGL" else (np.int64, "Int64")
    lacking = np.ma.getmaskarray(held)
    column = pd.Series(np.ma.filled(held, 0).astype(dtype), name=name)
    return column.astype(nullable).mask(pd.Series(lacking)) if lacking.any() else column


def _labels(attributes: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[Any, str]:
    """Code -> label of a labelled column."""
    thing = attributes["labels"]
    texts = _texts(_attributes(thing, convert)["names"], convert)
    codes = _texts(thing, convert) if _kind(thing) == "STR" else np.ma.filled(np.ma.asarray(thing.value), 0).tolist()
    known = [(code, str(text)) for code, text in zip(codes, texts, strict=True) if code is not None and code == code]
    return dict(known)


def _missing(attributes: Mapping[str, Any], convert: Callable[[Any], Any]) -> Callable[[Any], bool]:
    """Whether haven's class for SPSS declares a code missing."""
    codes: set[Any] = set()
    if "na_values" in attributes:
        thing = attributes["na_values"]
        codes = set(_texts(thing, convert) if _kind(thing) == "STR" else np.asarray(thing.value).tolist())
    low, high = np.asarray(attributes["na_range"].value).tolist() if "na_range" in attributes else (np.inf, -np.inf)
    return lambda code: code in codes or (not isinstance(code, str) and low <= code <= high)
