"""New estimates drawn from a meta-analysis: of its own studies, or of others.

An estimate of a study with moderators x and sampling variance v is

    y = x'beta + offset + u + e,    u ~ N(0, tau2),    e ~ N(0, v),

beta and tau2 at their estimates; with their effects kept, u is its best linear unbiased prediction, tau2 / (tau2 + v)
times the residual (Raudenbush & Bryk 1985, JEBS 10:75).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.alignment import row_labels
from mixedfx.errors import OptionError, check_count, check_flag, check_seed
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.estimates import sampling_variances
from mixedfx.meta.univariate.rma_state import RmaState


def simulate(fit: RmaState, n: int, seed: int | None, use_u: bool, newdata: Any, vi: Any) -> pd.DataFrame:
    """Table behind `RmaFit.simulate`."""
    check_count("n", n)
    check_flag("use_u", use_u)
    check_seed(seed)
    if newdata is None:
        if vi is not None:
            raise OptionError(
                "vi= is of new studies, and the sampling variances of those of the fit are known",
                hint="Leave it out, or give newdata.",
            )
        X, offset, variances, index = fit.data.X, fit.data.offset, fit.vi, pd.Index(fit.slab)
    else:
        given, index = _given(fit, vi), row_labels(newdata)
        also = (given,) if isinstance(given, str) else ()
        frame = fit.design.spec.fetch(newdata, also)
        replay = fit.design.spec.replay(frame)
        X, offset = replay.X, replay.offset
        variances = _new_variances(fit, frame, given, index, vi is not None)
    mean = X @ fit.beta + offset
    rng = np.random.default_rng(seed)
    if use_u and newdata is None:
        true = mean + fit.tau2 / (fit.tau2 + variances) * (fit.data.y - mean)
    else:
        true = mean + np.sqrt(fit.tau2) * rng.standard_normal((n, len(mean)))
    drawn = true + np.sqrt(variances) * rng.standard_normal((n, len(mean)))
    return pd.DataFrame(drawn.T, index=index)


def _given(fit: RmaState, vi: Any) -> Any:
    """What says the sampling variances of new studies: what was given, or where the fit has them from."""
    known = (one for one in (vi, fit.call.vi, fit.call.sei, "vi") if one is not None)
    given = next(known)
    if vi is None and not isinstance(given, str):
        raise OptionError(
            "the fit has sampling variances that were given as numbers, which belong to its own studies",
            hint="Give those of the new studies: vi='...', or values.",
        )
    return given


def _new_variances(fit: RmaState, frame: pd.DataFrame, given: Any, labels: pd.Index | None, own: bool) -> Array:
    """(m,) sampling variances of new studies; `own`: whether they were given for them."""
    if isinstance(given, str) and given not in frame.columns:
        raise OptionError(
            f"estimates of new studies need sampling variances, and the new data have no column {given!r}",
            hint="Add the column, or give vi='...', or values.",
        )
    call = replace(fit.call, vi=given, sei=None) if own else fit.call
    return sampling_variances(call, frame, frame.index if labels is None else labels, complete=True)
