"""Parquet and Feather files: tables that know their types."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mixedfx.files.recognised import Recognised
from mixedfx.optional import package


def read_parquet(path: Path) -> Recognised:
    """Read a Parquet file.

    Categories keep their order; an index that pandas wrote comes back as one. Labels of columns that a frame of
    `mixedfx.read` had are in its ``attrs`` again.
    """
    package("pyarrow", "Parquet files need", "files")
    return _recognised(pd.read_parquet(path, engine="pyarrow"), "Parquet")


def read_feather(path: Path) -> Recognised:
    """Read a Feather file (Arrow's own format)."""
    package("pyarrow", "Feather files need", "files")
    return _recognised(pd.read_feather(path), "Feather")


def _recognised(frame: pd.DataFrame, what: str) -> Recognised:
    ordered = [str(c) for c in frame if isinstance(frame[c].dtype, pd.CategoricalDtype)]
    notes = (f"categories in the file's order: {', '.join(ordered[:6])}{', ...' if len(ordered) > 6 else ''}",)
    return Recognised(frame, what, notes if ordered else ())
