"""Exports of survey services, whose headers have several rows, as tables of one.

* **Qualtrics** writes three: names, question texts, and import ids such as ``{"ImportId":"QID1"}`` by which such a file
  is known. Names stay; the texts become labels of the variables.
* **SurveyMonkey** writes two: questions, and below them the choices of a question that has several columns. It is known
  by its first columns (Respondent ID, Collector ID), which have nothing below them. A column is called by its
  question, and by its choice after a colon where it has one.
* **REDCap**, exporting labels, writes one column for each choice of a check box, ``Race (choice=White)``, with the
  words Checked and Unchecked, which become true and false, and ``Complete?`` for each form: ordered categories.

Read with one row as the names, the second and third rows would be answers, and every column text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import pandas as pd

from mixedfx.files.recognised import counted

Export = Literal["auto", "none"]
EXPORTS = ("auto", "none")
MOST = 3  # rows of a header
IMPORT_ID = re.compile(r'\{\s*"ImportId"\s*:')
RESPONDENT = ("respondent id", "collector id")
PLAIN = ("", "response", "open-ended response")
CHOICE = re.compile(r"\(choice=.*\)$")
CHECKED = {"Checked": True, "Unchecked": False}
FORM_STATES = ("Incomplete", "Unverified", "Complete")


@dataclass(frozen=True)
class Header:
    """A header of several rows.

    Attributes
    ----------
    service
        Who writes such files.
    rows
        How many rows it has.
    names
        The columns.
    labels
        Column -> its question.
    """

    service: str
    rows: int
    names: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What to say of it."""
        way = 'mixedfx.read(..., export="none") takes the first one alone'
        return f"an export of {self.service}: {self.rows} header rows ({way})"


def header_of(rows: Sequence[Sequence[str]]) -> Header | None:
    """The header in the first rows of a table; None where it is a plain one.

    Parameters
    ----------
    rows
        The first three rows, or what there is of them, as text; the names of the columns first.

    Examples
    --------
    >>> from mixedfx.files.exports import header_of
    >>> ids = ['{"ImportId":"status"}', '{"ImportId":"QID1"}']
    >>> found = header_of([["Status", "Q1"], ["Response Type", "How old?"], ids])
    >>> found.service, found.rows, found.labels["Q1"]
    ('Qualtrics', 3, 'How old?')
    """
    for recognised in (_qualtrics, _surveymonkey):
        found = recognised(rows)
        if found is not None:
            return found
    return None


def _qualtrics(rows: Sequence[Sequence[str]]) -> Header | None:
    if len(rows) < MOST or not rows[2] or not all(IMPORT_ID.match(cell) for cell in rows[2] if cell):
        return None
    if not any(rows[2]):
        return None
    names = _told_apart(rows[0])
    return Header("Qualtrics", 3, names, {n: text for n, text in zip(names, rows[1], strict=False) if text != n})


def _surveymonkey(rows: Sequence[Sequence[str]]) -> Header | None:
    if len(rows) < 2 or tuple(cell.strip().lower() for cell in rows[0][:2]) != RESPONDENT or any(rows[1][:2]):
        return None
    names, question = [], ""
    below = [*rows[1], *[""] * (len(rows[0]) - len(rows[1]))]
    for above, choice in zip(rows[0], below, strict=True):
        question = above.strip() or question
        plain = choice.strip().lower() in PLAIN
        names.append(question if plain else f"{question}: {choice.strip()}")
    return Header("SurveyMonkey", 2, _told_apart(names))


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    """The names, the second of one name with ``.1`` as pandas has it."""
    seen: Counter[str] = Counter()
    out = []
    for place, name in enumerate(names):
        text = name.strip() or f"Unnamed: {place}"
        out.append(f"{text}.{seen[text]}" if seen[text] else text)
        seen[text] += 1
    return tuple(out)


def redcap(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Check boxes and form states of REDCap's labels as booleans and categories, and what to say of them.

    A column of check boxes is one called ``... (choice=...)`` with no other words than Checked and Unchecked.
    """
    every = {str(name): cast(pd.Series, frame[name]) for name in frame.columns}
    boxes = [name for name, values in every.items() if CHOICE.search(name) and _only(values, tuple(CHECKED))]
    if not boxes:
        return frame, []
    changed = {name: every[name].map(CHECKED).astype(bool) for name in boxes if not every[name].isna().any()}
    for name, values in every.items():
        if name.startswith("Complete?") and _only(values, FORM_STATES):
            changed[name] = pd.Series(pd.Categorical(values, FORM_STATES, ordered=True), index=frame.index)
    note = (
        f'an export of REDCap: {counted(len(boxes), "column")} of check boxes true or false (export="none" keeps words)'
    )
    return frame.assign(**changed), [note]


def _only(values: pd.Series, words: tuple[str, ...]) -> bool:
    return bool(values.dropna().isin(words).all()) and values.notna().any()
