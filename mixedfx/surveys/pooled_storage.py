"""Pooled fits in files: what `PooledFit.save` writes, the file of each fit as a member.

`mixedfx.pooled_loading` reads it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mixedfx.archive import write_archive
from mixedfx.errors import OptionError

HEAD = {"mixedfx": str, "sets": list[str], "written": str, "what": Literal["plausible values", "imputations"]}
KINDS = ("lmer", "glmer", "glmer_zi", "lmer_weighted", "glmer_weighted")
"""Fits that are pooled, as their files call them."""


def member(k: int) -> str:
    """Name of the file of data set k, counted from 0, inside the file."""
    return f"{k + 1}.mfx"


def save(fits: Sequence[Any], sets: Sequence[str], written: str, what: str, path: str | Path) -> Path:
    """Write a fit; see `PooledFit.save`."""
    from importlib.metadata import version

    if not all(hasattr(fit, "save") for fit in fits):
        raise OptionError(
            f"a pooled fit of {type(fits[0]).__name__} is not saved",
            hint="Save what is asked of it, such as fit.tidy().",
        )
    members = {}
    with tempfile.TemporaryDirectory() as folder:
        for k, fit in enumerate(fits):
            members[member(k)] = Path(fit.save(Path(folder) / member(k))).read_bytes()
    head = {
        "kind": "pooled", "mixedfx": version("mixedfx"), "sets": list(sets), "written": written, "what": what,
    }  # fmt: skip
    return write_archive(path, head, members)
