"""Workbooks of Excel: the first sheet, or the one that is named; its first row names the columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.files.exports import MOST, Export, header_of
from mixedfx.files.labelled import written
from mixedfx.files.recognised import Recognised, counted, listed, renamed, with_labels
from mixedfx.files.text import CellNotes, cell_values
from mixedfx.optional import package


def read_excel(
    path: Path, sheet: str | None, na: Sequence[str], option: str, export: Export = "auto"
) -> Recognised:  # fmt: skip
    """Read one sheet.

    Columns in which numbers and text meet follow the rule of text files (`mixedfx.files.text`); numbers that a workbook
    holds as text throughout stay text. Rows and columns without any cell are left out.

    Parameters
    ----------
    path
        An .xlsx file.
    sheet
        Name of a sheet; None: the first.
    na, option, export
        As in `mixedfx.files.text.read_text`.

    Raises
    ------
    DataError
        Where there is no such sheet.
    MissingPackageError
        Without openpyxl.
    """
    package("openpyxl", "Excel files need", "files")
    with pd.ExcelFile(path, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        if sheet is not None and sheet not in names:
            raise DataError(f"{path}: there is no sheet {sheet!r}", hint=f"Its sheets: {', '.join(names)}.")
        chosen = names[0] if sheet is None else sheet
        frame: Any = pd.read_excel(book, sheet_name=chosen, dtype=object, keep_default_na=False, na_values=["", *na])
    header = None if export == "none" else header_of(_first_rows(frame))
    if header is not None:
        frame = frame.iloc[header.rows - 1 :].set_axis(list(header.names), axis=1).reset_index(drop=True)
    frame = frame.infer_objects()  # text that looks like a number stays text
    notes = []
    if header is not None:
        frame, said = with_labels(frame, header.labels)
        notes += [header.note, *said]
    if sheet is None and len(names) > 1:
        notes.append(f"the first of {len(names)} sheets, {chosen!r}; table= names another: {listed(names[1:])}")
    empty = frame.isna().all(axis=1) if len(frame.columns) else pd.Series(dtype=bool)
    nameless = [c for c in frame.columns if str(c).startswith("Unnamed: ") and frame[c].isna().all()]
    if nameless:
        frame = frame.drop(columns=nameless)
    twice = renamed(frame.columns)
    if twice:
        notes.append(f"columns of one name, told apart: {listed(twice)}")
    if empty.any():
        notes.append(f"{counted(int(empty.sum()), 'row')} without any cell left out")
        frame = frame.loc[~empty].reset_index(drop=True)
    seen = CellNotes(option)
    for name in frame.columns:
        settled = _settled(str(name), frame[name], seen)
        if settled is not None:
            frame[name] = settled
    return Recognised(frame, f"Excel, sheet {chosen!r}", (*notes, *seen.sentences()))


def _first_rows(frame: pd.DataFrame) -> list[list[str]]:
    """The names and the first rows below them as text."""
    rows = [
        ["" if pd.isna(cell) else str(cell) for cell in row] for row in frame.head(MOST - 1).itertuples(index=False)
    ]
    return [["" if re.match(r"Unnamed: \d+$", str(name)) else str(name) for name in frame.columns], *rows]


def _settled(name: str, column: pd.Series, seen: CellNotes) -> pd.Series | None:
    """A column in which numbers and text meet, as the rule of text files has it; None for any other."""
    if column.dtype != object:
        return None
    text = column.map(lambda cell: isinstance(cell, str))
    number = column.map(lambda cell: isinstance(cell, int | float | np.number) and not isinstance(cell, bool))
    if not text.any() or not (number & column.notna()).any():
        return None
    texts: Any = column.where(column.isna(), column.map(written))
    values = cell_values(name, texts.value_counts(sort=False), seen)
    return texts if values is None else texts.map(values).astype(object).infer_objects()
