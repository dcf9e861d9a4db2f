"""Models side by side: the content of such a table, and its forms as text, Markdown, HTML, LaTeX and more.

A coefficient takes two lines of a column, its estimate and below it the uncertainty; other rows take one. Every form
is made from the same value.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.optional import package
from mixedfx.results.sheet import kept, piped

WIDTH = 100
LATEX = str.maketrans({c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"})


@dataclass(frozen=True)
class ModelRow:
    """One row: a label, a cell for each model, and, for coefficients, a second line; empty cells are empty text."""

    label: str
    cells: tuple[str, ...]
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelSection:
    """Rows under a heading."""

    title: str
    rows: tuple[ModelRow, ...]


@dataclass(frozen=True, repr=False)
class ModelTable:
    """Models side by side.

    Attributes
    ----------
    names
        One for each model.
    sections
        Coefficients, variance components, facts about the fits.
    notes
        What the reader has to know, a sentence each.
    """

    names: tuple[str, ...]
    sections: tuple[ModelSection, ...]
    notes: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The table as text cells, indexed by section and row; uncertainty follows the estimate in its cell."""
        index, rows = [], []
        for section in self.sections:
            for row in section.rows:
                index.append((section.title, row.label))
                below = row.below or ("",) * len(row.cells)
                rows.append([f"{c} {b}".strip() for c, b in zip(row.cells, below, strict=True)])
        return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index), columns=list(self.names), dtype=object)

    def text(self, width: int = WIDTH) -> str:
        """Plain text; columns that do not fit into `width` follow in a further block."""
        label = max([len(line[0]) for line in self._lines()] + [len(s.title) for s in self.sections])
        widths = [max(len(n), *(len(line[1][i]) for line in self._lines())) for i, n in enumerate(self.names)]
        blocks, block, used = [], [], label
        for i, w in enumerate(widths):
            if block and used + 2 + w > width:
                blocks.append(block)
                block, used = [], label
            block.append(i)
            used += 2 + w
        pages = [self._page(chosen, label, widths) for chosen in [*blocks, block]]
        notes = [line for note in self.notes for line in textwrap.wrap(note, width, break_on_hyphens=False)]
        return "\n".join(["\n\n".join(pages), *notes])

    def _page(self, chosen: list[int], label: int, widths: list[int]) -> str:
        total = label + sum(2 + widths[i] for i in chosen)
        rule = "-" * total
        lines = ["".ljust(label) + "".join("  " + self.names[i].rjust(widths[i]) for i in chosen), rule]
        for section in self.sections:
            lines.append(section.title)
            for row in section.rows:
                for name, cells in _two(row):
                    lines.append(name.ljust(label) + "".join("  " + cells[i].rjust(widths[i]) for i in chosen))
            lines.append(rule)
        return "\n".join(line.rstrip() for line in lines)

    def _lines(self) -> list[tuple[str, tuple[str, ...]]]:
        return [line for section in self.sections for row in section.rows for line in _two(row)]

    def markdown(self) -> str:
        """GitHub's Markdown; estimate and uncertainty in one cell."""
        head = ["| |" + "".join(f" {piped(n)} |" for n in self.names), "|:--|" + "--:|" * len(self.names)]
        lines = []
        for section in self.sections:
            lines.append(f"| **{piped(section.title)}** |" + " |" * len(self.names))
            for row in section.rows:
                below = row.below or ("",) * len(row.cells)
                cells = (f"{c} {b}".strip() for c, b in zip(row.cells, below, strict=True))
                lines.append(f"| {piped(row.label)} |" + "".join(f" {piped(c)} |" for c in cells))
        return "\n".join([*head, *lines, *(f"\n{note}" for note in self.notes)])

    def html(self) -> str:
        """HTML fragment."""
        left, right = 'style="text-align:left"', 'style="text-align:right"'
        head = f"<tr><th></th>{''.join(f'<th {right}>{escape(n)}</th>' for n in self.names)}</tr>"
        body = []
        for section in self.sections:
            body.append(f'<tr><th colspan="{len(self.names) + 1}" {left}>{escape(section.title)}</th></tr>')
            for row in section.rows:
                below = row.below or ("",) * len(row.cells)
                cells = (
                    escape(c) + (f"<br><small>{escape(b)}</small>" if b else "")
                    for c, b in zip(row.cells, below, strict=True)
                )
                shown = "".join(f"<td {right}>{c}</td>" for c in cells)
                body.append(f"<tr><td {left}>{escape(row.label)}</td>{shown}</tr>")
        notes = "".join(f"<p><small>{escape(n)}</small></p>" for n in self.notes)
        return f'<div class="mixedfx"><table><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>{notes}</div>'

    def latex(self) -> str:
        r"""LaTeX ``tabular`` that needs the package booktabs."""
        k = len(self.names)
        lines = [
            rf"\begin{{tabular}}{{l{'r' * k}}}",
            r"\toprule",
            " & ".join(["", *(n.translate(LATEX) for n in self.names)]) + r" \\",
        ]
        for section in self.sections:
            lines += [r"\midrule", rf"\multicolumn{{{k + 1}}}{{l}}{{\textit{{{section.title.translate(LATEX)}}}}} \\"]
            for row in section.rows:
                for label, cells in _two(row):
                    # braces keep a cell that begins with a bracket from being read as an option of the line break
                    shown = (f"{{{c.strip().translate(LATEX)}}}" if c.strip() else "" for c in cells)
                    lines.append(" & ".join([label.translate(LATEX), *shown]) + r" \\")
        lines += [r"\bottomrule"]
        lines += [rf"\multicolumn{{{k + 1}}}{{l}}{{\footnotesize {note.translate(LATEX)}}} \\" for note in self.notes]
        return "\n".join([*lines, r"\end{tabular}"])

    def to_markdown(self, path: str | Path | None = None) -> str:
        """`markdown`, also into a file where a path is given."""
        return kept(self.markdown(), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """`html`, also into a file where a path is given."""
        return kept(self.html(), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """`latex`, also into a file where a path is given."""
        return kept(self.latex(), path)

    def to_excel(self, path: str | Path) -> Path:
        """Write an Excel file of the cells as they are shown, estimate and uncertainty one below the other.

        Raises
        ------
        MissingPackageError
            Where openpyxl is not installed.
        """
        from mixedfx.results.sheet import write_excel

        rows: list[tuple[str, ...]] = []
        for section in self.sections:
            rows.append((section.title, *("" for _ in self.names)))
            rows += [(label, *(c.strip() for c in cells)) for row in section.rows for label, cells in _two(row)]
        return write_excel(path, [("Models", ("", *self.names), rows, rows, self.notes)])

    def rich(self) -> Any:
        """Make a ``rich.table.Table``, for a terminal with colours."""
        from rich.table import Table
        from rich.text import Text

        table = Table(caption="\n".join(self.notes) or None, caption_justify="left")
        table.add_column("")
        for name in self.names:
            table.add_column(Text(name), justify="right")
        for section in self.sections:
            table.add_row(Text(section.title, style="bold"))
            for row in section.rows:
                for label, cells in _two(row):
                    table.add_row(Text(label), *map(Text, cells))
            table.add_section()
        return table

    def gt(self) -> Any:
        """Make a ``great_tables.GT``, to style further.

        Raises
        ------
        MissingPackageError
            Where great_tables is not installed.
        """
        GT = package("great_tables", ".gt() needs the package", "tables").GT
        frame = self.frame.reset_index(names=["section", "row"])
        table = GT(frame, rowname_col="row", groupname_col="section").cols_align("right", columns=list(self.names))
        for note in self.notes:
            table = table.tab_source_note(note)
        return table

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.html()


def _two(row: ModelRow) -> list[tuple[str, tuple[str, ...]]]:
    """Lines of a row. Estimates over brackets end one place earlier, so that their last digits stand together."""
    if not row.below:
        return [(row.label, row.cells)]
    return [(row.label, tuple(f"{c} " if c else "" for c in row.cells)), ("", row.below)]
