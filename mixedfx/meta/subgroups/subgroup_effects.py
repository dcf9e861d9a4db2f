"""subgroup_effects: from a table of reported subgroup effects to models of them, their evidence and their average."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Literal

import numpy as np

from mixedfx.effects.reported import read_arms, read_comparison
from mixedfx.errors import (
    ConvergenceWarning,
    MixedfxWarning,
    OptionError,
    PriorScaleWarning,
    check_count,
    check_level,
    check_option,
    check_seed,
    outside,
)
from mixedfx.meta.subgroups.analysis import SubgroupAnalysis
from mixedfx.meta.subgroups.models import CODINGS, MODELS, MOST_ORDERS, Cells, SubgroupPriors, chosen_models
from mixedfx.meta.subgroups.posterior import fit_model
from mixedfx.meta.subgroups.reading import Reported, read_model_weights, read_priors, read_reported, read_unit

INACCURATE = 1e-5  # error of a log evidence that is worth a warning
FAR = 3.0  # prior standard deviations
MOST_CHARACTERS = 80  # of an argument that is written out


def subgroup_effects(
    data: Any,
    by: str | Sequence[str],
    *,
    yi: Any = "yi",
    vi: Any = None,
    sei: Any = None,
    V: Any = None,
    n: Any = None,
    models: str | Sequence[str] | None = None,
    prior_weights: Mapping[str, float] | None = None,
    priors: Mapping[Any, Any] | None = None,
    unit: float | Literal["information"] = 1.0,
    order: int | None = None,
    coding: Literal["symmetric", "treatment"] = "symmetric",
    treatment: str | Mapping[str, Sequence[Any]] = "treatment",
    response: str = "outcome",
    comparison: str = "difference",
    level: float = 0.95,
    seed: int | None = None,
) -> SubgroupAnalysis:
    """Compare and average models of reported subgroup effects, such as those of a trial's forest plot.

    Parameters
    ----------
    data
        Any data frame with one row for each subgroup.
    by
        Covariates that define the subgroups: columns; each row is another combination of their values.
    yi
        Estimated effects, with normal errors: a column or values. Ratios as their logarithms.
    vi, sei, V
        Errors of the estimates, taken as known: sampling variances or standard errors (a column or values), or the
        covariance matrix of the errors where subgroups share people (`mixedfx.vcalc`). None of them: the column ``sei``
        or ``vi``.
    n
        People in each subgroup: a column or values. Averages over subgroups are weighted by them; else each counts
        once.
    models
        Names, or None for the six of Jones et al. (2011), or ``"all"``. ``"homogeneous"``: no subgroup effect.
        ``"stratified"``: every effect by itself. ``"regression"``: main effects of the covariates. ``"shrinkage"``:
        effects exchangeable around a mean. ``"regression_shrinkage"`` (Wang et al. 2018): both. ``"dixon_simon"``: main
        effects, which are shrunk. ``"extended_dixon_simon"``: products too, each order shrunk by itself.
        `mixedfx.meta.subgroups.models` has the formulas.
    prior_weights
        Name of a model -> its prior weight; all alike where None.
    priors
        What a prior is for -> prior, in the place of the defaults. ``"overall"`` (of the mean effect), ``"stratum"``
        (of each effect under ``"stratified"``), ``"coef"`` (of a difference of two levels under ``"regression"``) are
        normal. ``"sd"`` (of scales), ``("sd", "order 2")``: any proper prior of a positive number. With
        ``autoscale=True`` a prior is in units.
    unit
        What the defaults are stated in: a large effect. 1 for standardised mean differences and logarithms of ratios;
        for differences of means the standard deviation of the outcome. ``"information"``: the standard error that one
        person alone would give, from `n`.
    order
        Highest order of products in ``"extended_dixon_simon"``; as many as there are covariates where None, up to 3.
    coding
        ``"symmetric"``: levels are alike a priori. ``"treatment"``: indicators of all levels but the first, as beanz
        has them, under which the prior of an effect depends on which level is the first.
    treatment, response
        Names for tables and axes; ``{"drug": ["placebo", "active"]}`` names the arms too, the base first.
    comparison
        What the estimates are: ``"difference"``, ``"risk_difference"``, ``"lnratio"``, ``"log_odds_ratio"``.
    level
        Probability the intervals hold.
    seed
        Of draws.

    Returns
    -------
    SubgroupAnalysis
        `models` (evidence, probabilities), `table` (effects under each model and averaged), `scales`, `draws`, `plot`,
        and `effects`, an `Effects` as of any fit: contrasts, probabilities, ranks, decisions.

    Raises
    ------
    DataError
        By row: missing estimates, errors that are not positive, a subgroup twice, missing covariates (a row for all
        ages holds the people of other rows); a single subgroup; a covariate with one value.
    OptionError, EffectsError
        Options that cannot be.
    ImproperPosteriorError
        Priors that are no distributions.

    Warns
    -----
    PriorScaleWarning
        Estimates that the priors all but exclude, or errors larger than the unit.
    ConvergenceWarning
        A log evidence that is not known to 1e-5.

    Notes
    -----
    **Default priors**, in units: the mean effect and every stratum normal(0, 1), coefficients normal(0, 0.5), scales
    half_normal(0.5). An effect of more than two units would be a rare one, and effects differ between
    subgroups by less than they are large: in one out of three prior draws of ``"shrinkage"`` effects scatter by more
    than half a unit. Wider priors, such as the variance of 1,000 that beanz has, do little to estimates and decide
    between the models: each tenfold width of a stratum's prior takes a factor of ten for each subgroup from the
    evidence of ``"stratified"``.

    Given the scales all is normal, and beta is integrated out exactly; scales are integrated by quadrature
    (`mixedfx.meta.subgroups.scale_integral`), so that no random numbers are in evidences, estimates or intervals.
    Standard errors count as known, as they do in Jones et al. (2011).

    References
    ----------
    Jones, Ohlssen, Neuenschwander, Racine & Branson (2011), Bayesian models for subgroup analysis in clinical trials,
    Clinical Trials 8:129. Dixon & Simon (1991), Bayesian subset analysis, Biometrics 47:871.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> forest = pd.DataFrame({"sex": ["f", "f", "m", "m"], "age": ["<65", "65+", "<65", "65+"],
    ...                        "yi": [0.42, 0.35, 0.18, 0.05], "sei": [0.12, 0.15, 0.13, 0.16]})
    >>> analysis = mx.subgroup_effects(forest, by=["sex", "age"])
    >>> analysis.models[["model", "log_evidence", "posterior"]].round(3)
                      model  log_evidence  posterior
    0           homogeneous        -0.611      0.297
    1            stratified        -3.879      0.011
    2            regression        -1.301      0.149
    3             shrinkage        -1.358      0.141
    4           dixon_simon        -0.809      0.244
    5  extended_dixon_simon        -1.245      0.158
    >>> eff = analysis.effects()
    >>> eff.contrast(("f", "<65"), ("m", "65+")).prob(greater=0)["prob"].round(3).item()
    0.633
    """
    call = _call(dict(locals()))
    check_level(level)
    check_seed(seed)
    check_option("coding", coding, CODINGS)
    reported = read_reported(data, by, yi=yi, vi=vi, sei=sei, V=V, n=n)
    covariates = reported.frame.shape[1]
    most = min(covariates, MOST_ORDERS)
    if order is not None:
        check_count("order", order)
        if order > most:
            why = f"there are {covariates} covariates" if covariates <= MOST_ORDERS else "more are not integrated over"
            raise OptionError(f"order={order}: {why}", hint=f"Use order={most} or lower.")
    cells = Cells(reported.frame, coding, most if order is None else order)
    size, origin = read_unit(unit, reported)
    given = read_priors(priors, size, cells.order)
    names, notes = chosen_models(models, cells)
    weights = read_model_weights(prior_weights, names)
    if origin:
        notes = (*notes, f"The unit of the priors is {size:.4g}: {origin}.")
    if order is None and covariates > MOST_ORDERS and "extended_dixon_simon" in names:
        notes = (*notes, f"Products of more than {MOST_ORDERS} covariates are left out of extended_dixon_simon.")
    posteriors = tuple(fit_model(MODELS[name].build(cells, given), reported.y, reported.V) for name in names)
    concerns = _concerns(reported, given, size)
    for one in posteriors:
        if one.nodes.error > INACCURATE:
            text = f"the log evidence of {one.model.name} is known to {one.nodes.error:.1g} only"
            concerns.append((ConvergenceWarning, text))
    for category, text in concerns:
        warnings.warn(text, category, outside())
    return SubgroupAnalysis(
        reported=reported,
        cells=cells,
        posteriors=posteriors,
        prior_weights=weights,
        priors=given,
        unit=size,
        treated=read_arms(treatment),
        comparison=read_comparison(comparison),
        response=response,
        level=level,
        notes=notes,
        concerns=tuple(concerns),
        seed=seed,
        call=call,
    )


def _call(given: dict[str, Any]) -> str:
    """The call as code: what is no name, number or list is named as a variable."""
    parts = ["data", f"by={given['by']!r}"]
    for name, about in signature(subgroup_effects).parameters.items():
        value = given[name]
        if name in ("data", "by") or value is None or (isinstance(value, str | float | int) and value == about.default):
            continue
        plain = isinstance(value, str | int | float | dict | list | tuple) and len(repr(value)) < MOST_CHARACTERS
        parts.append(f"{name}={value!r}" if plain and name != "priors" else f"{name}={name}")
    return f"mx.subgroup_effects({', '.join(parts)})"


def _concerns(reported: Reported, priors: SubgroupPriors, unit: float) -> list[tuple[type[MixedfxWarning], str]]:
    """What speaks against the scale of the priors."""
    se = np.sqrt(np.diag(reported.V))
    overall = priors.overall
    off = np.abs(reported.y - overall.loc) - 2 * se
    hint = f"unit={unit:.4g} should be a large effect in units of the estimates"
    if (off > FAR * overall.scale).any():
        worst = int(off.argmax())
        text = (
            f"the estimate of {reported.labels[worst]!r} is {reported.y[worst]:.4g}, which the prior {overall} of the "
            f"mean effect all but excludes: {hint}"
        )
    elif np.median(se) > 2 * unit:
        text = f"the median standard error is {np.median(se):.4g}, so that the priors decide: {hint}"
    else:
        return []
    return [(PriorScaleWarning, text)]
