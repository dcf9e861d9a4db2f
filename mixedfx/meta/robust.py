"""Cluster-robust tests of multilevel meta-analyses, by clusters that the formula need not name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import opened, to_pandas
from mixedfx.inference.robust import RobustCovariance
from mixedfx.inference.robust_report import Robust, robust_tests
from mixedfx.inference.robust_tests import Df
from mixedfx.meta.reading import values
from mixedfx.reml import testing
from mixedfx.reml.fit import LmerFit


def robust_mv(model: LmerFit, cluster: Any, kind: str, df: Df, level: float) -> Robust:
    """Table behind `RmaMvFit.robust`."""
    design, name = model.design, cluster
    known = {term.label for term in design.random} | set(map(str, design.frame.columns))
    if isinstance(cluster, str) and cluster not in known and model.call is not None:
        cluster, name = beside(design, model.call.data, cluster)
    found = testing.robust(design, model.solution, kind, cluster)
    return robust_tests(_named(found, name), model.solution.beta, df, level)


def _named(found: RobustCovariance, name: Any) -> RobustCovariance:
    return replace(found, cluster=name) if isinstance(name, str) else found


def beside(design: Design, data: Any, cluster: Any) -> tuple[Any, str]:
    """A value for each row used, from the name of a column of the data, and what to call it."""
    if not isinstance(cluster, str):
        return cluster, "cluster"
    frame = opened(data)
    frame = frame if isinstance(frame, pd.DataFrame) else to_pandas(frame)
    return values(cluster, frame, None, "cluster")[design.rows.used], cluster
