"""Posterior predictive checks: the response against simulated ones, drawn as its kind asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.prediction import simulated
from mixedfx.design.labels import variable_label
from mixedfx.errors import ModelError, check_option
from mixedfx.plots.picture import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PPC_KINDS = ("auto", "density", "bars", "rootogram")
# Of continuous responses that are not any number.
SUPPORT = {"positive": (0.0, np.inf), "nonnegative": (0.0, np.inf), "unit": (0.0, 1.0)}
FEW_VALUES = 12  # of a count: bars up to here, a rootogram beyond


def ppc(posterior: Posterior, n: int, seed: int | None, ax: Axes | None, kind: str) -> Picture:
    """Picture behind `PosteriorFit.ppc`."""
    check_option("kind", kind, PPC_KINDS)
    if np.isnan(posterior.design.y).all():
        raise ModelError("there is no response to hold draws against", hint="simulate() gives the draws themselves.")
    from mixedfx.plots import predictive

    design = posterior.design
    y, drawn, name = design.y, simulated(posterior, n, seed), variable_label(design.frame, design.response_name)
    kind = _kind(posterior, drawn) if kind == "auto" else kind
    if kind == "density":
        bounds = SUPPORT.get(posterior.family.outcome, (-np.inf, np.inf))
        return Picture(predictive.predictive_check(y, drawn, name, ax, bounds))
    if kind == "rootogram":
        return Picture(predictive.rootogram(y, drawn, name=name, ax=ax))
    labels = posterior.categories or (("0", "1") if posterior.family.outcome == "binary" else None)
    return Picture(predictive.bars(y, drawn, labels=labels, name=name, ax=ax))


def _kind(posterior: Posterior, simulated: np.ndarray) -> str:
    """The kind of picture for the kind of response."""
    if posterior.family.outcome in ("count", "positive count", "trials"):
        return "bars" if max(posterior.design.y.max(), np.quantile(simulated, 0.99)) < FEW_VALUES else "rootogram"
    return "bars" if posterior.family.outcome in ("binary", "ordered", "nominal") else "density"
