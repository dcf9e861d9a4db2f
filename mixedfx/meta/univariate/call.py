"""The arguments of a fit, kept so that it can be made again with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixedfx.formula.mixed_formula import MixedFormula


@dataclass(frozen=True, eq=False)
class RmaCall:
    """The arguments of `mixedfx.rma`; `data` and arrays are held by reference."""

    formula: str | MixedFormula | None
    data: Any
    vi: Any = None
    sei: Any = None
    method: str = "REML"
    test: str = "z"
    level: float = 0.95
    weights: Any = None
    tau2: float | None = None
    scale: str | None = None
    slab: Any = None
    measure: str | None = None
    na: Literal["drop", "raise"] = "drop"
    contrasts: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
