"""The coding of categorical factors alone: the columns that formulaic makes where every number is one.

This module imports formulaic and is itself imported only inside functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from interface_meta import override

from mixedfx.design.expressions import Scope
from mixedfx.design.materialize import DesignMaterializer


class CodingMaterializer(DesignMaterializer):
    """Builds columns of which the numeric factors, by their text, are one in every row."""

    REGISTER_NAME = "mixedfx codings"
    REGISTER_INPUTS = ()

    def __init__(self, frame: pd.DataFrame, scope: Scope, numbers: frozenset[str]) -> None:
        super().__init__(frame, scope)
        self.numbers = numbers

    @override
    def _lookup(self, name: str) -> tuple[Any, set[Any]]:
        return (self._one, set()) if name in self.numbers else super()._lookup(name)

    @override
    def _evaluate(self, expr: str, metadata: Any, spec: Any) -> tuple[Any, set[Any]]:
        return (self._one, set()) if expr in self.numbers else super()._evaluate(expr, metadata, spec)

    @property
    def _one(self) -> pd.Series:
        return pd.Series(np.ones(len(self.frame)), index=self.frame.index)
