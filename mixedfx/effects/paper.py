"""A table of effects for a paper: headers for people, rounded to what the standard errors support."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mixedfx.effects.answer import caveats
from mixedfx.effects.render import content, one_contrast, shown
from mixedfx.effects.wording import Wording
from mixedfx.results.sheet import HEADERS, Sheet

if TYPE_CHECKING:
    from mixedfx.effects.state import EffectsState


def effects_sheet(effects: EffectsState, labels: Mapping[Any, str]) -> Sheet:
    """The table of an answer as a `Sheet`; see `Effects.sheet`."""
    wording = Wording(labels)
    columns, table = shown(effects), effects.table
    level = f"{100 * effects.level:g} % interval, lower"
    of_numbers = {"estimate": "Average" if effects.comparison is None else "Estimate", "sd": "Std. error",
                  "lower": level, "upper": "upper"}  # fmt: skip
    header, cells, values, align = [], [], [], ""
    for name, texts in columns.items():
        raw = "prob_above_null" if name.startswith("P(>") else name
        text = name in effects.names
        own = labels.get(name)
        if own is None:
            own = of_numbers.get(name) or HEADERS.get(name) or (_capital(name) if text else name)
        header.append(str(own))
        cells.append([wording.name(t) for t in texts] if text else texts)
        values.append(cells[-1] if text else [_plain(v) for v in table[raw]])
        align += "l" if text else "r"
    title = content(effects, max_rows=0).title
    if labels and effects.comparison is not None and "against" not in effects.keys:
        title = f"Effects of {wording.name(effects.treatment)} on {wording.name(effects.response)}"
    if effects.comparison is not None and one_contrast(effects):
        title += f" ({table['contrast'].to_numpy()[0]})"
    notes = (*caveats(effects), effects.uncertainty)
    return Sheet(title, tuple(header), tuple(zip(*cells, strict=True)), align, tuple(zip(*values, strict=True)), notes)


def _capital(name: str) -> str:
    """A column's name at the head of a column of a table."""
    return name[:1].upper() + name[1:]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
