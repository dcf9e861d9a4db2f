"""Reading what an ensemble is fitted to, and refusing what none can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.terms import Term
from mixedfx.errors import DataError, ModelError, OptionError, check_option
from mixedfx.meta.averaging.given import Critical, Given, Index, Moderator, as_given, on_fisher
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.priors.ensembles import Ensemble, robma3, robma4

SETS = ("robma3", "robma4")
FISHER = ("SMD", "COR", "ZCOR")


@dataclass(frozen=True)
class AverageCall:
    """What was asked of the data: the arguments of `mixedfx.robma` that name columns."""

    rma: RmaCall
    cluster: Any
    ni: Any
    direction: str | None


def read_ensemble(priors: str | Ensemble, measure: str | None) -> Ensemble:
    """A named set, or the ensemble itself."""
    if isinstance(priors, Ensemble):
        return priors
    if not isinstance(priors, str):
        raise OptionError(
            f"priors={priors!r} is no ensemble",
            hint="Use 'robma3', 'robma4', mx.priors.robma3(...), or mx.priors.ensemble(...).",
        )
    check_option("priors", priors, SETS)
    return robma3() if priors == "robma3" else robma4(measure)


def read_given(call: AverageCall, ensemble: Ensemble) -> tuple[Given, Estimates]:
    """Estimates on the scale of the fit.

    Raises
    ------
    DataError
        Fewer than two estimates; a cluster that is missing, or the same for all.
    ModelError
        Interactions, and moderators that these data do not tell from the mean.
    """
    found = read_estimates(call.rma)
    measure = found.measure or ""
    k = len(found.y)
    if k < 2:
        raise DataError(
            f"{k} estimate says nothing of heterogeneity or bias, and nothing can be averaged over",
            hint="A meta-analysis has two estimates or more.",
        )
    used = found.built.rows.used if found.built is not None else _used(found)
    n = None if call.ni is None else found.beside(call.ni, "ni")
    y, v, scale, critical = found.y - found.offset, found.vi, 1.0, as_given(found.vi)
    fisher = ensemble.scale == "fisher_z" and measure != ""
    if fisher:
        y, v, scale, critical = on_fisher(y, v, measure, n, used)
    sign = _direction(call.direction, ensemble, found.y)
    moderators, M = read_moderators(found)
    unknown = [name for name in ensemble.moderators if name not in {m.name for m in moderators}]
    if unknown:
        raise OptionError(
            f"the ensemble has priors of the moderator '{unknown[0]}', and the formula does not",
            hint="Write it in formula=, or leave its priors out.",
        )
    codes, labels = _clusters(call.cluster, found)
    order = np.arange(k) if codes is None else np.argsort(codes, kind="stable")
    start = None if codes is None else np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.intp)
    return (
        Given(
            y[order], v[order], scale, sign, _ordered(critical, order), M[order], moderators, start, order,
            tuple(found.slab[i] for i in order), labels, found.y[order], measure, fisher,
            None if n is None else n[order],
        ),
        found,
    )  # fmt: skip


def _used(found: Estimates) -> Index:
    return np.asarray(found.design.rows.used)


def _ordered(critical: Critical, order: Index) -> Critical:
    return lambda tail: critical(tail)[order]


def _direction(asked: str | None, ensemble: Ensemble, y: Array) -> int:
    if asked is not None:
        check_option("direction", asked, ("positive", "negative", "detect"))
    chosen = asked or ensemble.direction
    if chosen == "detect":
        return 1 if float(np.median(y)) >= 0 else -1
    return 1 if chosen == "positive" else -1


def _clusters(cluster: Any, found: Estimates) -> tuple[Index | None, tuple[str, ...]]:
    """Cluster of each estimate; None where nothing is shared."""
    if cluster is None:
        return None, ()
    labels = found.labels_beside(cluster, "cluster")
    missing = [i for i, label in enumerate(labels) if label is None]
    if missing:
        rows = ", ".join(str(int(found.design.rows.used[i])) for i in missing[:5])
        raise DataError(f"cluster is missing in row {rows} (counted from 0)", hint="Give every estimate a cluster.")
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(names) == 1:
        raise DataError(
            f"all estimates are of one cluster, '{names[0]}': nothing is known of how clusters differ",
            hint="Leave cluster= out.",
        )
    if len(names) == len(codes):
        raise DataError(
            "every estimate is a cluster of its own: nothing is shared within clusters", hint="Leave cluster= out."
        )
    return codes.astype(np.intp), tuple(map(str, names))


def read_moderators(found: Estimates) -> tuple[tuple[Moderator, ...], Array]:
    """Moderators and their columns: covariates standardised, factors by contrasts around their mean."""
    if found.built is None and found.names == ("Intercept",):
        return (), np.zeros((len(found.y), 0))
    design = found.design
    if "Intercept" not in design.fixed_names:
        raise ModelError(
            "the formula has no intercept, which is the mean effect of the ensemble", hint="Leave 0 or -1 out of it."
        )
    moderators: list[Moderator] = []
    columns: list[Array] = []
    q = 0
    for term in design.terms.fixed:
        if not term.product:
            continue
        moderator, made = _moderator(term, design, q)
        q += made.shape[1]
        moderators.append(moderator)
        columns.append(made)
    return tuple(moderators), np.concatenate([np.zeros((len(found.y), 0)), *columns], axis=1)


def _moderator(term: Term, design: Design, q: int) -> tuple[Moderator, Array]:
    X = design.X[:, list(term.coefficients)]
    (variable, *others) = term.product
    if others or (X.shape[1] > 1 and not variable.categorical):
        raise ModelError(
            f"'{term.text}' has more than one column, and is no moderator that is in or out by one prior",
            hint="Give covariates and factors one by one, without interactions and polynomials.",
        )
    if not X.shape[1]:
        raise ModelError(
            f"the moderator '{term.text}' is constant, or a combination of others", hint="Leave it out of the formula."
        )
    if not variable.categorical:
        centre, sd = float(X.mean()), float(X.std(ddof=1))
        return Moderator(term.text, (q,), (term.text,), np.ones((1, 1)), centre, sd), (X - centre) / sd
    L = X.shape[1] + 1
    contrasts = mean_difference(L)
    values = design.frame[variable.columns[0]].astype(str).to_numpy()
    names = tuple(str(values[row]) for row in (int((~X.any(axis=1)).argmax()), *X.argmax(axis=0)))
    return Moderator(term.text, tuple(range(q, q + L - 1)), names, contrasts), indicators(X) @ contrasts


def indicators(X: Array) -> Array:
    """(n, L) membership in the levels of a factor in treatment coding, the first level first."""
    return np.column_stack([1 - X.sum(axis=1), X])


def mean_difference(levels: int) -> Array:
    """(L, L - 1) contrasts of deviations from the mean of L levels, each with the coefficients' prior variance.

    Orthogonal columns orthogonal to 1, scaled so that coefficients that are independent with variance 1 give every
    level a deviation of variance 1.

    Examples
    --------
    >>> from mixedfx.meta.averaging.read import mean_difference
    >>> C = mean_difference(3)
    >>> (C @ C.T).round(3)
    array([[ 1. , -0.5, -0.5],
           [-0.5,  1. , -0.5],
           [-0.5, -0.5,  1. ]])
    """
    centred = np.eye(levels) - 1 / levels
    basis = np.linalg.svd(centred)[0][:, : levels - 1]
    return basis / np.sqrt(1 - 1 / levels)


def moderator_rows(given: Given, found: Estimates, newdata: Any) -> tuple[Array, pd.Index]:
    """(n, q) columns of the moderators of new rows, and the labels of the rows."""
    from mixedfx.design.alignment import row_labels
    from mixedfx.design.frame import opened, to_pandas

    frame = opened(newdata)
    frame = frame if isinstance(frame, pd.DataFrame) else to_pandas(frame)
    labels = row_labels(newdata)
    if not given.moderators:
        return np.zeros((len(frame), 0)), pd.RangeIndex(len(frame)) if labels is None else labels
    design = found.design
    X = design.spec.replay(frame).X
    parts = []
    terms = [term for term in design.terms.fixed if term.product]
    for term, moderator in zip(terms, given.moderators, strict=True):
        columns = X[:, list(term.coefficients)]
        parts.append(
            indicators(columns) @ moderator.report if moderator.factor else (columns - moderator.centre) / moderator.sd
        )
    return np.concatenate(parts, axis=1), pd.RangeIndex(len(X)) if labels is None else labels
