"""Text files with one row a line: which separator they have, what is missing in them, and which numbers they hold.

The rule for missing values, the same for every file: an empty cell is missing, and so are the words that the user
names. Words by which programs write a missing value (``NA``, ``NaN``, ``null``, ``None``, ``.`` and others,
`MISSING_WORDS`) are missing where all else in the column is numbers, or true and false; in a column of text they are
values, since an arm may be called None and a country NA. Whichever it was is said, with columns and counts of rows.
"""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.files.exports import MOST, Export, header_of
from mixedfx.files.recognised import Recognised, cells, listed, renamed, with_labels

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
DIRECTIVE = re.compile(r"sep=([,;\t|])", re.IGNORECASE)
BLANKS = r"\s+"
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Text among numbers is told of where at least this share of the cells are numbers, and so few different texts are not.
MOSTLY, FEW = 0.8, 5


@dataclass
class CellNotes:
    """Columns of one file to tell of: column -> word -> rows.

    Attributes
    ----------
    option
        How the user names a word that is missing, with ``{word}`` in its place.
    missing, kept, strays
        Words that were taken for missing values, or kept as text; text among numbers.
    commas, either
        Columns with decimal commas, and those whose commas may be anything.
    """

    option: str
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    strays: dict[str, dict[str, int]] = field(default_factory=dict)
    commas: list[str] = field(default_factory=list)
    either: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What to say of them."""
        said = []
        if self.commas:
            said.append(f"numbers with decimal commas in {listed(self.commas)}")
        if self.either:
            said.append(
                f"left as text, since 1,234 may be a thousand and more or just above one: {listed(self.either)}"
            )
        if self.missing:
            said.append(f"read as missing among numbers: {cells(self.missing)}")
        if self.kept:
            said.append(f"kept as text, not missing: {cells(self.kept)}. {self._way(self.kept)}")
        if self.strays:
            said.append(f"text among numbers makes a column of text: {cells(self.strays)}. {self._way(self.strays)}")
        return said

    def _way(self, columns: Mapping[str, Mapping[str, int]]) -> str:
        word = next(iter(next(iter(columns.values()))), "").strip()
        return f"{self.option.format(word=word)} makes it missing."


def read_text(
    path: Path, separator: str, na: Sequence[str], option: str, encoding: str | None = None, export: Export = "auto"
) -> Recognised:  # fmt: skip
    r"""Read a text file whose first line names the columns.

    Parameters
    ----------
    path
        UTF-8, with or without a byte order mark, or UTF-16 with one.
    separator
        The one that its name promises. Another one that the first line has more often is used instead, which is said;
        numbers may then have decimal commas.
    na
        Words that are missing in any column, besides empty cells.
    option
        As in `CellNotes`.
    encoding
        Of the file, where it is none of these.
    export
        Whether headers of survey services are recognised (`mixedfx.files.exports`).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from mixedfx.files.text import read_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trial.csv")
    ...     _ = path.write_text("arm;y\nDrug;1,5\nPlacebo;\n")
    ...     found = read_text(path, ",", (), "na=[{word!r}]")
    >>> found.frame["y"].tolist(), found.notes[0]
    ([1.5, nan], 'columns are separated by semicolons (;), not by commas')
    """
    if encoding is None:
        with path.open("rb") as file:
            encoding = "utf-16" if file.read(2) in UTF16 else "utf-8-sig"
    found, directive = _separator(path, separator, encoding)
    header = None
    if export == "auto" and found != BLANKS:
        header = header_of(_first_rows(path, found, encoding, int(directive)))
    naming: dict[str, Any] = {} if header is None else {"header": None, "names": list(header.names)}
    with warnings.catch_warnings():
        # Rows longer than the header: pandas would make the first column an index, or drop the surplus with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path, sep=found, encoding=encoding, index_col=False, low_memory=False, keep_default_na=False,
            na_values=["", *na], skiprows=int(directive) + (0 if header is None else header.rows), **naming,
        )  # fmt: skip
    seen = CellNotes(option)
    texts = {name: frame[name] for name in frame if pd.api.types.infer_dtype(frame[name], skipna=True) == "string"}
    told = {name: column.value_counts(sort=False) for name, column in texts.items()}
    proof = found != "," and any(_decimal_commas(counts) for counts in told.values())
    for name, column in texts.items():
        values: Any = cell_values(str(name), told[name], seen, proof, found != ",")
        if values is not None:
            frame[name] = column.map(values)  # missing cells stay missing
    notes = seen.sentences()
    twice = renamed(frame.columns)
    if header is not None:
        frame, said = with_labels(frame, header.labels)
        notes = [header.note, *said, *notes]
    if twice:
        notes.insert(0, f"columns of one name, told apart: {listed(twice)}")
    if found != separator:
        promised, used = (SEPARATORS.get(sign, "blanks") for sign in (separator, found))
        notes.insert(0, f"columns are separated by {used}, not by {promised}")
    if encoding == "utf-16":
        notes.insert(0, "encoded as UTF-16")
    return Recognised(frame, f"text, columns separated by {SEPARATORS.get(found, 'blanks')}", tuple(notes))


def _first_rows(path: Path, separator: str, encoding: str, skipped: int) -> list[list[str]]:
    """The first rows of cells, of which a cell may hold several lines."""
    with path.open(encoding=encoding, newline="") as file:
        for _ in range(skipped):
            file.readline()
        try:
            return list(islice(csv.reader(file, delimiter=separator), MOST))
        except csv.Error:  # pandas will say what is wrong with the file
            return []


def _separator(path: Path, promised: str, encoding: str) -> tuple[str, bool]:
    """The separator that the first line has most often outside quotation marks; the promised one where two tie.

    Or the one of a line ``sep=;`` before the names, which Excel writes and reads, and whether there is such a line.

    Blanks (``.txt`` promises nothing) part the columns where no separator stands in the first line, and the second has
    as many words.
    """
    with path.open(encoding=encoding) as file:
        lines = [re.sub(r'"[^"]*"', "x", file.readline()) for _ in range(2)]
    if directive := DIRECTIVE.fullmatch(lines[0].strip("\r\n")):
        return directive[1], True
    found = max((promised, *(s for s in SEPARATORS if s != promised)), key=lines[0].count)
    words = [len(line.split()) for line in lines]
    if found not in lines[0] and path.suffix.lower() == ".txt" and words[0] > 1 and words[0] == words[1]:
        return BLANKS, False
    return found, False


def _split(counts: Mapping[Hashable, Any] | pd.Series) -> tuple[dict[str, int], dict[str, int]]:
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


def cell_values(
    name: str, counts: pd.Series, seen: CellNotes, proof: bool = False, commas: bool = False
) -> dict[str, Any] | None:  # fmt: skip
    """What the texts of a column stand for; None where they stand for themselves.

    Parameters
    ----------
    name
        Of the column.
    counts
        Text -> rows.
    seen
        Takes what is to be told.
    proof
        Whether another column shows that numbers have decimal commas.
    commas
        Whether they may have.
    """
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
