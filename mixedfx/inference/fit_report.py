"""The report of a mixed model: what `fit.report()` of a linear, generalised linear or Bayesian fit gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixedfx.errors import MixedfxError
from mixedfx.inference.fit_words import fit_answer, fit_code, methods_paragraph
from mixedfx.output import write_whole
from mixedfx.results.frames import frame_table
from mixedfx.results.page import Figure, Page, not_drawn
from mixedfx.results.render import SummaryContent, SummaryTable

PICTURES = (
    ("caterpillar", "Effects of the groups, beyond what the fixed effects say, with 95 % intervals."),
    ("slopes", "A line for each group, and the line of the population."),
    ("fitted", "Observed over fitted values, a panel for each group."),
    ("residuals", "Residuals over fitted values, with running means: a trend or a funnel speaks against the model."),
    ("quantiles", "Ordered residuals over normal quantiles: on the line where they are normal."),
    ("ppc", "The response, and responses simulated from the model."),
)
OF_GROUPS = ("caterpillar", "slopes", "fitted")
HEADERS = {
    "term": "Term", "group": "Group", "level": "Level", "estimate": "Estimate", "std_error": "Std. error",
    "statistic": "t or z", "df": "df", "p_value": "p", "conf_low": "Lower", "conf_high": "Upper",
}  # fmt: skip


def fit_report(
    fit: Any,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    data: str = "data",
    labels: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> str:
    """The page as text, and as a file where a path is given; see `LmerFit.report`."""
    page = fit_page(fit, title, data, labels or {}, level).html()
    if path is not None:
        write_whole(path, page.encode())
    return page


def fit_page(fit: Any, title: str | None, data: str, labels: Mapping[str, str], level: float) -> Page:
    """What the report of a fit holds."""
    response = labels.get(fit.design.response_name, fit.design.response_name)
    shown = PICTURES if fit.design.random else [p for p in PICTURES if p[0] not in OF_GROUPS]
    figures, left_out = pictures_of(fit, shown)
    table = frame_table(fit.tidy(level=level), f"Coefficients, {100 * level:g} % intervals")
    sections = [("Summary", fit.summary()._repr_html_())]
    for heading, name in (("Priors", "prior_summary"), ("Diagnostics", "diagnostics")):
        if hasattr(fit, name):
            sections.append((heading, getattr(fit, name)()._repr_html_()))
    return Page(
        title=title or f"What {response} depends on",
        answer=fit_answer(fit, labels, level),
        model=str(fit.design.formula),
        caveats=caveats_of(fit),
        table=SummaryContent("Coefficients", (renamed(table, HEADERS),)).html(),
        figures=figures,
        left_out=left_out,
        sections=tuple(sections),
        methods=methods_paragraph(fit),
        code="\n".join(["import mixedfx as mx", "", fit_code(fit, data), "print(fit.summary())"]),
    )


def renamed(table: SummaryTable, headers: Mapping[str, str]) -> SummaryTable:
    """The table with headers for people."""
    header = tuple(headers.get(name, name) for name in table.header)
    return SummaryTable(table.title, header, table.rows, table.align, table.more, table.whole)


def caveats_of(fit: Any) -> tuple[str, ...]:
    """What speaks against a fit: its sampler, its optimiser, a singular estimate, rows that were left out."""
    texts = [text for _, text in fit.concerns]
    optimum = getattr(fit, "optimization", None)
    if optimum is not None and not fit.converged:
        texts.append(f"The optimiser did not certify its estimates: {optimum.message}.")
    report = fit.singularity
    if report is not None and report.singular:
        texts.append(f"The fit is singular: {report.found}.")
    if fit.design.aliased:
        texts.append(f"Dropped as linear combinations of other columns: {', '.join(fit.design.aliased)}.")
    rows = fit.design.rows
    if rows.dropped_missing:
        texts.append(f"{rows.dropped_missing:,} of {rows.total:,} rows have missing values and were left out.")
    texts.append(fit.uncertainty)
    return tuple(texts)


def pictures_of(fit: Any, kinds: Sequence[tuple[str, str]]) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Pictures that a fit has, and why others of those it offers are missing."""
    figures, left_out = [], []
    for kind, caption in kinds:
        draw = fit.ppc if kind == "ppc" and hasattr(fit, "ppc") else None
        if kind != "ppc" and hasattr(fit, "plot"):
            draw = lambda kind=kind: fit.plot(kind)  # noqa: E731
        if draw is None:
            continue
        try:
            figures.append(Figure(draw().render(dpi=150), caption))
        except MixedfxError as error:
            if kind not in ("slopes", "ppc", "fitted"):  # which many fits have no reason to show
                left_out.append(not_drawn(kind, error))
    return tuple(figures), tuple(dict.fromkeys(left_out))
