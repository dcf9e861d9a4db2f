"""Files of the command line: tables in, pictures and JSON out.

Whatever is wrong with a file is a `DataError` of one line, raised before any fitting where that is possible. Output
appears whole or not at all: it is written under another name in the same folder and then renamed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.datasets.load import load, names
from mixedfx.design.design import RowReport
from mixedfx.errors import DataError, OptionError
from mixedfx.files.read import Options, recognise


def read_na(options: Sequence[str] | None) -> tuple[str, ...]:
    """Words from the values of ``--na``, joined by commas.

    Examples
    --------
    >>> from mixedfx.cli.files import read_na
    >>> read_na(["NA", "-99,refused"])
    ('NA', '-99', 'refused')
    """
    words = tuple(word.strip() for option in options or () for word in option.split(","))
    if not all(words):
        raise OptionError("--na lacks a word", hint="Empty cells are missing in any case; write --na NA,refused.")
    return words


def read_table(source: str, na: Sequence[str] = (), table: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Read a file of any kind that `mixedfx.read` knows, or a data set that comes with the package.

    Parameters
    ----------
    source
        Path of a file, or the name of a data set as `mixedfx.datasets` lists it.
    na
        Words that are missing in text files and workbooks, besides empty cells; `mixedfx.files.text` has the rule.
    table
        Sheet of a workbook, or object of an R file.

    Returns
    -------
    DataFrame
        (rows, columns) with at least one of each.
    list of str
        What was recognised in the file, one sentence each.

    Raises
    ------
    DataError
        If there is no such file, it is of another kind, cannot be read, or holds no rows.
    MissingPackageError
        If what reads such files is not installed.

    Examples
    --------
    >>> from mixedfx.cli.files import read_table
    >>> frame, notes = read_table("star")
    >>> len(frame), notes
    (5826, [])
    """
    if source in names():
        return load(source), []
    path = Path(source)
    if not path.suffix and not path.exists():
        raise DataError(f"{source!r} is neither a file nor a data set", hint=f"Data sets: {', '.join(names())}.")
    found = recognise(source, Options(tuple(na), table, na_option="--na {word}"))
    return found.frame, [f"{source}: {note}" for note in found.notes]


def rows_as_json(rows: RowReport) -> dict[str, Any]:
    """Rows of the data, those used, and why others were not, for ``--json``.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.design import RowReport
    >>> from mixedfx.cli.files import rows_as_json
    >>> rows_as_json(RowReport(10, np.arange(7), {"y": 2, "x": 1}, dropped_missing=3))
    {'total': 10, 'used': 7, 'dropped_missing': 3, 'missing': {'y': 2, 'x': 1}, 'dropped_zero_weight': 0}
    """
    return {
        "total": rows.total,
        "used": len(rows.used),
        "dropped_missing": rows.dropped_missing,
        "missing": {name: int(count) for name, count in rows.missing.items() if count},
        "dropped_zero_weight": rows.dropped_zero_weight,
    }


def check_output(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse an output path that cannot work, before the work that would be lost.

    Raises
    ------
    DataError
        If the name does not end in one of `suffixes`, is a folder, or its folder does not exist or is closed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from mixedfx.cli.files import check_output
    >>> check_output(Path("forest.docx"), [".png", ".svg"])
    Traceback (most recent call last):
        ...
    mixedfx.errors.DataError: forest.docx: the name must end in .png or .svg
    """
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{path}: the name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise DataError(f"{path}: is a folder")
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path}: there is no folder {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise DataError(f"{path}: the folder {str(folder)!r} cannot be written to")
