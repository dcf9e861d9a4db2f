"""Long simulations, a data set at a time: a run that is broken off goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import mixedfx


def resumed(study: str, script: str, count: int, folder: Path, one: Callable[[int], list[Mapping[str, Any]]]):
    """Results of `count` data sets; those that an earlier run of the same code has done are read, not done again.

    `one` gives the rows of data set i. The file, replaced whole after each data set, is named after the study and a
    hash of the package and of `script`, the file that simulates: other code starts anew. The column index holds i.
    """
    path = Path(folder) / f"{study}-{_fingerprint(script)}.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame({"index": []})
    for index in sorted(set(range(count)) - set(done["index"])):
        done = pd.concat([done, pd.DataFrame([{"index": index, **row} for row in one(index)])], ignore_index=True)
        scratch = path.with_suffix(".tmp")
        done.astype({"index": int}).to_csv(scratch, index=False)
        scratch.replace(path)
    return pd.read_csv(path).query("index < @count").reset_index(drop=True)


def _fingerprint(script: str) -> str:
    sources = sorted(p for p in Path(mixedfx.__file__).parent.rglob("*") if p.suffix in (".py", ".stan"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in [*sources, Path(script)])).hexdigest()[:12]
