"""robma and bma: from data and priors to a model-averaged meta-analysis."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from mixedfx.errors import (
    EvidenceErrorWarning,
    ExcludedDirectionWarning,
    FewInIntervalWarning,
    OptionError,
    check_count,
    check_level,
    check_option,
    check_seed,
    outside,
)
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.averaging.fit import RobmaFit
from mixedfx.meta.averaging.given import Given, cells
from mixedfx.meta.averaging.members import members
from mixedfx.meta.averaging.read import AverageCall, read_ensemble, read_given
from mixedfx.meta.averaging.solve import solve
from mixedfx.meta.selection.clusters import MECHANISMS
from mixedfx.meta.selection.options import MechanismName
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.priors.bias import NoBias
from mixedfx.priors.bounded import Spike
from mixedfx.priors.ensembles import Direction, Ensemble, bias_options
from mixedfx.priors.marginal import marginal
from mixedfx.progress import Asked

RELEVANT, UNCERTAIN = 1e-3, 0.1  # posterior probability of models that matter; error of a log evidence
PriorsAsked = Literal["robma3", "robma4"] | Ensemble


def robma(
    data: Any,
    yi: str = "yi",
    vi: Any = None,
    sei: Any = None,
    *,
    cluster: Any = None,
    measure: str | None = None,
    formula: str | MixedFormula | None = None,
    priors: PriorsAsked = "robma3",
    bias: Any = None,
    mechanism: MechanismName = "conditional",
    direction: Direction | None = None,
    ni: Any = None,
    slab: Any = None,
    level: float = 0.95,
    draws: int = 4000,
    seed: int = 1,
    check: Literal["stan"] | None = None,
    na: Literal["drop", "raise"] = "drop",
    env: Mapping[str, Any] | None = None,
    progress: Asked = None,
) -> RobmaFit:
    """Average a meta-analysis over models with and without an effect, heterogeneity, clustering, bias, moderators.

    Robust Bayesian meta-analysis (Maier, Bartos and Wagenmakers 2023, Psychological Methods 28(1); Bartos, Maier,
    Wagenmakers, Doucouliagos and Stanley 2023, Research Synthesis Methods 14(1)). The evidence of each model is
    computed by quadrature; where weight functions meet clusters or moderators by quasi-Monte Carlo importance sampling,
    with its error. Estimates of a cluster share the part rho of the variance tau^2 of true effects.

    Parameters
    ----------
    data
        Any data frame, such as `mixedfx.escalc` returns.
    yi
        Column of the estimates.
    vi, sei
        Sampling variances or standard errors: the name of a column or values. Neither: the column ``vi``.
    cluster
        What estimates share: a column or values, such as studies with several estimates, or districts.
    measure
        What the estimates are; by default what `mixedfx.escalc` wrote down. ``"SMD"``, ``"COR"`` and ``"ZCOR"`` are
        fitted as Fisher's z under the priors of RoBMA 3; without a measure estimates are fitted as they are.
    formula
        Moderators, ``"~ grade + type"`` or ``"yi ~ grade + type"``: covariates, which are standardised, and factors,
        whose levels deviate from their mean. Every one is in or out.
    priors
        ``"robma3"`` or ``"robma4"``, or an ensemble: `mixedfx.priors.robma3`, `robma4` and `ensemble` make one.
    bias
        ``"PSMA"`` (six weight functions, PET, PEESE), ``"PP"`` (PET, PEESE), ``"2w"``, ``"6w"`` (weight functions),
        ``"none"``, or a list of `mixedfx.priors.no_bias`, `weight_function`, `pet`, `peese`. None: that of `priors`.
    mechanism
        How estimates of one cluster are selected by weight functions, ``"conditional"``, ``"joint"`` or ``"best"``, as
        in `mixedfx.selmodel`.
    direction
        ``"positive"`` or ``"negative"``: which estimates are likelier to be seen; ``"detect"``: that of the median.
        None: that of `priors`.
    ni
        Sample sizes, where they are not to be computed from standard errors.
    slab
        Labels of the estimates, as in `mixedfx.rma`.
    level
        Probability of intervals.
    draws, seed
        Of `RobmaFit.draws`; estimates do not depend on them.
    check
        ``"stan"``: the most probable model is sampled by Stan too, and its evidence bridge-sampled, as
        `RobmaFit.cross_check` does it; the answer is ``fit.checked``, and part of the summary.
    na, env
        As in `mixedfx.rma`.
    progress
        As in `mixedfx.bayes`.

    Returns
    -------
    RobmaFit

    Raises
    ------
    DataError
        Fewer than two estimates; sampling variances that are not positive, by row; one cluster, or one for each
        estimate.
    OptionError
        Unknown options; priors that a parameter cannot have.
    ModelError
        Moderators of several columns, constant ones; ``check="stan"`` of a model that the program does not have.

    Warns
    -----
    FewInIntervalWarning
        A weight function changes nowhere among the estimates: what is said of it is its prior.
    ExcludedDirectionWarning
        No prior of the effect allows for the side on which the estimates are.
    ImportanceWarning
        Models that were sampled by chains, as importance weights failed.
    EvidenceErrorWarning
        A log evidence that matters is uncertain by more than 0.1.

    Examples
    --------
    >>> import mixedfx as mx
    >>> schools = mx.datasets.load("school_calendars")
    >>> p = mx.priors
    >>> fit = mx.bma(schools, cluster="district", measure="SMD",
    ...              priors=p.robma3(hierarchical=[p.spike(0), p.beta(1, 1)]))
    >>> [f"{bf:.4g}" for bf in fit.components["inclusion_bf"]]
    ['0.9194', '4.661e+92', '4619']
    """
    check_option("mechanism", mechanism, tuple(MECHANISMS))
    check_level(level)
    check_count("draws", draws)
    check_seed(seed)
    check_option("check", check, (None, "stan"))
    text = _formula(formula, yi)
    asked = RmaCall(text, data, vi, sei, slab=slab, measure=measure, na=na, env=env)
    named = measure or getattr(data, "attrs", {}).get("measure")
    ensemble = read_ensemble(priors, named)
    if bias is not None:
        ensemble = replace(ensemble, bias=_bias(bias, ensemble), models=_no_list(ensemble))
    given, source = read_given(AverageCall(asked, cluster, ni, direction), ensemble)
    found = members(ensemble, given)
    _caveats(given, ensemble)
    solved = solve(given, found, mechanism, seed, progress)
    fit = RobmaFit(given, source, ensemble, found, solved, mechanism, level, draws, seed)
    _check_errors(fit)
    return fit if check is None else replace(fit, checked=fit.cross_check(seed=seed))


def bma(
    data: Any,
    yi: str = "yi",
    vi: Any = None,
    sei: Any = None,
    *,
    cluster: Any = None,
    measure: str | None = None,
    formula: str | MixedFormula | None = None,
    priors: PriorsAsked = "robma3",
    ni: Any = None,
    slab: Any = None,
    level: float = 0.95,
    draws: int = 4000,
    seed: int = 1,
    check: Literal["stan"] | None = None,
    na: Literal["drop", "raise"] = "drop",
    env: Mapping[str, Any] | None = None,
    progress: Asked = None,
) -> RobmaFit:
    """Average a meta-analysis over models with and without an effect, heterogeneity and moderators, without bias.

    Arguments and answer as of `robma`.

    Raises
    ------
    OptionError
        A listed model (`mixedfx.priors.ensemble`) that has a bias; and as `robma`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.bma(mx.datasets.load("school_calendars"), cluster="district", measure="SMD")
    >>> fit.estimates.round(2)
               mean  median  lower  upper
    parameter
    mu         0.09    0.00   0.00   0.32
    tau        0.33    0.32   0.23   0.47
    rho        0.66    0.68   0.36   0.88
    """
    listed = priors.models if isinstance(priors, Ensemble) else ()
    if any(not isinstance(one.bias.prior, NoBias) for one in listed):
        raise OptionError("mixedfx.bma has no bias, and a listed model has", hint="Average them by mixedfx.robma.")
    return robma(
        data, yi, vi, sei, cluster=cluster, measure=measure, formula=formula, priors=priors,
        bias=None if listed else "none", ni=ni,
        slab=slab, level=level, draws=draws, seed=seed, check=check, na=na, env=env, progress=progress,
    )  # fmt: skip


def _formula(formula: str | MixedFormula | None, yi: str) -> str | MixedFormula:
    """Estimates and moderators; the left side may be left out."""
    response = yi if str(yi).isidentifier() else f"`{yi}`"
    if formula is None:
        return f"{response} ~ 1"
    return f"{response} {formula}" if isinstance(formula, str) and formula.lstrip().startswith("~") else formula


def _bias(bias: Any, ensemble: Ensemble) -> Any:
    """Hypotheses of bias; PEESE of a named set keeps the scale that the ensemble's own has."""
    own = [option.prior.prior.scale for option in ensemble.bias if type(option.prior).__name__ == "PEESE"
           and hasattr(option.prior.prior, "scale")]  # fmt: skip
    return bias_options(bias, own[0] if own else 5.0)


