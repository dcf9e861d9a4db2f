"""A design in a few lines, as text and as HTML."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixedfx.design.design import Design

_SHOWN = 12


def _entries(design: Design) -> list[tuple[str, str]]:
    names = design.fixed_names
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    entries = []
    if design.categories is not None:
        entries.append((f"response ({len(design.categories)} categories)", ", ".join(design.categories[:_SHOWN])))
    if design.trials is not None:
        entries.append(("trials", f"{design.trials.min():g} to {design.trials.max():g}"))
    entries.append((f"fixed effects ({len(names)})", listed or "none"))
    if design.aliased:
        entries.append(("dropped as linearly dependent", ", ".join(design.aliased)))
    for term in design.random:
        columns = ", ".join(term.columns[:_SHOWN]) + (", ..." if term.n_columns > _SHOWN else "")
        covariance = term.covariance
        plain = "correlated" if covariance.free else "uncorrelated"  # as bars say it
        structure = "" if term.n_columns == 1 else f" ({term.structure if covariance.entries is None else plain})"
        entries.append((f"random effects by {term.label} ({term.n_levels} levels)", columns + structure))
    if design.weights is not None:
        entries.append(("weights", f"{design.weights.min():g} to {design.weights.max():g}"))
    if design.offset.any():
        entries.append(("offset", f"{design.offset.min():g} to {design.offset.max():g}"))
    if design.known_sd is not None:
        entries.append(("known standard deviations", f"{design.known_sd.min():g} to {design.known_sd.max():g}"))
    return entries


def rows_line(design: Design) -> str:
    """How many rows are used, and why others are not."""
    rows = design.rows
    used = len(rows.used)
    if used == rows.total:
        return f"{used} {'row' if used == 1 else 'rows'}"
    reasons = []
    if rows.dropped_missing:
        columns = ", ".join(f"{name} {count}" for name, count in rows.missing.items())
        reasons.append(f"{rows.dropped_missing} dropped for missing values ({columns})")
    if rows.dropped_zero_weight:
        reasons.append(f"{rows.dropped_zero_weight} dropped for a weight of zero")
    return f"{used} of {rows.total} rows: " + ", ".join(reasons)


def as_text(design: Design) -> str:
    """Describe the design in plain text."""
    lines = [f"Design of {design.formula.text}", rows_line(design)]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in _entries(design))])


def as_html(design: Design) -> str:
    """Describe the design as an HTML table."""
    rows = [("rows", rows_line(design)), *_entries(design)]
    body = "".join(f"<tr><th style='text-align:left'>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in rows)
    return f"<p>Design of <code>{escape(design.formula.text)}</code></p><table>{body}</table>"
