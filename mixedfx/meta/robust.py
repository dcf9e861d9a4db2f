"""Cluster-robust tests of meta-analyses: estimates of one study may depend on each other in any way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import opened, to_pandas
from mixedfx.errors import ModelError
from mixedfx.inference.robust import RobustCovariance, robust_covariance
from mixedfx.inference.robust_report import Robust, robust_tests
from mixedfx.inference.robust_tests import Df
from mixedfx.meta.reading import values
from mixedfx.meta.rma_state import RmaState
from mixedfx.reml import testing
from mixedfx.reml.fit import LmerFit


def robust(fit: RmaState, cluster: Any, kind: str, df: Df, level: float | None) -> Robust:
    """Table behind `RmaFit.robust`; the working model has independent errors of variance vi + tau^2.

    Raises
    ------
    ModelError
        Weights of the caller's: the working model is that of the weights.
    """
    if fit.weights is not None:
        raise ModelError(
            "weights= were given, and a robust covariance takes the inverse of vi + tau2 for the working model",
            hint="Leave weights= out.",
        )
    design = replace(fit.design, known_sd=np.sqrt(fit.vi + fit.tau2))
    rows, name = (np.arange(fit.k), "estimates") if cluster is None else _beside(design, fit.call.data, cluster)
    inverse = np.linalg.inv(fit.R)
    model = inverse @ fit.at_tau2.G[0] @ inverse.T
    found = robust_covariance(design, (), 1.0, fit.beta, model, kind, rows)
    return robust_tests(_named(found, name), fit.beta, df, fit.level if level is None else level)


def robust_mv(model: LmerFit, cluster: Any, kind: str, df: Df, level: float) -> Robust:
    """Table behind `RmaMvFit.robust`."""
    design, name = model.design, cluster
    known = {term.label for term in design.random} | set(map(str, design.frame.columns))
    if isinstance(cluster, str) and cluster not in known and model.call is not None:
        cluster, name = _beside(design, model.call.data, cluster)
    found = testing.robust(design, model.solution, kind, cluster)
    return robust_tests(_named(found, name), model.solution.beta, df, level)


def _named(found: RobustCovariance, name: Any) -> RobustCovariance:
    return replace(found, cluster=name) if isinstance(name, str) else found


def _beside(design: Design, data: Any, cluster: Any) -> tuple[Any, str]:
    """A value for each row used, from the name of a column of the data, and what to call it."""
    if not isinstance(cluster, str):
        return cluster, "cluster"
    frame = opened(data)
    frame = frame if isinstance(frame, pd.DataFrame) else to_pandas(frame)
    return values(cluster, frame, None, "cluster")[design.rows.used], cluster
