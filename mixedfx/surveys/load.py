"""Fits with sampling weights of what a file holds, as fits again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read
from mixedfx.surveys import storage
from mixedfx.surveys.fit import WeightedFit


def read_weighted(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> WeightedFit:
    """Read a fit that `WeightedFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        return WeightedFit(*storage.read(head, members))


def read_weighted_glmer(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> WeightedFit:
    """Read a fit that `WeightedGlmerFit.save` wrote; see `mixedfx.load`."""
    from mixedfx.surveys.generalised import storage as generalised
    from mixedfx.surveys.generalised.fit import WeightedGlmerFit

    with being_read(path):
        return WeightedGlmerFit(*generalised.read(head, members))
