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
from mixedfx.design.frame import column_names, opened, to_pandas
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
        variances = _new_variances(fit, newdata, vi)
        replay = fit.design.spec.replay(newdata)
        X, offset, index = replay.X, replay.offset, row_labels(newdata)
    mean = X @ fit.beta + offset
    rng = np.random.default_rng(seed)
    if use_u and newdata is None:
        true = mean + fit.tau2 / (fit.tau2 + variances) * (fit.data.y - mean)
    else:
        true = mean + np.sqrt(fit.tau2) * rng.standard_normal((n, len(mean)))
    drawn = true + np.sqrt(variances) * rng.standard_normal((n, len(mean)))
    return pd.DataFrame(drawn.T, index=index)


def _new_variances(fit: RmaState, newdata: Any, vi: Any) -> Array:
    """(m,) sampling variances of new studies, as given, or from the columns that the fit has them from."""
    call = fit.call if vi is None else replace(fit.call, vi=vi, sei=None)
    frame, labels = opened(newdata), row_labels(newdata)
    given = call.vi if call.vi is not None else call.sei if call.sei is not None else "vi"
    if not isinstance(given, str):
        if vi is None:
            raise OptionError(
                "the fit has sampling variances that were given as numbers, which belong to its own studies",
                hint="Give those of the new studies: vi='...', or values.",
            )
        frame = pd.DataFrame(index=pd.RangeIndex(len(to_pandas(frame))))
    elif given in column_names(frame):
        frame = to_pandas(frame, [given])
    else:
        raise OptionError(
            f"estimates of new studies need sampling variances, and the new data have no column {given!r}",
            hint="Add the column, or give vi='...', or values.",
        )
    return sampling_variances(call, frame, frame.index if labels is None else labels, complete=True)
