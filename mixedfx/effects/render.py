"""How effects print: a heading, the answer in a sentence, the columns that say something, what a reader must know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx.effects.answer import answer, caveats, other_notes
from mixedfx.results.numbers import decimals
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import rows_text

if TYPE_CHECKING:
    from mixedfx.effects.state import EffectsState

# Beyond this many rows a printed table is not read; the whole is in `Effects.table`.
MAX_ROWS = 60
NUMBERS = ("estimate", "sd", "lower", "upper")


def content(effects: EffectsState, max_rows: int | None = MAX_ROWS) -> SummaryContent:
    """Return title, answer, table and notes, to be shown as text or HTML; all rows where `max_rows` is None."""
    table = effects.table
    outcomes = effects.comparison is None
    noun = "averages" if outcomes else "effects"
    if effects.aspect:
        noun = f"{effects.aspect}es of {noun}"
    what = f"Differences between {noun}" if "against" in table else noun.capitalize()
    alone = f" {table['contrast'].to_numpy()[0]}" if not outcomes and one_contrast(effects) else ""
    name = "average outcome" if effects.comparison is None else effects.comparison.title
    caption = f"{name}{alone}, {100 * effects.level:g}% intervals"
    columns = shown(effects)
    rows = list(zip(*columns.values(), strict=True))[:max_rows]
    left = len(effects) - len(rows)
    align = "".join("l" if name in effects.names else "r" for name in columns)
    body = SummaryTable(caption, tuple(columns), tuple(rows), align)
    said = [("Answer", " ".join(answer(effects))), *(("Caveat", text) for text in caveats(effects))]
    items = [("Model", str(effects.fit.design.formula))]
    rows_used = effects.fit.design.rows
    if rows_used.dropped_missing or rows_used.dropped_zero_weight:
        items.append(("Data", rows_text(rows_used)))
    items.append(("Uncertainty", effects.uncertainty))
    if left:
        items.append(("Rows", f"{left} more rows in .table."))
    items += [("Note", note) for note in other_notes(effects)]
    title = f"{what} of {effects.response}" if outcomes else f"{what} of {effects.treatment} on {effects.response}"
    return SummaryContent(title, (SummaryFacts(tuple(said)), body, SummaryFacts(tuple(items))))


def one_contrast(effects: EffectsState) -> bool:
    """Say whether all rows compare the same values of the treatment."""
    return "contrast" in effects.table and len(set(effects.table["contrast"])) == 1


def shown(effects: EffectsState) -> dict[str, list[str]]:
    """Return the columns of the table as text, without those that say nothing, rounded to what the sd supports."""
    table = effects.table
    digits = places(table["sd"].to_numpy())
    columns: dict[str, list[str]] = {}
    for name in map(str, table.columns):
        values = table[name]
        if name in NUMBERS:
            columns[name] = [f"{v:.{digits}f}" for v in values]
        elif name == "prob_above_null":
            columns[f"P(> {table['null'].iloc[0]:g})"] = [f"{v:.3f}" for v in values]
        elif name == "unseen":
            if np.any(values.to_numpy() > 0):
                columns[name] = [f"{v:.0%}" for v in values]
        elif name in ("weight", "weight_against"):
            if not np.array_equal(values, table[name.replace("weight", "n")]):
                columns[name] = [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values]
        elif name in ("n", "n_against"):
            columns[name] = [f"{v:,}" for v in values]
        elif name != "null" and not (name == "contrast" and one_contrast(effects)):
            columns[name] = [str(v) for v in values]
    return columns


def places(sd: np.ndarray) -> int:
    """Return the decimals that show two significant digits of a typical sd."""
    positive = sd[np.isfinite(sd) & (sd > 0)]
    return decimals([float(np.median(positive))], 2) if positive.size else 3
