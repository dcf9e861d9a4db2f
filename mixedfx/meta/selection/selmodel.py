"""selmodel: from a formula, data, sampling variances and clusters to a fitted selection model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, ModelError, OptionError, check_level, some_rows
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.selection.fit import SelectionFit
from mixedfx.meta.selection.intervals import Alternative, Empty
from mixedfx.meta.selection.options import Asked, MechanismName, SelectionType, read_selection, selection_fit
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.meta.univariate.rma_state import RmaState


def selmodel(
    formula: str | MixedFormula | None,
    data: Any,
    vi: Any = None,
    sei: Any = None,
    cluster: Any = None,
    *,
    type: SelectionType = "stepfun",
    steps: Any = None,
    alternative: Alternative = "greater",
    mechanism: MechanismName = "conditional",
    empty: Empty = "refuse",
    tau2: float | None = None,
    level: float = 0.95,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
) -> SelectionFit:
    """Fit a selection model by maximum likelihood: a meta-analysis of estimates that are seen for their p values.

    True effects have a mean X beta and a variance tau^2, of which clusters share a part. An estimate is seen with
    probability proportional to a weight of its p value. In clusters the answer depends on the mechanism of selection,
    which the likelihood cannot choose: the page of the fit shows all.

    Parameters
    ----------
    formula
        ``"yi ~ 1"``, or with moderators. None: ``"yi ~ 1"``.
    data
        Any data frame, such as `mixedfx.escalc` returns.
    vi, sei
        Sampling variances or standard errors: the name of a column or values. Neither: the column ``vi``.
    cluster
        Clusters of estimates that share an effect, such as studies: a column or values. None: all are independent.
    type
        Weight function: ``"stepfun"``, ``"halfnorm"``, ``"negexp"``, ``"logistic"``, ``"power"`` or ``"beta"``; see
        `mixedfx.meta.selection.weights`. Smooth ones are for independent estimates.
    steps
        p values at which the weights of a step function change; None: .025, or .05 of two-sided p values. One, for a
        smooth function (but for beta): where it begins to fall.
    alternative
        ``"greater"``: large estimates are significant, with one-sided p values. ``"less"``: small ones.
        ``"two.sided"``: both.
    mechanism
        In clusters. ``"conditional"``: estimates pass singly. ``"joint"``: a cluster is seen if all its estimates pass.
        ``"best"``: it is seen for its most significant estimate. See `mixedfx.meta.selection.clusters`.
    empty
        What becomes of intervals without estimates, whose weights have no maximum of the likelihood: ``"refuse"``, or
        ``"merge"`` with the next less significant interval (the last with the one before).
    tau2
        Variance of true effects where it is known, such as 0 for equal effects; not in clusters.
    level
        Confidence level of intervals.
    na, contrasts, env
        As in `mixedfx.rma`.

    Returns
    -------
    SelectionFit
        Estimates, weights, the test of no selection, what other mechanisms say; prints as a page.

    Raises
    ------
    DataError
        Intervals without estimates; clusters that are missing, one, or as many as estimates; what `rma` refuses.
    OptionError
        Unknown options.
    ModelError
        More parameters than estimates; smooth weights in clusters.

    Warns
    -----
    FewInIntervalWarning
        Intervals of three estimates or fewer, whose weights say little.
    MergedIntervalsWarning
        Intervals were merged.
    ConvergenceWarning
        The likelihood has no certain maximum.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52],
    ...                      "vi": [0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05],
    ...                      "study": list("aabbccddeeff")})
    >>> fit = mx.selmodel("yi ~ 1", data, cluster="study")
    >>> fit.sensitivity[["mechanism", "estimate", "std_error", "weights"]].round(3)
         mechanism  estimate  std_error   weights
    0         none     0.360      0.103
    1  conditional     0.207      0.118  1, 0.102
    2        joint     0.080      0.157  1, 0.106
    3         best     0.278      0.166  1, 0.409
    """
    call = RmaCall(
        formula,
        data,
        vi,
        sei,
        "ML" if tau2 is None else "EE",
        level=level,
        tau2=tau2,
        na=na,
        contrasts=contrasts,
        env=env,
    )
    check_level(level)
    asked = read_selection(type, steps, alternative, mechanism, empty)
    if tau2 is not None and not (np.isfinite(tau2) and tau2 >= 0):
        raise OptionError(f"tau2={tau2!r} is no variance", hint="Use a number from 0.")
    text = "yi ~ 1" if formula is None else " ".join((formula if isinstance(formula, str) else formula.text).split())
    return _fitted(read_estimates(call), text, cluster, asked, tau2, level, "ML")


def selection_of(fit: RmaState, cluster: Any, asked: Asked) -> SelectionFit:
    """Fit behind `RmaFit.selmodel`."""
    if fit.weights is not None:
        raise ModelError(
            "the fit has weights=, and a selection model weights estimates by their precision",
            hint="Fit without weights=.",
        )
    fixed = fit.tau2_fixed or not fit.estimator.heterogeneous
    before = "ML" if fixed else fit.method
    return _fitted(fit.data, fit.formula, cluster, asked, fit.tau2 if fixed else None, fit.level, before)


def _fitted(
    found: Estimates, formula: str, cluster: Any, asked: Asked, tau2: float | None, level: float, before: str
) -> SelectionFit:
    codes = None if cluster is None else _codes(found, cluster)
    given = asked.of(found.y, found.offset, found.X, found.vi, codes, tau2)
    return selection_fit(given, formula, found.names, found, level, before)


def _codes(found: Estimates, cluster: Any) -> NDArray[np.intp]:
    """(k,) clusters as numbers from 0."""
    labels = found.labels_beside(cluster, "cluster")
    codes = pd.factorize(pd.Series(labels, dtype=object))[0]
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise DataError(
            f"the cluster is missing in {some_rows(found.design.rows.used[missing])} (counted from 0)",
            hint="Give each estimate a cluster; one that is alone has a name of its own.",
        )
    return codes.astype(np.intp)
