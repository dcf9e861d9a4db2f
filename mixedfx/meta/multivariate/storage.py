"""Meta-analyses of dependent estimates in files: the mixed model that they are, and how its tests are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixedfx.archive import write_archive
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.reml.storage import saved

KIND = "rma_mv"
HEAD: dict[str, Any] = {"test": str, "level": float}


def save(fit: RmaMvState, path: str | Path) -> Path:
    """Write a fit; see `RmaMvFit.save`."""
    head, members = saved(fit.model.design, fit.model.solution, KIND)
    return write_archive(path, head | {"test": fit.test, "level": fit.level}, members)
