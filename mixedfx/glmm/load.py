"""A generalised linear mixed model of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read
from mixedfx.glmm import zero_inflated_storage
from mixedfx.glmm.fit import GlmerFit
from mixedfx.glmm.storage import read
from mixedfx.glmm.zero_inflated_fit import ZeroInflatedFit


def read_glmer(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> GlmerFit:
    """Read a fit that `GlmerFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        return GlmerFit(*read(head, members))


def read_zero_inflated(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> ZeroInflatedFit:
    """Read a fit that `ZeroInflatedFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        return ZeroInflatedFit(*zero_inflated_storage.read(head, members))
