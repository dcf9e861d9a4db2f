"""Text files with one row a line: which separator they have, what is missing in them, and which numbers they hold.

The rule for missing values, the same for every file: an empty cell is missing, and so are the words named by
``--na``. Words by which programs write a missing value (``NA``, ``NaN``, ``null``, ``None``, ``.`` and others,
`MISSING_WORDS`) are missing where all else in the column is numbers, or true and false; in a column of text they are
values, since an arm may be called None and a country NA. Whichever it was is said, with columns and counts of rows, in
a `TextFileWarning`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, TextFileWarning

# "." and its kin (".A", "._") are SAS' and Stata's.
MISSING_WORDS = frozenset(
    ["NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", ".", "._"]
    + [f".{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
)
NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|Inf)")
COMMA_NUMBER = re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?")
# 1,234 is a thousand and more to some and a little above one to others.
PERHAPS_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
TRUTH = {"true": True, "false": False}
SEPARATORS = {",": "commas", ";": "semicolons (;)", "\t": "tabs"}
# Text among numbers is told of where at least this share of the cells are numbers, and so few different texts are not.
MOSTLY, FEW = 0.8, 5
NAMED = 6  # columns that one note names


def read_na(options: Sequence[str] | None) -> tuple[str, ...]:
    """Words from the values of ``--na``, joined by commas.

    Examples
    --------
    >>> from mixedfx.cli.text_files import read_na
    >>> read_na(["NA", "-99,refused"])
    ('NA', '-99', 'refused')
    """
    words = tuple(word.strip() for option in options or () for word in option.split(","))
    if not all(words):
        raise OptionError("--na lacks a word", hint="Empty cells are missing in any case; write --na NA,refused.")
    return words


@dataclass
class _Seen:
    """Columns of one file to tell of: column -> word -> rows."""

    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    strays: dict[str, dict[str, int]] = field(default_factory=dict)
    commas: list[str] = field(default_factory=list)
    either: list[str] = field(default_factory=list)


def read_text(path: Path, separator: str, na: Sequence[str] = ()) -> pd.DataFrame:
    r"""Read a text file whose first line names the columns.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark.
    separator
        The one that its name promises. Another one that the first line has more often is used instead, which is said;
        numbers may then have decimal commas.
    na
        Words that are missing in any column, besides empty cells.

    Returns
    -------
    DataFrame
        (rows, columns).

    Warns
    -----
    TextFileWarning
        A separator, decimal commas, words taken for missing values or kept as text, and text among numbers.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mixedfx.cli.text_files import read_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trial.csv")
    ...     _ = path.write_text("arm,y\nDrug,1.5\nPlacebo,\n")
    ...     read_text(path, ",")["y"].tolist()
    [1.5, nan]
    """
    found = _separator(path, separator)
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would make the first column an index, or drop the surplus with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path, sep=found, encoding="utf-8-sig", index_col=False, low_memory=False, keep_default_na=False,
            na_values=["", *na],
        )  # fmt: skip
    seen = _Seen()
    texts = {name: frame[name] for name in frame if pd.api.types.infer_dtype(frame[name], skipna=True) == "string"}
    told = {name: cells.value_counts(sort=False) for name, cells in texts.items()}
    proof = found != "," and any(_decimal_commas(counts) for counts in told.values())
    for name, cells in texts.items():
        values: Any = _values(str(name), told[name], proof, found != ",", seen)
        if values is not None:
            frame[name] = cells.map(values)  # missing cells stay missing
    for note in _notes(path, separator, found, seen):
        warnings.warn(note, TextFileWarning, stacklevel=2)
    return frame


def _separator(path: Path, promised: str) -> str:
    """The separator that the first line has most often outside quotation marks; the promised one where two tie."""
    with path.open(encoding="utf-8-sig") as file:
        names = re.sub(r'"[^"]*"', "", file.readline())
    return max((promised, *(s for s in SEPARATORS if s != promised)), key=names.count)


def _split(counts: pd.Series) -> tuple[dict[str, int], dict[str, int]]:
    """Texts of a column that are words for a missing value, and all others, with their rows."""
    words, others = {}, {}
    for text, rows in counts.items():
        (words if str(text).strip() in MISSING_WORDS else others)[str(text)] = int(rows)
    return words, others


def _decimal_commas(counts: pd.Series) -> bool:
    """Whether all but words for a missing value are numbers with decimal commas that cannot be anything else."""
    texts = [text.strip() for text in _split(counts)[1]]
    commas = [text for text in texts if "," in text]
    return (
        bool(commas) and all(map(COMMA_NUMBER.fullmatch, texts)) and not all(map(PERHAPS_THOUSANDS.fullmatch, commas))
    )


def _values(name: str, counts: pd.Series, proof: bool, commas: bool, seen: _Seen) -> dict[str, Any] | None:
    """What the texts of a column stand for; None where they stand for themselves."""
    words, others = _split(counts)
    plain = {text: text.strip() for text in others}
    if others and all(map(NUMBER.fullmatch, plain.values())):
        values: dict[str, Any] = {text: float(cell) for text, cell in plain.items()}
    elif others and all(cell.lower() in TRUTH for cell in plain.values()):
        values = {text: TRUTH[cell.lower()] for text, cell in plain.items()}
    elif commas and others and all(map(COMMA_NUMBER.fullmatch, plain.values())):
        if not proof:
            seen.either.append(name)
            return None
        seen.commas.append(name)
        values = {text: float(cell.replace(",", ".")) for text, cell in plain.items()}
    else:
        if words:
            seen.kept[name] = words
        strays = {text: rows for text, rows in others.items() if not NUMBER.fullmatch(plain[text])}
        numbers = sum(others.values()) - sum(strays.values())
        if len(strays) <= FEW and numbers >= MOSTLY * sum(others.values()):
            seen.strays[name] = strays
        return None
    if words:
        seen.missing[name] = words
    return values | dict.fromkeys(words, np.nan)


def _notes(path: Path, promised: str, found: str, seen: _Seen) -> list[str]:
    notes = []
    if found != promised:
        notes.append(f"{path}: columns are separated by {SEPARATORS[found]}, not by {SEPARATORS[promised]}")
    if seen.commas:
        notes.append(f"{path}: numbers with decimal commas in {_listed(seen.commas)}")
    if seen.either:
        notes.append(
            f"{path}: left as text, since 1,234 may be a thousand and more or just above one: {_listed(seen.either)}"
        )
    if seen.missing:
        notes.append(f"{path}: read as missing among numbers: {_counted(seen.missing)}")
    if seen.kept:
        word = next(iter(next(iter(seen.kept.values())))).strip()
        notes.append(f"{path}: kept as text, not missing: {_counted(seen.kept)}. --na {word} makes it missing.")
    if seen.strays:
        word = next(iter(next(iter(seen.strays.values()))), "").strip()
        notes.append(
            f"{path}: text among numbers makes a column of text: {_counted(seen.strays)}. --na {word} makes it missing."
        )
    return notes


def _counted(columns: Mapping[str, Mapping[str, int]]) -> str:
    """``'NA' in country (5 rows)`` and so on."""
    return _listed(
        [
            " and ".join(
                f"{word.strip()!r} in {name} ({rows:,} row{'' if rows == 1 else 's'})" for word, rows in words.items()
            )
            for name, words in columns.items()
        ]
    )


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - NAMED:,} more columns"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])
