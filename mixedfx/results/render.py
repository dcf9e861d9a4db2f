"""A summary's content, and its two forms made from the same value: plain text of at most 100 columns, and HTML."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape

WIDTH = 100
MOST_ROWS = 60  # of a printed table; a longer one is not read


@dataclass(frozen=True)
class SummaryTable:
    """A titled table of text.

    Attributes
    ----------
    title
        Heading.
    header
        Column names.
    rows
        Cells, one tuple for each row.
    align
        One character for each column: ``l`` for text, which may be folded, ``r`` for numbers.
    more
        Rows that are not shown.
    whole
        Where they are.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    more: int = 0
    whole: str = ".table"

    @property
    def rest(self) -> str:
        """How many rows are not shown, in words; empty where there are none."""
        return f"{self.more:,} more row{'' if self.more == 1 else 's'} in {self.whole}" if self.more else ""


@dataclass(frozen=True)
class SummaryFacts:
    """Labelled sentences."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, repr=False)
class SummaryContent:
    """Everything a summary says, in reading order.

    Attributes
    ----------
    title
        First line.
    blocks
        Facts and tables.
    """

    title: str
    blocks: tuple[SummaryFacts | SummaryTable, ...]

    def text(self, width: int = WIDTH) -> str:
        """Plain text, no line longer than `width`."""
        parts = [_facts_text(b, width) if isinstance(b, SummaryFacts) else _table_text(b, width) for b in self.blocks]
        return "\n\n".join([self.title, *parts])

    def html(self) -> str:
        """HTML fragment for a notebook."""
        parts = [_facts_html(b) if isinstance(b, SummaryFacts) else _table_html(b) for b in self.blocks]
        return "\n".join(['<div class="mixedfx">', f"<p><b>{escape(self.title)}</b></p>", *parts, "</div>"])

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


class Shown(ABC):
    """What prints as a page of facts and tables: text at a prompt, HTML in a notebook, both from `content`."""

    @abstractmethod
    def content(self) -> SummaryContent:
        """What is shown."""

    def text(self, width: int = WIDTH) -> str:
        """Plain text."""
        return self.content().text(width)

    def html(self) -> str:
        """HTML fragment."""
        return self.content().html()

    def __repr__(self) -> str:
        return self.content().text()

    def _repr_html_(self) -> str:
        return self.content().html()


def _facts_text(facts: SummaryFacts, width: int) -> str:
    indent = max(len(label) for label, _ in facts.items) + 2
    lines = []
    for label, sentence in facts.items:
        first = f"{label}:".ljust(indent)
        lines += textwrap.wrap(
            sentence, width, initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False
        ) or [first.rstrip()]
    return "\n".join(lines)


def _table_text(table: SummaryTable, width: int) -> str:
    lines = [table.title] if table.title else []
    for part in _side_by_side(table, width):
        lines += _part_lines(part, width)
    if table.more:
        lines.append(f" {table.rest}")
    return "\n".join(line.rstrip() for line in lines)


def _side_by_side(table: SummaryTable, width: int) -> list[SummaryTable]:
    """The table, or where its numbers are wider than a line, parts of it that all begin with the columns of text."""
    texts = [i for i, side in enumerate(table.align) if side == "l"]
    numbers = [i for i, side in enumerate(table.align) if side == "r"]
    wide = {i: max(len(row[i]) for row in (table.header, *table.rows)) + 2 for i in numbers}
    room = width - sum(max(len(table.header[i]), 12) + 2 for i in texts)
    if not numbers or sum(wide.values()) <= room:
        return [table]
    parts: list[list[int]] = [[]]
    for i in numbers:
        if parts[-1] and sum(wide[j] for j in parts[-1]) + wide[i] > room:
            parts.append([])
        parts[-1].append(i)
    return [_columns(table, sorted([*texts, *part])) for part in parts]


def _columns(table: SummaryTable, chosen: list[int]) -> SummaryTable:
    rows = tuple(tuple(row[i] for i in chosen) for row in table.rows)
    header, align = tuple(table.header[i] for i in chosen), "".join(table.align[i] for i in chosen)
    return SummaryTable(table.title, header, rows, align)


def _part_lines(table: SummaryTable, width: int) -> list[str]:
    widths = [max(len(row[i]) for row in (table.header, *table.rows)) for i in range(len(table.header))]
    room = width - (2 * len(widths) - 1)
    texts = [i for i, side in enumerate(table.align) if side == "l"]
    for i in sorted(texts, key=lambda i: -widths[i]):  # the widest column of text gives way first
        excess = sum(widths) - room
        if excess > 0:
            widths[i] = max(len(table.header[i]), 12, widths[i] - excess)
    lines = _row_lines(table.header, widths, table.align)
    for row in table.rows:
        lines += _row_lines(row, widths, table.align)
    return lines


def _row_lines(row: tuple[str, ...], widths: list[int], align: str) -> list[str]:
    """One row as lines; numbers stand on the first line of a folded cell."""
    cells = [_fold(cell, width) if len(cell) > width else [cell] for cell, width in zip(row, widths, strict=True)]
    lines = []
    for k in range(max(len(cell) for cell in cells)):
        pieces = [cell[k] if k < len(cell) else "" for cell in cells]
        shown = (p.ljust(w) if a == "l" else p.rjust(w) for p, w, a in zip(pieces, widths, align, strict=True))
        lines.append(" " + "  ".join(shown))
    return lines


def _fold(cell: str, width: int) -> list[str]:
    """Cut a long name after its colons, a list at its blanks, and whatever is left anywhere."""
    if " " in cell:
        return textwrap.wrap(cell, width, break_on_hyphens=False)
    lines, line = [], ""
    for piece in cell.replace(":", ":\n").split("\n"):
        if line and len(line) + len(piece) > width:
            lines.append(line)
            line = ""
        line += piece
        while len(line) > width:
            lines.append(line[:width])
            line = line[width:]
    return [*lines, line] if line else lines


def _facts_html(facts: SummaryFacts) -> str:
    style = "text-align:left;vertical-align:top;padding-right:1em"
    rows = "".join(
        f'<tr><th style="{style}">{escape(label)}</th><td style="text-align:left">{escape(sentence)}</td></tr>'
        for label, sentence in facts.items
    )
    return f"<table>{rows}</table>"


def _table_html(table: SummaryTable) -> str:
    side = {"l": "left", "r": "right"}

    def line(cells: tuple[str, ...], tag: str) -> str:
        shown = (
            f'<{tag} style="text-align:{side[a]}">{escape(c)}</{tag}>' for c, a in zip(cells, table.align, strict=True)
        )
        return f"<tr>{''.join(shown)}</tr>"

    body = "".join(line(row, "td") for row in table.rows)
    if table.more:
        body += f'<tr><td colspan="{len(table.header)}" style="text-align:left">{escape(table.rest)}</td></tr>'
    head = line(table.header, "th")
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"
