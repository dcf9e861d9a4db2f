"""What the command line shows: summaries and tables with rich, notes and progress on standard error.

Standard output carries results only, so that it can be piped; a progress line appears on standard error where that is a
terminal, and leaves no trace.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from mixedfx.results.frames import text_columns
from mixedfx.results.render import SummaryContent, SummaryTable

if TYPE_CHECKING:
    from rich.console import Console

# Tables in a file or pipe may be wide; a terminal has its own width. Sentences are folded to be read.
PIPE_WIDTH = 200
SENTENCE_WIDTH = 100


@cache
def console(*, stderr: bool = False) -> Console:
    """The rich console of standard output or standard error; it takes text as it stands, without markup."""
    from rich.console import Console

    class Plain(Console):
        """A console that leaves closed pipes to `mixedfx.cli.envelope`, which ends the process without a word."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    plain = Plain(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = PIPE_WIDTH
    return plain


def say(text: str = "") -> None:
    """Print text to standard output in lines of its own."""
    console().print(text, soft_wrap=True)


def note(text: str) -> None:
    """Print a short note to standard error."""
    print(f"note: {text}", file=sys.stderr)


@contextmanager
def working(task: str) -> Iterator[None]:
    """Show that something is going on, and for how long, until the block ends."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    stderr = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        progress.add_task(task, total=None)
        yield


def show_summary(content: SummaryContent) -> None:
    """Print the summary of a fit, its tables as rich tables."""
    from rich.table import Table
    from rich.text import Text

    console().print(Text(content.title, style="bold"))
    for block in content.blocks:
        if isinstance(block, SummaryTable):
            show_table(block)
            continue
        facts = Table.grid(padding=(0, 2))
        for label, sentence in block.items:
            facts.add_row(Text(label, style="dim"), Text(sentence))
        console().print()
        console().print(facts, width=min(console().width, SENTENCE_WIDTH))


def show_table(table: SummaryTable) -> None:
    """Print a table of text; cells too long for the terminal are folded, never cut.

    Examples
    --------
    >>> from mixedfx.cli.show import show_table
    >>> from mixedfx.results.render import SummaryTable
    >>> show_table(SummaryTable("Effects", ("race", "estimate"), (("Black", "9.1"), ("White", "12.5")), "lr"))
    <BLANKLINE>
    Effects
      race    estimate
     ──────────────────
      Black        9.1
      White       12.5
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for name, side in zip(table.header, table.align, strict=True):
        grid.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    console().print()
    console().print(Text(table.title, style="bold"))
    console().print(grid)


def as_text(title: str, frame: pd.DataFrame, places: Mapping[str, int] | None = None) -> SummaryTable:
    """The columns of a data frame as text: numbers with one number of decimals in a column, missing values blank.

    Parameters
    ----------
    title
        Heading.
    frame
        The rows; the index is left out.
    places
        Decimals of columns where they are decided; elsewhere four significant digits of the smallest value.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.cli.show import as_text
    >>> as_text("Effects", pd.DataFrame({"race": ["Black", None], "n": [10, 5], "sd": [1.25, 2.5]}), {"sd": 1}).rows
    (('Black', '10', '1.2'), ('', '5', '2.5'))
    """
    cells, align = text_columns(frame, places=places, whole="")
    return SummaryTable(title, tuple(cells), tuple(zip(*cells.values(), strict=True)), align)
