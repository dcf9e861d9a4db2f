"""Files of Stata, SPSS and SAS: codes with labels, values that are missing in several ways, labels of variables.

pyreadstat reads SPSS and SAS (labels of SAS are in `mixedfx.files.catalogue`), and the labels of Stata; Stata's values
are read by pandas, which tells system-missing values from extended ones (.a to .z). Blank text is missing, as it is in
these programs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError
from mixedfx.files.catalogue import Catalogue, catalogue
from mixedfx.files.labelled import LabelNotes, Values, decoded
from mixedfx.files.recognised import Recognised, with_labels
from mixedfx.optional import package

BLANK = "blank"


def read_spss(path: Path, values: Values, encoding: str | None) -> Recognised:
    """Read an SPSS file.

    User-missing values, single ones and ranges, are missing and counted under their labels; a variable whose measure is
    ordinal becomes ordered categories.
    """
    reader = package("pyreadstat", "SPSS files need", "files")
    frame, about = reader.read_sav(str(path), user_missing=True, encoding=encoding)
    ordinal = {name for name, measure in about.variable_measure.items() if measure == "ordinal"}
    missing = {name: _in_ranges(ranges) for name, ranges in about.missing_ranges.items()}
    return _recognised(frame, "SPSS", about, missing, ordinal, values)


def read_portable(path: Path, values: Values, encoding: str | None) -> Recognised:
    """Read a portable file of SPSS (por), whose names are in capitals; its user-missing values are missing."""
    if encoding is not None:
        raise OptionError("the encoding of .por files cannot be chosen", hint="Leave encoding= out, or save as .sav.")
    frame, about = package("pyreadstat", "SPSS files need", "files").read_por(str(path))
    return _recognised(frame, "SPSS, portable", about, {}, set(), values)


def read_stata(path: Path, values: Values, encoding: str | None) -> Recognised:
    """Read a Stata file; extended missing values (.a to .z) are missing, and counted under their labels."""
    about = package("pyreadstat", "the labels of Stata files need", "files").read_dta(
        str(path), metadataonly=True, encoding=encoding
    )[1]  # fmt: skip
    frame: Any = pd.read_stata(path, convert_categoricals=False)
    notes = LabelNotes()
    lacking = [c for c in frame if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].isna().any()]
    if lacking:
        told: Any = pd.read_stata(path, columns=lacking, convert_categoricals=False, convert_missing=True)
        for name in lacking:
            for kind, rows in told.loc[frame[name].isna().to_numpy(), name].map(str).value_counts(sort=False).items():
                label = about.variable_value_labels.get(name, {}).get(str(kind).removeprefix("."))
                if kind != ".":
                    notes.lost(str(name), f"{kind} {label!r}" if label else str(kind), int(rows))
    for name in frame.columns:
        if frame[name].dtype.kind in "iu":  # a label's code is a whole number, whatever holds the data
            frame[name] = frame[name].astype(np.int64)
    return _recognised(frame, "Stata", about, {}, set(), values, notes)


def read_sas(
    path: Path, encoding: str | None, values: Values = "auto", catalog: str | Path | None = None
) -> Recognised:
    """Read a SAS file (sas7bdat); special missing values (.A to .Z) are missing and counted.

    Codes have the labels of a catalogue, which is named or stands beside the file (`mixedfx.files.catalogue`).
    """
    read = package("pyreadstat", "SAS files need", "files").read_sas7bdat
    return _read_sas(path, read, encoding, True, values, catalogue(path, catalog, encoding))


def read_transport(path: Path, encoding: str | None) -> Recognised:
    """Read a transport file of SAS (xpt)."""
    return _read_sas(path, package("pyreadstat", "SAS files need", "files").read_xport, encoding, False)


def _read_sas(
    path: Path, read: Callable[..., Any], encoding: str | None, special: bool, values: Values = "codes",
    formats: Catalogue | None = None,
) -> Recognised:  # fmt: skip
    frame, about = read(str(path), encoding=encoding)
    formats = Catalogue({}) if formats is None else formats
    about.variable_value_labels = formats.labels_of(about.variable_to_label)
    said = formats.said if about.variable_value_labels else formats.idle
    notes = LabelNotes()
    lacking = [c for c in frame if special and pd.api.types.is_numeric_dtype(frame[c]) and frame[c].isna().any()]
    if lacking:
        told = read(str(path), encoding=encoding, user_missing=True, usecols=lacking)[0]
        for name in lacking:
            letters = told.loc[[isinstance(cell, str) for cell in told[name]], name]
            for kind, rows in letters.value_counts(sort=False).items():
                label = about.variable_value_labels.get(name, {}).get(str(kind))
                notes.lost(str(name), f".{kind} {label!r}" if label else f".{kind}", int(rows))
    found = _recognised(frame, "SAS", about, {}, set(), values, notes)
    return replace(found, notes=(said, *found.notes)) if said else found


def _recognised(
    frame: pd.DataFrame, what: str, about: Any, missing: Mapping[str, Callable[[Any], bool]], ordinal: set[str],
    values: Values, notes: LabelNotes | None = None,
) -> Recognised:  # fmt: skip
    """The frame with labels in place of codes, and what is to be said."""
    notes = LabelNotes() if notes is None else notes
    columns: dict[Any, pd.Series] = {}
    for name in frame.columns:
        column: Any = frame[name]
        if pd.api.types.infer_dtype(column, skipna=True) == "string":
            column = _without_blanks(column, notes)
        elif pd.api.types.infer_dtype(column, skipna=True) == "date":
            column = pd.to_datetime(column)
        labels = about.variable_value_labels.get(name, {})
        if pd.api.types.is_numeric_dtype(column):  # letters are Stata's extended missing values
            labels = {code: text for code, text in labels.items() if not isinstance(code, str)}
        if labels or name in missing:
            column = decoded(column, labels, missing.get(name, _none), values, notes, name in ordinal)
        columns[name] = column
    made, said = with_labels(pd.DataFrame(columns, index=frame.index), about.column_names_to_labels)
    return Recognised(made, what, (*said, *notes.sentences()))


def _without_blanks(column: pd.Series, notes: LabelNotes) -> pd.Series:
    """Text with blank cells missing."""
    blank = column.map(lambda cell: isinstance(cell, str) and not cell.strip()).to_numpy(dtype=bool)
    if not blank.any():
        return column
    notes.lost(str(column.name), BLANK, int(blank.sum()))
    return column.mask(pd.Series(blank, index=column.index))


def _none(code: Any) -> bool:
    return False


def _in_ranges(ranges: Sequence[Mapping[str, Any]]) -> Callable[[Any], bool]:
    """Whether a code lies in one of the ranges that are missing."""

    def inside(code: Any) -> bool:
        return any(
            isinstance(code, str) == isinstance(one["lo"], str) and one["lo"] <= code <= one["hi"] for one in ranges
        )

    return inside
