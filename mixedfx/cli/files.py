"""Files of the command line: tables in, pictures and JSON out.

Whatever is wrong with a file is a `DataError` of one line, raised before any fitting where that is possible. Output
appears whole or not at all: it is written under another name in the same folder and then renamed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mixedfx.cli.text_files import read_text
from mixedfx.datasets.load import load, names
from mixedfx.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_table(source: str, na: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file, or a data set that comes with the package.

    Parameters
    ----------
    source
        Path that ends in ``.csv``, ``.tsv`` or ``.parquet`` (text is UTF-8, the first line names the columns), or the
        name of a data set as `mixedfx.datasets` lists it.
    na
        Words that are missing in a text file, besides empty cells; `mixedfx.cli.text_files` has the rule.

    Returns
    -------
    DataFrame
        (rows, columns) with at least one of each.

    Raises
    ------
    DataError
        If there is no such file, it is of another kind, cannot be read, or holds no rows.

    Examples
    --------
    >>> from mixedfx.cli.files import read_table
    >>> len(read_table("star"))
    5826
    """
    if source in names():
        return load(source)
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (*SEPARATORS, ".parquet"):
        if not suffix and not path.exists():
            raise DataError(f"{source!r} is neither a file nor a data set", hint=f"Data sets: {', '.join(names())}.")
        raise DataError(
            f"{source}: cannot tell the kind of this file", hint="Its name must end in .csv, .tsv or .parquet."
        )
    if not path.exists():
        raise DataError(f"{source}: no such file")
    if not path.is_file():
        raise DataError(f"{source}: not a file")
    try:
        frame = _read_parquet(path) if suffix == ".parquet" else read_text(path, SEPARATORS[suffix], na)
    except DataError:
        raise
    except pd.errors.EmptyDataError:
        raise DataError(f"{source}: the file is empty") from None
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or _one_line(error)})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x})") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' ParserError and Arrow's errors are ValueErrors
        raise DataError(f"{source}: cannot be read ({_one_line(error)})") from error
    if frame.empty:
        raise DataError(f"{source}: the file holds no rows")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({_one_line(error)})") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


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
