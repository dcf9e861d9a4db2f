"""What was recognised in a file: the table, and sentences on what its cells were taken for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

NAMED = 6  # columns that one note names
VARIABLE_LABELS = "variable_labels"
"""Where a frame's ``attrs`` hold what its columns are called in pictures: column -> label."""


@dataclass(frozen=True)
class Recognised:
    """A table that was read from a file.

    Attributes
    ----------
    frame
        (rows, columns); ``attrs["variable_labels"]`` holds the labels of columns where the file has some.
    what
        What kind of file it is.
    notes
        Sentences on what cells were taken for.
    """

    frame: pd.DataFrame
    what: str
    notes: tuple[str, ...] = ()

    def message(self, name: str) -> str:
        """One message about the file of this name.

        Examples
        --------
        >>> import pandas as pd
        >>> from mixedfx.files.recognised import Recognised
        >>> print(Recognised(pd.DataFrame({"y": [1, 2]}), "Stata", ("labels of 1 variable",)).message("trial.dta"))
        trial.dta: Stata, 2 rows, 1 column
          - labels of 1 variable
        """
        rows, columns = self.frame.shape
        head = f"{name}: {self.what}, {counted(rows, 'row')}, {counted(columns, 'column')}"
        return "\n".join([head, *(f"  - {note}" for note in self.notes)])


def with_labels(frame: pd.DataFrame, labels: Mapping[Any, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The frame with the labels of its columns, and a note on them.

    Parameters
    ----------
    frame
        The table.
    labels
        Column -> label; blank ones, and those of columns that are not there, are left out.
    """
    kept = {str(name): " ".join(str(text).split()) for name, text in labels.items() if text and name in frame.columns}
    kept = {name: text for name, text in kept.items() if text}
    if not kept:
        return frame, []
    frame.attrs[VARIABLE_LABELS] = kept
    return frame, [f"labels of {counted(len(kept), 'variable')}, which pictures show"]


def renamed(columns: Iterable[Any]) -> list[str]:
    """Columns that pandas calls ``a.1`` because another is called ``a``.

    Examples
    --------
    >>> from mixedfx.files.recognised import renamed
    >>> renamed(["a", "a.1", "v1.2"])
    ['a.1']
    """
    names = [str(name) for name in columns]
    return [name for name in names if (found := re.fullmatch(r"(.+)\.\d+", name)) and found[1] in names]


def counted(n: int, noun: str) -> str:
    """``'1 row'``, ``'2,000 rows'``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def cells(columns: Mapping[str, Mapping[Any, int]]) -> str:
    """Texts of cells by column, with their rows: ``'NA' in country (5 rows)`` and so on."""
    return listed(
        [
            " and ".join(f"{str(word).strip()!r} in {name} ({counted(rows, 'row')})" for word, rows in words.items())
            for name, words in columns.items()
        ]
    )


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = [f"{len(names) - NAMED:,} more columns"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])
