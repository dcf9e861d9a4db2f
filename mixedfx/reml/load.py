"""A linear mixed model of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read
from mixedfx.reml.fit import LmerFit
from mixedfx.reml.storage import read


def read_lmer(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> LmerFit:
    """Read a fit that `LmerFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        return LmerFit(*read(head, members))
