"""The arguments of a fit with sampling weights, kept for fits with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, eq=False)
class WeightedCall:
    """The arguments of `mixedfx.lmer` that made a weighted fit; `data` and arrays are held by reference."""

    formula: Any
    data: Any
    sampling_weights: Any = None
    replicates: Any = None
    weights: Any = None
    offset: Any = None
    na: Literal["drop", "raise"] = "drop"
    contrasts: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
    progress: Any = None
