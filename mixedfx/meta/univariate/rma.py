"""rma: from a formula, data and sampling variances to a fitted meta-analysis or meta-regression."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, cast, overload

import numpy as np

from mixedfx.errors import (
    ConvergenceWarning,
    FewEffectsWarning,
    ModelError,
    OptionError,
    check_level,
    check_option,
    outside,
)
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.meta.univariate.heterogeneity import find_estimator
from mixedfx.meta.univariate.rma_fit import RmaFit
from mixedfx.meta.univariate.rma_state import Test
from mixedfx.meta.univariate.scale_fit import RmaScaleFit, fit_scale
from mixedfx.meta.univariate.weighted import Effects, orthonormal

TESTS = ("z", "t", "knha", "adhoc")


@overload
def rma(
    formula: str | MixedFormula | None, data: Any, vi: Any = ..., sei: Any = ..., method: str = ..., test: Test = ...,
    *, level: float = ..., weights: Any = ..., tau2: float | None = ..., scale: None = ..., slab: Any = ...,
    measure: str | None = ..., na: Literal["drop", "raise"] = ..., contrasts: Mapping[str, Any] | None = ...,
    env: Mapping[str, Any] | None = ...,
) -> RmaFit: ...  # fmt: skip
@overload
def rma(
    formula: str | MixedFormula | None, data: Any, vi: Any = ..., sei: Any = ..., method: str = ..., test: Test = ...,
    *, level: float = ..., weights: Any = ..., tau2: float | None = ..., scale: str, slab: Any = ...,
    measure: str | None = ..., na: Literal["drop", "raise"] = ..., contrasts: Mapping[str, Any] | None = ...,
    env: Mapping[str, Any] | None = ...,
) -> RmaScaleFit: ...  # fmt: skip
def rma(
    formula: str | MixedFormula | None,
    data: Any,
    vi: Any = None,
    sei: Any = None,
    method: str = "REML",
    test: Test = "z",
    *,
    level: float = 0.95,
    weights: Any = None,
    tau2: float | None = None,
    scale: str | None = None,
    slab: Any = None,
    measure: str | None = None,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
) -> RmaFit | RmaScaleFit:
    """Fit a random-effects or mixed-effects meta-analysis of independent estimates.

    The model is y = X beta + u + e with u ~ N(0, tau^2) and e ~ N(0, vi), vi known. Estimates that depend on each other
    need `mixedfx.lmer` with ``V=`` and groups.

    Parameters
    ----------
    formula
        ``"yi ~ 1"``, or with moderators ``"yi ~ ablat + alloc"``. None: ``"yi ~ 1"``.
    data
        Any data frame, such as `mixedfx.escalc` returns.
    vi, sei
        Sampling variances or standard errors: the name of a column or values. Neither: the column ``vi``.
    method
        Estimator of tau^2: ``"REML"``, ``"ML"``, ``"DL"`` (DerSimonian-Laird), ``"HE"`` (Hedges), ``"HS"``, ``"HSk"``
        (Hunter-Schmidt), ``"SJ"``, ``"SJIT"`` (Sidik-Jonkman), ``"PM"``, ``"PMM"`` (Paule-Mandel), ``"EB"`` (empirical
        Bayes), ``"GENQ"``, ``"GENQM"`` (generalised Q, with `weights`); ``"EE"`` (or ``"FE"``, ``"CE"``): tau^2 = 0.
    test
        ``"z"``: normal. ``"t"``: t with k - p degrees of freedom. ``"knha"``: the same with Knapp and Hartung's
        standard errors; ``"adhoc"``: these where they are larger.
    level
        Confidence level of intervals.
    weights
        Weights of the estimates in the place of 1 / (vi + tau^2): a column or values. Standard errors stay right.
    tau2
        Its value where it is known; then it is not estimated.
    scale
        One-sided formula of log tau^2, ``"~ grade"``: a location-scale model, fitted by REML or ML.
    slab
        Labels of the estimates: a column or values. By default the column ``slab``, or the index of the data.
    measure
        What the estimates are, as `mixedfx.escalc` names it: a label.
    na
        ``"drop"``: rows that lack a value are left out and counted. ``"raise"``: they are an error.
    contrasts, env
        As in `mixedfx.lmer`.

    Returns
    -------
    RmaFit
        Or `RmaScaleFit`, where `scale` is given.

    Raises
    ------
    DataError
        Sampling variances that are not positive, by row; what formulas cannot read; no complete rows.
    OptionError
        Unknown options, `weights` that an estimator needs.
    ModelError
        Random terms in the formula; moderators that are combinations of others.

    Warns
    -----
    FewEffectsWarning
        No more estimates than coefficients: tau^2 cannot be estimated and is taken as 0.
    ConvergenceWarning
        tau^2 was not found to full accuracy.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"ai": [4, 6, 3, 62], "n1i": [123, 306, 231, 13598],
    ...                        "ci": [11, 29, 11, 248], "n2i": [139, 303, 220, 12867]})
    >>> data = mx.escalc("RR", trials, ai="ai", n1i="n1i", ci="ci", n2i="n2i")
    >>> fit = mx.rma("yi ~ 1", data)
    >>> fit
    <RmaFit yi ~ 1: 4 estimates, tau2 0.00 (REML), Intercept -1.42>
    >>> fit.predict(transf="exp").round(3)
       estimate  conf_low  conf_high  pred_low  pred_high
    0     0.241     0.188       0.31     0.188       0.31
    """
    call = RmaCall(
        formula, data, vi, sei, method, test, level, weights, tau2, scale, slab, measure, na, contrasts, env
    )  # fmt: skip
    _check(call)
    found = read_estimates(call)
    return fit_estimates(found, call) if scale is None else fit_scale(found, call)


def fit_estimates(found: Estimates, call: RmaCall) -> RmaFit:
    """Estimate tau^2 of what was read."""
    method = call.method
    k, p = found.X.shape
    value = call.tau2
    if value is None:
        value = 0.0
        if find_estimator(method).heterogeneous and k <= p:
            warnings.warn(
                f"{k} estimate{'s' if k > 1 else ''} and {p} coefficient{'s' if p > 1 else ''} say nothing of tau^2, "
                "which is taken as 0: this is an equal-effects analysis",
                FewEffectsWarning,
                outside(),
            )
            method = "EE"
        elif k > p:
            value = _estimated(found, method)
    test = cast(Test, call.test if k > p else "z")
    return RmaFit(found, method, test, float(value))


def _estimated(found: Estimates, method: str) -> float:
    effects = Effects((found.y - found.offset)[None], found.vi[None], orthonormal(found.X)[0])
    weights = None if found.weights is None else found.weights[None]
    value, done = find_estimator(method).estimate(effects, weights)
    if not done[0]:
        warnings.warn("tau^2 was not found to full accuracy", ConvergenceWarning, outside())
    return float(value[0])


def _check(call: RmaCall) -> None:
    estimator = find_estimator(call.method)
    check_option("test", call.test, TESTS)
    check_level(call.level)
    if estimator.needs_weights and call.weights is None:
        raise OptionError(
            f"method={call.method!r} needs weights=", hint="Give a column or values, such as 1 / sei (Jackson 2013)."
        )
    if call.weights is not None and call.test in ("knha", "adhoc"):
        raise OptionError(
            f"test={call.test!r} has the weights 1 / (vi + tau2), and weights= are given",
            hint="Use test='t', or leave weights= out.",
        )
    if call.tau2 is not None and not (np.isfinite(call.tau2) and call.tau2 >= 0):
        raise OptionError(f"tau2={call.tau2!r} is no variance", hint="Use a number from 0.")
    if call.scale is not None:
        if estimator.likelihood == "":
            raise ModelError(
                "a location-scale model is fitted by maximum likelihood", hint="Use method='REML' or 'ML'."
            )
        for name in ("weights", "tau2"):
            if getattr(call, name) is not None:
                raise OptionError(f"{name}= and scale= are given", hint=f"Leave {name}= out.")
