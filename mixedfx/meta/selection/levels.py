"""From a multilevel meta-analysis to a selection model in clusters: which of its levels are clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.precision import Independent
from mixedfx.errors import ModelError
from mixedfx.meta.multivariate.mv_state import RmaMvState
from mixedfx.meta.selection.fit import SelectionFit
from mixedfx.meta.selection.options import Asked, selection_fit


def selection_of_levels(fit: RmaMvState, asked: Asked) -> SelectionFit:
    """Fit behind `RmaMvFit.selmodel`.

    Raises
    ------
    ModelError
        Sampling errors that are correlated; other random terms than intercepts of clusters and of single estimates.
    """
    design = fit.design
    if not isinstance(design.precision, Independent):
        raise ModelError(
            "the sampling errors are correlated, and a selection model has independent ones",
            hint="Fit with vi= and clusters, (1 | study/estimate), whose shared effect takes their place.",
        )
    given = asked.of(design.y, design.offset, design.X, design.precision.variances, _clusters(fit))
    return selection_fit(given, fit.formula, fit.names, fit, fit.level, fit.method)


def _clusters(fit: RmaMvState) -> NDArray[np.intp] | None:
    """(k,) cluster of each estimate; None where each has only an effect of its own."""
    terms = fit.design.random
    plain = [term for term in terms if term.columns == ("Intercept",) and term.relation is None]
    single = [term for term in plain if term.n_levels == fit.k]
    clusters = [term for term in plain if term.n_levels < fit.k]
    if len(plain) < len(terms) or len(single) != 1 or len(clusters) > 1:
        shown = ", ".join(f"(1 | {term.label})" if term in plain else term.label for term in terms)
        raise ModelError(
            f"a selection model has effects of single estimates and of one level of clusters, and the fit has {shown}",
            hint="Fit yi ~ 1 + (1 | study/estimate), with as many estimates as rows.",
        )
    return np.unique(clusters[0].codes, return_inverse=True)[1].astype(np.intp) if clusters else None
