"""A meta-analysis of dependent estimates of what a file holds, as a fit again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixedfx.archive import being_read, require
from mixedfx.errors import check_level, check_option
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.meta.multivariate.storage import HEAD
from mixedfx.reml.fit import LmerFit
from mixedfx.reml.storage import read


def read_rma_mv(path: str | Path, head: dict[str, Any], members: Mapping[str, bytes]) -> RmaMvFit:
    """Read a fit that `RmaMvFit.save` wrote; see `mixedfx.load`."""
    with being_read(path):
        require(head, HEAD)
        check_option("test", head["test"], ("z", "t"))
        check_level(head["level"])
        return RmaMvFit(LmerFit(*read(head, members)), head["test"], head["level"])
