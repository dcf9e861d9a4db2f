"""The command `mixedfx explore`: one page in which readers ask for any subgroup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from mixedfx.cli.arguments import Data, Formula, Na, PrecisionWeights, Table
from mixedfx.cli.ask import Question, ask
from mixedfx.cli.files import check_output
from mixedfx.cli.models import Bayesian, Family, Model, Seed
from mixedfx.cli.show import say, working
from mixedfx.effects.result import Effects
from mixedfx.errors import OptionError


def register(app: typer.Typer, read: Callable[[str, list[str] | None, str | None], pd.DataFrame]) -> None:
    """Add the command to the command line; `read` is that of the other commands."""

    @app.command()
    def explore(
        formula: Formula,
        data: Data,
        treatment: Annotated[str, typer.Option(help="The column whose effect is asked about.", metavar="COLUMN")],
        by: Annotated[str, typer.Option(help="Columns that readers choose from, joined by commas.", metavar="COLUMNS")],
        out: Annotated[Path, typer.Option(help="The page.", metavar="FILE.html")],
        newdata: Annotated[
            str | None, typer.Option(help="Average over the rows of this file, a census say.", metavar="FILE")
        ] = None,
        weights: Annotated[
            str | None, typer.Option(help="Column of what each row averaged over counts for.", metavar="COLUMN")
        ] = None,
        title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
        unit: Annotated[str, typer.Option(help="Unit of the response, as in 'points'.")] = "",
        draws: Annotated[int | None, typer.Option(help="Joint draws kept; 4,000 if they fit.", min=1)] = None,
        family: Family = None,
        bayesian: Bayesian = False,
        seed: Seed = 1,
        level: Annotated[float, typer.Option(help="Probability the intervals hold.")] = 0.95,
        ml: Annotated[bool, typer.Option("--ml", help="Maximum likelihood instead of REML.")] = False,
        precision_weights: PrecisionWeights = None,
        na: Na = None,
        table: Table = None,
    ) -> None:
        """Write one page in which readers ask for the effect in any subgroup; it needs no server and no network.

        With --newdata or --weights readers choose between these rows and those of DATA, each counting once.
        """
        check_output(out, [".html"])
        columns = [name.strip() for name in by.split(",")]
        if not all(columns):
            raise OptionError(f"--by {by!r} lacks a column", hint="Join columns by commas: --by race,gender.")
        question = Question(treatment, [columns], None, weights, level)
        frame, rows = read(data, na, table), None if newdata is None else read(newdata, na, None)
        question.check(frame if rows is None else rows)
        options = {"seed": seed} if bayesian else {}
        fitted = Model(formula, family, bayesian, ml, precision_weights, options).fit(frame)
        with working("writing the page"):
            asked: Effects = ask(fitted, frame, question, rows)["by"]
            also = {}
            if (rows is not None or weights is not None) and set(columns) <= set(frame.columns):
                own = Question(treatment, [columns], None, None, level)
                also = {"the sample, each row counting once": ask(fitted, frame, own)["by"]}
            asked.explore(out, also=also, draws=draws, title=title, data="data", unit=unit)
        say(asked.sentence(unit=unit))
        say(f"page to explore: {out}")
