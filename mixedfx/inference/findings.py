"""What a check of a fit says: one finding for each question asked, and the page they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from mixedfx.design.design import RowReport
from mixedfx.plots.picture import Picture
from mixedfx.results.numbers import p_values
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text

if TYPE_CHECKING:
    pass

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """The answer to one question about a fit.

    Attributes
    ----------
    check
        What was asked: ``"constant variance"``.
    status
        ``"ok"``; ``"note"``: worth knowing; ``"problem"``: it would change conclusions.
    seen
        What was seen, with its numbers.
    consequence
        What it would change, and what to do; empty where all is well.
    p_value
        Of the test behind it, adjusted for the number of places looked at; NaN where there is none.
    """

    check: str
    status: Status
    seen: str
    consequence: str = ""
    p_value: float = float("nan")


def rows_left_out(rows: RowReport) -> tuple[Finding, ...]:
    """A finding about rows that the fit does not use; none where it uses all."""
    return () if len(rows.used) == rows.total else (Finding("rows used", "note", rows_text(rows)),)


@dataclass(frozen=True, eq=False, repr=False)
class CheckReport(Shown):
    """All findings about one fit, and the tables behind its pictures.

    Attributes
    ----------
    title
        What was checked.
    findings
        One for each question.
    pictures
        Tables behind the panels: ``residuals`` (fitted, standardised residual), ``modes`` (group, column, standardised
        mode) and ``influence`` (group, cooks_distance).
    """

    title: str
    findings: tuple[Finding, ...]
    pictures: Mapping[str, pd.DataFrame]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings that would change conclusions."""
        return tuple(f for f in self.findings if f.status == "problem")

    @property
    def table(self) -> pd.DataFrame:
        """One row for each finding: check, status, seen, consequence, p_value."""
        return pd.DataFrame([vars(f) for f in self.findings])

    def __getitem__(self, check: str) -> Finding:
        """The finding of one check by its name."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(f"{check!r}; there are {', '.join(f.check for f in self.findings)}")

    def content(self) -> SummaryContent:
        """The page in words."""
        count = len(self.problems)
        notes = [f.check for f in self.findings if f.status == "note"]
        verdict = "nothing was found that would change conclusions"
        if count:
            verdict = _listed(self.problems)
        elif notes:
            verdict = f"no problem was found; worth knowing: {', '.join(notes)}"
        rows = tuple((f.check, f.status, f.seen + _p(f.p_value)) for f in self.findings)
        blocks: list[SummaryFacts | SummaryTable] = [
            SummaryFacts((("In short", verdict),)),
            SummaryTable("What was looked at", ("Check", "Status", "Seen"), rows, "lll"),
        ]
        advice = tuple((f.check, f.consequence) for f in self.findings if f.consequence)
        if advice:
            blocks.append(SummaryFacts(advice))
        return SummaryContent(self.title, tuple(blocks))

    def plot(self) -> Picture:
        """The page in pictures: residuals, their spread and quantiles, quantiles of the modes, influence of groups."""
        from mixedfx.plots.diagnostics import check_panels

        return Picture(check_panels(self.pictures))


def _listed(problems: tuple[Finding, ...]) -> str:
    return "look at " + ", ".join(f.check for f in problems)


def _p(value: float) -> str:
    shown = p_values([value])[0]
    if shown.startswith("<"):
        return f" (p < {shown[1:]})"
    return f" (p = {shown})" if shown else ""
