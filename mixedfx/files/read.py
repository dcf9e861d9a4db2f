"""`read`: a file of any kind that people have, as a data frame, and one message on what was recognised in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.errors import DataError, MixedfxError, OptionError, check_flag, check_option
from mixedfx.files.arrow import read_feather, read_parquet
from mixedfx.files.excel import read_excel
from mixedfx.files.exports import EXPORTS, Export, redcap
from mixedfx.files.labelled import VALUES, Values
from mixedfx.files.r import read_rdata, read_rds
from mixedfx.files.recognised import Recognised
from mixedfx.files.statistical import read_portable, read_sas, read_spss, read_stata, read_transport
from mixedfx.files.text import read_text

SILENCE = "notes=False reads without this message"


@dataclass(frozen=True)
class Options:
    """How a file is to be read; each kind takes what concerns it.

    Attributes
    ----------
    na
        Words that are missing in text files and workbooks, besides empty cells.
    table
        Sheet of a workbook, object of an R file; None: the first sheet, the one table.
    values
        What labelled codes become: ``"auto"``, ``"labels"`` or ``"codes"``.
    encoding
        Of text, where the file does not say it and it is not UTF-8.
    na_option
        How the user names a word that is missing.
    export
        Whether headers of survey services are recognised.
    catalog
        Catalogue of SAS with the labels of codes; None: one that stands beside the data.
    """

    na: tuple[str, ...] = ()
    table: str | None = None
    values: Values = "auto"
    encoding: str | None = None
    na_option: str = "na=[{word!r}]"
    export: Export = "auto"
    catalog: str | Path | None = None


READERS: Mapping[str, Callable[[Path, Options], Recognised]] = {
    ".csv": lambda path, o: read_text(path, ",", o.na, o.na_option, o.encoding, o.export),
    ".tsv": lambda path, o: read_text(path, "\t", o.na, o.na_option, o.encoding, o.export),
    ".txt": lambda path, o: read_text(path, "\t", o.na, o.na_option, o.encoding, o.export),
    ".parquet": lambda path, o: read_parquet(path),
    ".feather": lambda path, o: read_feather(path),
    ".xlsx": lambda path, o: read_excel(path, o.table, o.na, o.na_option, o.export),
    ".dta": lambda path, o: read_stata(path, o.values, o.encoding),
    ".sav": lambda path, o: read_spss(path, o.values, o.encoding),
    ".por": lambda path, o: read_portable(path, o.values, o.encoding),
    ".zsav": lambda path, o: read_spss(path, o.values, o.encoding),
    ".sas7bdat": lambda path, o: read_sas(path, o.encoding, o.values, o.catalog),
    ".xpt": lambda path, o: read_transport(path, o.encoding),
    ".rds": lambda path, o: read_rds(path, o.table, o.values),
    ".rdata": lambda path, o: read_rdata(path, o.table, o.values),
    ".rda": lambda path, o: read_rdata(path, o.table, o.values),
}
"""Ending of a file name, in small letters -> who reads such files."""


def read(
    path: str | Path,
    *,
    na: str | Sequence[str] | None = None,
    table: str | None = None,
    values: Values = "auto",
    encoding: str | None = None,
    export: Export = "auto",
    catalog: str | Path | None = None,
    notes: bool = True,
) -> pd.DataFrame:
    r"""Read a data file of any kind, and say what was recognised in it.

    Parameters
    ----------
    path
        Its name says what it is: text (``.csv``, ``.tsv``, ``.txt``), Excel (``.xlsx``), ``.parquet``, ``.feather``,
        Stata (``.dta``), SPSS (``.sav``, ``.zsav``, ``.por``), SAS (``.sas7bdat``, ``.xpt``), R (``.rds``, ``.RData``,
        ``.rda``). Workbooks and the files of Stata, SPSS, SAS and R need ``pip install 'mixedfx[files]'``.
    na
        Words that are missing in text files and workbooks, besides empty cells. Other words such as NA, None and null
        are missing where all else in their column is numbers, and kept in columns of text.
    table
        Sheet of a workbook, or data frame of an R file that holds several. None: the first sheet, the only data frame.
    values
        What codes with labels become (Stata, SPSS, SAS, R). ``"auto"``: categories in the order of the file's labels,
        or numbers where most of the codes that occur have no label. ``"labels"``, ``"codes"``: categories, or numbers,
        in every column.
    encoding
        Of the text in the file, where it does not say so and is not UTF-8, such as ``"cp1252"``.
    export
        ``"auto"``: the header rows of text files and workbooks that Qualtrics (three), SurveyMonkey (two) and REDCap
        (labels) export are recognised; question texts become labels. ``"none"``: the first row names the columns.
    catalog
        Catalogue of SAS (``.sas7bcat``), which holds the labels of codes for a ``.sas7bdat``. Where None, one beside
        the data that has the same name, or is ``formats.sas7bcat``; the message says so.
    notes
        Whether a message on standard error says what was recognised: separators, decimal commas, words taken for
        missing values, categories, codes without labels, and values that the file declares missing, counted by kind
        (SPSS's user-missing values, Stata's .a to .z).

    Returns
    -------
    DataFrame
        (rows, columns). ``attrs["variable_labels"]`` holds the labels of columns, which pictures show.

    Raises
    ------
    DataError
        If there is no such file, it is of another kind, cannot be read, or holds no rows.
    MissingPackageError
        If the package that reads such files is absent or broken.
    OptionError
        For other `values`, words that are no text, or a `catalog` of data that have none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mixedfx as mx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trial.csv")
    ...     _ = path.write_text("arm;score;n\nNone;1,5;3\nDrug;NA;4\n")
    ...     mx.read(path, notes=False)
        arm  score  n
    0  None    1.5  3
    1  Drug    NaN  4
    """
    check_flag("notes", notes)
    found = recognise(path, Options(_words(na), table, values, encoding, export=export, catalog=catalog))
    if notes:
        print(f"{found.message(str(path))}\n  ({SILENCE})", file=sys.stderr)
    return found.frame


def recognise(path: str | Path, options: Options | None = None) -> Recognised:
    """The table of a file, and what is to be said of it; see `read`."""
    options = Options() if options is None else options
    check_option("values", options.values, VALUES)
    check_option("export", options.export, EXPORTS)
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"a {type(path).__name__} is no path of a file", hint='Write mixedfx.read("survey.sav").')
    shown, path = str(path), Path(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"{shown}: cannot tell the kind of this file", hint=f"Its name must end in {_endings()}.")
    if options.catalog is not None and suffix != ".sas7bdat":
        raise OptionError(f"catalog= is for data of SAS (.sas7bdat), and {shown} is another kind of file")
    if not path.exists():
        raise DataError(f"{shown}: no such file")
    if not path.is_file():
        raise DataError(f"{shown}: not a file")
    try:
        found = READERS[suffix](path, options)
    except MixedfxError:
        raise
    except pd.errors.EmptyDataError:
        raise DataError(f"{shown}: the file is empty") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown}: not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x})",
            hint='Name its encoding: mixedfx.read(path, encoding="cp1252").',
        ) from error
    except OSError as error:
        raise DataError(f"{shown}: cannot be read ({error.strerror or _one_line(error)})") from error
    except Exception as error:  # a damaged file fails anywhere in the library that reads it
        raise DataError(f"{shown}: cannot be read as {suffix} ({_one_line(error)})") from error
    if found.frame.empty:
        raise DataError(f"{shown}: the file holds no rows")
    if options.export == "none" or suffix not in (".csv", ".tsv", ".txt", ".xlsx"):
        return found
    frame, said = redcap(found.frame)
    return replace(found, frame=frame, notes=(*said, *found.notes)) if said else found


def _words(na: Any) -> tuple[str, ...]:
    words = () if na is None else (na,) if isinstance(na, str) else tuple(na)
    if not all(isinstance(word, str) and word.strip() for word in words):
        raise OptionError(f"na={na!r} are no words", hint="Empty cells are missing in any case; write na=['refused'].")
    return words


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()).rstrip(".") or type(error).__name__)[:200]


def _endings() -> str:
    *first, last = READERS
    return f"{', '.join(first)} or {last}"
