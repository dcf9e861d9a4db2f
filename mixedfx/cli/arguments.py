"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Formula = Annotated[
    str,
    typer.Argument(
        help="For example 'math ~ small * race + (1 + small | sch)'.", metavar="FORMULA", show_default=False
    ),
]
MetaFormula = Annotated[
    str,
    typer.Argument(help="For example 'yi ~ 1' or 'yi ~ year + (1 | study)'.", metavar="FORMULA", show_default=False),
]
Data = Annotated[
    str,
    typer.Argument(
        help="A data file (.csv, .tsv, .txt, .xlsx, .parquet, .feather, .dta, .sav, .sas7bdat, .rds, .RData), or the "
        "name of a data set (mixedfx datasets).",
        metavar="DATA",
        show_default=False,
    ),
]
Ml = Annotated[bool, typer.Option("--ml", help="Maximum likelihood instead of REML.")]
PrecisionWeights = Annotated[
    str | None,
    typer.Option(
        help="Column of precision weights: the residual variance of a row is sigma^2 / weight.", metavar="COLUMN"
    ),
]
Na = Annotated[
    list[str] | None,
    typer.Option(
        help="Words that are missing in text files, joined by commas, besides empty cells. Other words, NA and None "
        "among them, are missing only where all else in their column is numbers.",
        metavar="WORD,...",
    ),
]
Table = Annotated[
    str | None,
    typer.Option(help="Sheet of a workbook, or data frame of an R file that holds several.", metavar="NAME"),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the numbers here as well.", metavar="FILE.json")]
