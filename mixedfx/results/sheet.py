"""A table for a paper: headers for people, rounded numbers, and its forms as Markdown, LaTeX, HTML, Excel and more.

Text forms show rounded numbers; the Excel file holds the numbers themselves and a format that shows as many decimals,
so that they can be worked on further. Every form is made from the same value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfx.optional import package
from mixedfx.output import whole_file, write_whole
from mixedfx.results.frames import text_columns
from mixedfx.results.render import MOST_ROWS, Shown, SummaryContent, SummaryFacts, SummaryTable

LATEX = str.maketrans(
    {c: rf"\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
       ">": r"\textgreater{}", "|": r"\textbar{}"}
)  # fmt: skip
HEADERS: Mapping[str, str] = {
    "term": "Term", "group": "Group", "level": "Level", "margin": "Margin", "subgroup": "Subgroup",
    "contrast": "Contrast", "category": "Category", "against": "Against", "n": "n", "n_against": "n against",
    "weight": "Weight", "weight_against": "Weight against", "estimate": "Estimate", "sd": "Std. error",
    "std_error": "Std. error", "SE": "Std. error", "statistic": "Statistic", "df": "df", "p_value": "p",
    "lower": "Lower", "upper": "Upper", "conf_low": "Lower", "conf_high": "Upper", "unseen": "Without data",
}  # fmt: skip


ERRORS = ("std_error", "sd", "SE")
BESIDE = ("estimate", "lower", "upper", "conf_low", "conf_high")  # columns with the decimals of standard errors


@dataclass(frozen=True, eq=False, repr=False)
class Sheet(Shown):
    """A table with its forms.

    Attributes
    ----------
    title
        Heading.
    header
        Column names for people.
    cells
        Rows of text, rounded.
    align
        ``l`` or ``r`` for each column.
    values
        The same rows as numbers and text, not rounded.
    notes
        What a reader has to know.
    """

    title: str
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    align: str
    values: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def content(self) -> SummaryContent:
        """The table as it prints: sixty rows at most."""
        shown = self.cells[:MOST_ROWS]
        table = SummaryTable("", self.header, shown, self.align, len(self.cells) - len(shown), ".frame")
        facts = (SummaryFacts(tuple(("Note", note) for note in self.notes)),) if self.notes else ()
        return SummaryContent(self.title or "Table", (table, *facts))

    @property
    def frame(self) -> pd.DataFrame:
        """The cells as text, under the headers."""
        return pd.DataFrame([list(row) for row in self.cells], columns=pd.Index(self.header))

    def to_markdown(self, path: str | Path | None = None) -> str:
        """GitHub's Markdown, also into a file where a path is given."""
        return kept(markdown(self.header, self.cells, self.align, self.notes), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        r"""LaTeX ``tabular`` that needs the package booktabs, also into a file where a path is given."""
        return kept(latex(self.header, self.cells, self.align, self.notes), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """HTML fragment, also into a file where a path is given."""
        side = {"l": "left", "r": "right"}

        def line(cells: Sequence[str], tag: str) -> str:
            shown = zip(cells, self.align, strict=True)
            return "".join(f'<{tag} style="text-align:{side[a]}">{escape(c)}</{tag}>' for c, a in shown)

        body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.cells)
        notes = "".join(f"<p><small>{escape(n)}</small></p>" for n in self.notes)
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        head = f"<thead><tr>{line(self.header, 'th')}</tr></thead>"
        return kept(f'<div class="mixedfx"><table>{caption}{head}<tbody>{body}</tbody></table>{notes}</div>', path)

    def to_excel(self, path: str | Path) -> Path:
        """Write an Excel file: numbers as numbers, shown with as many decimals as here.

        Raises
        ------
        MissingPackageError
            Where openpyxl is not installed.
        DataError
            A file that cannot be written.
        """
        return write_excel(path, [(self.title or "Table", self.header, self.values, self.cells, self.notes)])

    def gt(self) -> Any:
        """Make a ``great_tables.GT``, to style further.

        Raises
        ------
        MissingPackageError
            Where great_tables is not installed.
        """
        return great_table(self.frame, self.title, self.align, self.notes)


def sheet_of(
    frame: pd.DataFrame,
    title: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    digits: int = 3,
    places: Mapping[str, int] | None = None,
    notes: Sequence[str] = (),
) -> Sheet:
    """A data frame as a table for a paper.

    Parameters
    ----------
    frame
        Text, whole numbers and numbers, such as ``fit.tidy()``. Named indices come first; columns that are all missing
        are left out.
    title
        Heading.
    headers
        Column -> what to write instead of this module's own headers.
    digits
        Significant digits of the smallest number of a column.
    places
        Decimals of columns where they are decided.
    notes
        What a reader has to know.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.results.sheet import sheet_of
    >>> frame = pd.DataFrame({"term": ["small"], "estimate": [8.1234], "std_error": [0.912], "p_value": [0.00002]})
    >>> print(sheet_of(frame).to_markdown())
    | Term | Estimate | Std. error | p |
    |:--|--:|--:|--:|
    | small | 8.123 | 0.912 | 2.0e-05 |
    """
    if frame.index.nlevels > 1 or frame.index.name is not None:
        frame = frame.reset_index()
    frame = frame.loc[:, [not bool(missing) or len(frame) == 0 for missing in frame.isna().all()]]
    together: dict[str, int] = {}
    if any(c in frame for c in ERRORS):
        together = {c: places_for(frame, digits) for c in (*ERRORS, *BESIDE) if c in frame}
    cells, align = text_columns(frame, digits, together | {"statistic": 2, "df": 1} | dict(places or {}))
    names = dict(HEADERS) | dict(headers or {})
    rows = tuple(zip(*cells.values(), strict=True))
    values = tuple(tuple(_value(v) for v in row) for row in frame.itertuples(index=False, name=None))
    return Sheet(title, tuple(names.get(c, c) for c in cells), rows, align, values, tuple(notes))


def places_for(frame: pd.DataFrame, digits: int) -> int:
    """Decimals that show the standard errors of a table with so many significant digits."""
    from mixedfx.results.numbers import decimals

    column = next(c for c in ERRORS if c in frame)
    return decimals([float(v) for v in frame[column] if pd.notna(v)], digits)


def markdown(header: Sequence[str], cells: Sequence[Sequence[str]], align: str, notes: Sequence[str]) -> str:
    """A table in GitHub's Markdown."""
    lines = [
        "| " + " | ".join(map(piped, header)) + " |",
        "|" + "|".join({"l": ":--", "r": "--:"}[a] for a in align) + "|",
    ]
    lines += ["| " + " | ".join(map(piped, row)) + " |" for row in cells]
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def latex(header: Sequence[str], cells: Sequence[Sequence[str]], align: str, notes: Sequence[str]) -> str:
    """A table in LaTeX with the rules of booktabs; a minus is a minus, not a hyphen."""
    lines = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", " & ".join(h.translate(LATEX) for h in header) + r" \\"]
    lines.append(r"\midrule")
    lines += [" & ".join(_tex(cell, a) for cell, a in zip(row, align, strict=True)) + r" \\" for row in cells]
    lines.append(r"\bottomrule")
    k = len(header)
    wide = rf"\multicolumn{{{k}}}{{p{{0.95\linewidth}}}}"
    lines += [rf"{wide}{{\footnotesize {note.translate(LATEX)}}} \\" for note in notes]
    return "\n".join([*lines, r"\end{tabular}"])


def _tex(cell: str, side: str) -> str:
    # braces keep a cell that begins with a bracket from being read as an option of the line break
    text = cell.translate(LATEX)
    if side == "r" and cell.startswith("-"):
        return f"$-${text[1:]}"
    return f"{{{text}}}" if text.startswith("[") else text


def great_table(frame: pd.DataFrame, title: str, align: str, notes: Sequence[str]) -> Any:
    """A ``great_tables.GT`` of text cells.

    Raises
    ------
    MissingPackageError
        Where great_tables is not installed.
    """
    GT = package("great_tables", ".gt() needs the package", "tables").GT
    frame = frame.set_axis(_unique(list(map(str, frame.columns))), axis=1)
    table = GT(frame)
    numbers = [c for c, a in zip(frame.columns, align, strict=True) if a == "r"]
    if numbers:
        table = table.cols_align("right", columns=numbers)
    if title:
        table = table.tab_header(title)
    for note in notes:
        table = table.tab_source_note(note)
    return table


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return out


Page = tuple[str, Sequence[str], Sequence[Sequence[Any]], Sequence[Sequence[str]], Sequence[str]]


def write_excel(path: str | Path, pages: Sequence[Page]) -> Path:
    """Write tables as sheets of an Excel file, whole or not at all.

    Parameters
    ----------
    path
        Ends in ``.xlsx``.
    pages
        For each sheet its title, header, rows of values, the same rows as text (which decide the decimals shown) and
        notes.

    Raises
    ------
    MissingPackageError
        Where openpyxl is not installed.
    """
    book = package("openpyxl", ".to_excel() needs the package", "tables").Workbook()
    from openpyxl.styles import Alignment, Font

    for at, (title, header, values, cells, notes) in enumerate(pages):
        sheet: Any = book.active if at == 0 else book.create_sheet()
        sheet.title = _sheet_name(title)
        sheet.append([title])
        sheet["A1"].font = Font(bold=True)
        sheet.append(list(header))
        for cell in sheet[2]:
            cell.font = Font(bold=True)
        for row, texts in zip(values, cells, strict=True):
            sheet.append([None if isinstance(value, float) and pd.isna(value) else value for value in row])
            for cell, text, value in zip(sheet[sheet.max_row], texts, row, strict=True):
                if isinstance(value, str):
                    cell.data_type = "s"  # a level called "=1+1" is a name, not a formula
                elif isinstance(value, float):
                    cell.number_format = _format(text)
                    cell.alignment = Alignment(horizontal="right")
        for note in notes:
            sheet.append([note])
            sheet[sheet.max_row][0].data_type = "s"
        for column, head in enumerate(header):
            widest = max([len(head), *(len(row[column]) for row in cells)], default=8)
            sheet.column_dimensions[_letter(column)].width = min(widest + 3, 50)
        sheet.freeze_panes = "A3"
    with whole_file(path) as file:
        book.save(file)
    return Path(path)


def _letter(column: int) -> str:
    from openpyxl.utils import get_column_letter

    return get_column_letter(column + 1)


def _sheet_name(title: str) -> str:
    return "".join(" " if c in r"[]:*?/\'" else c for c in title)[:31].strip() or "Table"


def _format(text: str) -> str:
    """The format of a number that shows it as the text does."""
    if "e" in text:
        return "0.0E+00"
    places = len(text.partition(".")[2])
    return "0" if places == 0 else "0." + "0" * places


def _value(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, int | float | str | bool) else "" if pd.isna(value) else str(value)


def kept(text: str, path: str | Path | None) -> str:
    """The text, written to a file too where there is one."""
    if path is not None:
        write_whole(path, (text + "\n").encode())
    return text


def piped(text: str) -> str:
    """A cell of a Markdown table."""
    return text.replace("|", r"\|")
