"""What the priors need to know of a design: scales of the response, of the predictors, of the varying effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.terms import Term
from mixedfx.errors import OptionError
from mixedfx.families.binary import bernoulli
from mixedfx.families.family import Family
from mixedfx.families.registry import find_family
from mixedfx.families.two_parts import TwoParts
from mixedfx.priors.scales import ResponseScale, Scales, TermScales
from mixedfx.results.tables import term_names


def scales_of(design: Design, family: Family | str = "gaussian") -> Scales:
    """Scales of a design under a family. Those of predictors are of rows unweighted.

    Raises
    ------
    OptionError
        A family with parameters that are known: here they have priors.
    """
    family = find_family(family)
    if family.held:
        name, value = family.held[0]
        raise OptionError(
            f"{name}={value:g} is known, and mx.bayes has a prior for it",
            hint=f"Leave it out, or give a narrow prior, priors={{'{name}': ...}}; mx.glmer takes known values.",
        )
    terms = tuple(
        TermScales(
            name, term.columns, tuple(map(float, term.z.mean(axis=0))), tuple(_sd(term.z)), term.covariance,
            _orders(read.left, term.n_columns), len(read.grouping),
        )
        for name, term, read in zip(term_names(design.random), design.random, design.terms.random, strict=True)
    )  # fmt: skip
    known = design.knows_errors
    return Scales(
        response={kind: scale(_informing(design, family), family) for kind, scale in _RESPONSE.items()},
        n=len(design.y),
        fixed_names=design.fixed_names,
        mean=design.X.mean(axis=0),
        sd=_sd(design.X),
        terms=terms,
        orders=_orders(design.terms.fixed, design.X.shape[1]),
        auxiliary=tuple(name for name in family.auxiliary if not (known and name == "sigma")),
        sigma_known=known,
        thresholds=family.outcome == "ordered",
        weight=1.0 if design.weights is None else float(design.weights.mean()),
        zero=None if design.zero is None else scales_of(design.zero, bernoulli()),
    )


def _informing(design: Design, family: Family) -> Design:
    """The rows whose response tells of the scale: of counts with a model of their zeros those above zero, if any."""
    above = design.y > 0
    if not isinstance(family, TwoParts) or not above.any():
        return design
    return replace(design, y=design.y[above], offset=design.offset[above])


def _orders(terms: Sequence[Term], columns: int) -> tuple[int, ...]:
    """Number of variables of the term that each column belongs to, 1 for the intercept."""
    order = {c: max(len(term.product), 1) for term in terms for c in term.coefficients}
    return tuple(order[c] for c in range(columns))


# The change of a probability of one half with eta is dnorm(0) on the probit link and dlogis(0) on the logit link.
PROBIT = float(np.sqrt(2 * np.pi)) / 4


def _response(design: Design, family: Family) -> ResponseScale:
    """Means and standard deviations of y, by the delta method where the link is neither identity nor logarithm.

    Weighted where there are precision weights: then the residual's part of sd(y)^2 is sigma^2 / mean(w), that of a row
    of average weight, and a row that is nearly nothing but noise counts for nearly nothing.
    """
    y, link, weights = _numbers(design, family), family.link.name, design.weights
    if _linear(family):
        y = y - design.offset
        sd = _spread(y, weights)
        return ResponseScale(float(np.average(y, weights=weights)), sd, sd)
    sd = _spread(y, weights)
    if link in ("logit", "cloglog", "cauchit", "probit"):
        return ResponseScale(0.0, PROBIT if link == "probit" else 1.0, sd)
    mean = float(np.average(y, weights=weights))
    if mean <= 0 and link != "identity":  # all counts zero, say: nothing to take a centre from
        return ResponseScale(0.0, 1.0, sd)
    centre = float(family.link.link(np.array(mean))) - float(design.offset.mean())
    unit = 1.0 if link == "log" else sd / abs(float(family.link.derivatives(family.link.link(np.array(mean)), 1)[0]))
    return ResponseScale(centre, unit, sd)


def _response_rstanarm(design: Design, family: Family) -> ResponseScale:
    """rstanarm's: those of y for a Gaussian response on the identity link, zero and one else.

    As it does, of y itself, whatever the offset; unweighted.
    """
    y = _numbers(design, family)
    sd = _spread(y)
    if _linear(family):
        return ResponseScale(float(y.mean()), sd, sd)
    sigma = sd if family.location else 1.0
    return ResponseScale(0.0, 1 / PROBIT if family.link.name == "probit" else 1.0, sigma)


def _response_mad(design: Design, family: Family) -> ResponseScale:
    """brms's: median and MAD of link(y), rounded to one decimal; the mean of the offset is taken from the median."""
    if family.outcome in ("binary", "trials", "unit", "ordered", "nominal"):
        return ResponseScale(0.0, 2.5, 2.5)
    y, link = _numbers(design, family), family.link
    if not _linear(family):
        if link.name in ("log", "inverse"):
            y = np.where(y == 0, 0.1, y)
        y = np.asarray(link.link(y), dtype=np.float64)
        y = y[np.isfinite(y)] if np.isfinite(y).any() else np.zeros(1)
    median = float(np.median(y))
    mad = 1.4826 * float(np.median(np.abs(y - median)))
    unit = max(2.5, round(mad, 1))
    return ResponseScale(round(median, 1) - float(design.offset.mean()), unit, unit)


_RESPONSE = {"sd": _response, "rstanarm": _response_rstanarm, "mad": _response_mad}


def _linear(family: Family) -> bool:
    """Whether the linear predictor is in the units of y, or of log(y) for lognormal responses."""
    return family.location and family.link.name == "identity"


def _numbers(design: Design, family: Family) -> NDArray[np.float64]:
    """The response in the units of eta or of the mean: logarithms for lognormal, shares of successes for binomial."""
    if family.log_scale:
        return np.log(design.y)
    return design.y / np.maximum(design.trials, 1) if design.trials is not None else design.y


def _spread(y: NDArray[np.float64], weights: NDArray[np.float64] | None = None) -> float:
    """Standard deviation, weighted by rows; 1 where it cannot be had."""
    n = len(y)
    square = np.average((y - np.average(y, weights=weights)) ** 2, weights=weights) * n / max(n - 1, 1)
    return float(np.sqrt(square)) if square > 0 else 1.0


def _sd(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of columns, 1 for constant ones."""
    sd = columns.std(axis=0, ddof=1) if len(columns) > 1 else np.zeros(columns.shape[1])
    return np.where(sd > 1e-12 * np.abs(columns).max(axis=0, initial=1.0), sd, 1.0)
