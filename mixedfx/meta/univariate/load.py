"""A meta-analysis of independent estimates of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mixedfx.archive import being_read
from mixedfx.meta.univariate.rma_fit import RmaFit
from mixedfx.meta.univariate.rma_state import Test
from mixedfx.meta.univariate.scale_fit import RmaScaleFit, fit_scale
from mixedfx.meta.univariate.storage import read


def read_rma(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> RmaFit | RmaScaleFit:
    """Read a fit that `RmaFit.save` or `RmaScaleFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        found, method, test, tau2 = read(head, members)
        if tau2 is None:
            return fit_scale(found, found.call)
        return RmaFit(found, method, cast(Test, test), tau2)
