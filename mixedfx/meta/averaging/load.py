"""An averaged meta-analysis of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read
from mixedfx.meta.averaging.fit import RobmaFit
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.averaging.storage import read


def read_robma(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> RobmaFit:
    """Read a fit that `RobmaFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        found = read(head, members)
        fit = RobmaFit(*(getattr(found, field.name) for field in fields(RobmaState)))
        fit.__dict__["pooled"] = found.pooled  # drawn already, to see that it can be
        return fit