def _no_list(ensemble: Ensemble) -> tuple[Any, ...]:
    if ensemble.models:
        raise OptionError(
            "bias= is given, and the ensemble lists its models one by one",
            hint="Write the bias in mx.priors.model(...).",
        )
    return ()


def _caveats(given: Given, ensemble: Ensemble) -> None:
    """Warnings that go with an answer."""
    empty = []
    for option in ensemble.bias:
        if type(option.prior).__name__ == "Weights" and np.count_nonzero(cells(given, option.prior).counts) == 1:
            empty.append(str(option.prior))
    if empty:
        warnings.warn(
            f"all estimates are in one interval of p values of the weight functions {'; '.join(empty)}: their weights "
            "are those of their priors, and whether there is selection rests on them",
            FewInIntervalWarning,
            outside(),
        )
    side = float(np.average(given.y, weights=1 / given.v))
    alternatives = [option.prior for option in ensemble.effect if not isinstance(option.prior, Spike)]
    if alternatives and all(_excludes(prior, side) for prior in alternatives):
        warnings.warn(
            f"the estimates are {'below' if side < 0 else 'above'} 0 on average, and no prior of an effect allows for "
            "such a mean: its Bayes factor is about the other direction",
            ExcludedDirectionWarning,
            outside(),
        )


def _check_errors(fit: RobmaFit) -> None:
    """Warn of evidences that are uncertain and matter."""
    errors = np.array([evidence.error for evidence in fit.evidences])
    bad = np.flatnonzero((fit.posterior > RELEVANT) & ~(errors <= UNCERTAIN))
    if len(bad):
        worst = int(bad[np.argmax(errors[bad])])
        warnings.warn(
            f"the log evidences of {len(bad)} models with more than {RELEVANT:g} of the posterior probability are "
            f"uncertain by more than {UNCERTAIN}, model {worst} by {errors[worst]:.2g}: see fit.models",
            EvidenceErrorWarning,
            outside(),
        )


def _excludes(prior: Any, side: float) -> bool:
    found = marginal(prior)
    return found.upper <= 0 if side > 0 else found.lower >= 0
