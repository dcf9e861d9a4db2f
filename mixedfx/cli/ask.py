"""Questions about effects as the command line words them, and the answers as JSON and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import mixedfx as mx
from mixedfx.cli.files import check_output, rows_as_json
from mixedfx.effects.query import parse_query
from mixedfx.effects.result import Effects
from mixedfx.effects.wording import did_you_mean
from mixedfx.errors import EffectsError
from mixedfx.plots.picture import Picture
from mixedfx.plots.style import need_matplotlib
from mixedfx.results.protocol import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn or written, before the work that would be lost.

    Raises
    ------
    MissingPackageError
        Without matplotlib.
    DataError
        See `mixedfx.cli.files.check_output`.
    """
    need_matplotlib()
    check_output(path, PICTURES)


@dataclass(frozen=True)
class Question:
    """What is asked about one fit.

    Attributes
    ----------
    treatment
        Column whose effect is asked about.
    by
        Margins, each a list of columns; None where none are asked for.
    subgroups
        Name -> query; None where none are asked for.
    weights
        Column of the weights of the rows averaged over.
    level
        Probability the intervals hold.
    """

    treatment: str
    by: list[list[str]] | None
    subgroups: dict[str, str] | None
    weights: str | None
    level: float

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise EffectsError(f"--level {self.level:g} does not lie between 0 and 1", hint="Write --level 0.95.")

    def check(self, rows: pd.DataFrame) -> None:
        """Refuse columns that the rows averaged over do not have, before the model is fitted.

        Raises
        ------
        EffectsError
            Names the column and those it may have been meant for.
        """
        for name in sorted(self.columns - set(rows.columns)):
            raise EffectsError(
                f"the data have no column {name!r}", hint=did_you_mean(name, rows.columns, all_of="Columns")
            )

    @property
    def columns(self) -> frozenset[str]:
        """Columns that the rows averaged over must have, besides those of the model."""
        by = {name for margin in self.by or [] for name in margin}
        queried = {name for text in (self.subgroups or {}).values() for name in parse_query(text).columns}
        return frozenset(by | queried | ({self.weights} if self.weights is not None else set()))


def read_by(options: Sequence[str] | None) -> list[list[str]] | None:
    """Margins from the values of ``--by``.

    Examples
    --------
    >>> from mixedfx.cli.ask import read_by
    >>> read_by(["race", "race,gender"])
    [['race'], ['race', 'gender']]
    """
    if not options:
        return None
    margins = [[name.strip() for name in option.split(",")] for option in options]
    for option, margin in zip(options, margins, strict=True):
        if not all(margin):
            raise EffectsError(f"--by {option!r} lacks a column", hint="Join columns by commas: --by race,gender.")
    return margins


def read_subgroups(options: Sequence[str] | None) -> dict[str, str] | None:
    """Names and queries from the values of ``--subgroup``; the first colon stands between them.

    Examples
    --------
    >>> from mixedfx.cli.ask import read_subgroups
    >>> read_subgroups(["Black boys: race == 'Black' and gender == 'boy'"])
    {'Black boys': "race == 'Black' and gender == 'boy'"}
    """
    if not options:
        return None
    subgroups: dict[str, str] = {}
    for option in options:
        name, colon, query = (part.strip() for part in option.partition(":"))
        if not (name and colon and query):
            hint = "Write a name, a colon and a query: --subgroup \"Black boys: race == 'Black' and gender == 'boy'\"."
            raise EffectsError(f"--subgroup {option!r} cannot be read", hint=hint)
        if name in subgroups:
            raise EffectsError(f"--subgroup names {name!r} twice")
        subgroups[name] = query
    return subgroups


def ask(fit: Fit, data: pd.DataFrame, question: Question, newdata: pd.DataFrame | None = None) -> dict[str, Effects]:
    """Put a question to a fit.

    Parameters
    ----------
    fit
        The fit.
    data
        What it was fitted to. Its rows are averaged over where `newdata` is None; columns that are not in the model,
        which the fit does not keep, are taken from here.
    question
        What is asked.
    newdata
        Rows to average over instead.

    Returns
    -------
    dict
        ``"by"`` and ``"subgroups"`` -> effects, those of them that were asked for; ``"overall"`` where neither was.
    """
    if newdata is None and not question.columns <= set(fit.design.frame.columns):
        newdata = data.iloc[fit.design.rows.used]
    by, subgroups = question.by, question.subgroups
    asked: dict[str, dict[str, Any]] = {}
    if by is not None:
        asked["by"] = {"by": by[0] if len(by) == 1 else by}
    if subgroups is not None:
        asked["subgroups"] = {"subgroups": subgroups}
    common = {"newdata": newdata, "weights": question.weights, "level": question.level}
    return {
        name: mx.effects(fit, question.treatment, **choice, **common)
        for name, choice in (asked or {"overall": {}}).items()
    }


def as_json(answers: Mapping[str, Effects], data: str) -> dict[str, Any]:
    """Content of ``--json``: the question, what the intervals mean, and every table with its own notes."""
    first = next(iter(answers.values()))
    assert first.comparison is not None, "the command asks for effects"
    return {
        "mixedfx": mx.__version__,
        "formula": str(first.fit.design.formula),
        "data": data,
        "rows": rows_as_json(first.fit.design.rows),
        "treatment": first.treatment,
        "comparison": first.comparison.name,
        "level": first.level,
        "uncertainty": first.uncertainty,
        "notes": list(dict.fromkeys(note for answer in answers.values() for note in answer.notes)),
        **{name: answer.table for name, answer in answers.items()},
    }


def picture(answers: Mapping[str, Effects], suffix: str) -> bytes:
    """Forest plot of all answers in one picture.

    Parameters
    ----------
    answers
        As from `ask`; two answers stand under a heading each.
    suffix
        One of `PICTURES`.
    """
    drawn = next(iter(answers.values())).plot() if len(answers) == 1 else Picture(_together(answers))
    return drawn.render(suffix.lower().lstrip("."))


def _together(answers: Mapping[str, Effects]) -> Axes:
    from mixedfx.plots.forest import forest

    cells = [name for name in answers["by"].keys if name != "margin"]
    heading = {"by": f"by {', '.join(cells)}", "subgroups": "named subgroups"}
    parts = [a.table.assign(part=heading[name], subgroup=list(a.labels)) for name, a in answers.items()]
    first = next(iter(answers.values()))
    label = first.what
    table = pd.concat(parts, ignore_index=True)
    return forest(table, labels=["part", "subgroup"], group=True, level=first.level, xlabel=label)
