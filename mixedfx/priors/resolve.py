"""From a set of priors and the scales of the data to the priors that are used, one for each parameter.

`Scales` is all that scaling may look at. With ``autoscale`` the unit of a prior is

    intercept    sd(y), around mean(y)            coefficient of x     sd(y) / sd(x)
    sigma        sd(y)                            sd of varying x      sd(y) / sd(x);  sd(y) for a varying intercept

where x is constant its sd counts as 1. For brms's set the unit is max(2.5, MAD(y)) throughout and the centre
median(y), both rounded to one decimal, as `brms` does. The prior of the intercept is that of the intercept at the mean
of the predictors, alpha = intercept + mean(x)' beta, as in rstanarm and brms: without centring its meaning would hang
on where zero is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.priors.distributions import LKJ, Decov, Normal, Positive, Prior, Real, SparsePrior, StudentT
from mixedfx.priors.sets import PriorSet

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TermScales:
    """One random term: its name, columns, their sds, whether they are correlated, and its order of interaction."""

    group: str
    columns: tuple[str, ...]
    sd: tuple[float, ...]
    correlated: bool


@dataclass(frozen=True, eq=False)
class Scales:
    """What the scales of priors are taken from.

    Attributes
    ----------
    y
        (n,) response less its offset.
    fixed_names
        Labels of the p coefficients; ``Intercept`` for the constant.
    mean, sd
        (p,) means and standard deviations of the columns of X; sd 1 for constant columns.
    terms
        The random terms.
    sigma_known
        Whether sigma is known, so that it has no prior.
    """

    y: Array
    fixed_names: tuple[str, ...]
    mean: Array
    sd: Array
    terms: tuple[TermScales, ...]
    sigma_known: bool = False

    def centre_and_unit(self, kind: str) -> tuple[float, float]:
        """Location of the intercept and unit of the response for a set's `unit`."""
        if kind == "sd":
            return float(self.y.mean()), float(self.y.std(ddof=1)) if len(self.y) > 1 else 1.0
        median = float(np.median(self.y))
        mad = 1.4826 * float(np.median(np.abs(self.y - median)))
        return round(median, 1), max(2.5, round(mad, 1))


@dataclass(frozen=True)
class TermPrior:
    """Prior of the covariance of one random term.

    Attributes
    ----------
    sd
        One prior for each column, or a `Decov` for all of them.
    eta
        Parameter of the LKJ prior; None where there are no correlations.
    """

    sd: tuple[Positive, ...] | Decov
    eta: float | None


@dataclass(frozen=True, eq=False)
class ResolvedPriors:
    """The priors of one model, scaled.

    Attributes
    ----------
    name
        Name of the set.
    coefficients
        For each of the p coefficients its prior; that of the intercept holds at the mean of the predictors.
    centring
        (p,) means of the predictors that enter alpha = beta_intercept + centring' beta; zero without an intercept.
    sigma
        Prior of sigma, or None where it is known.
    terms
        One for each random term.
    from_data
        Whether any scale was taken from the data.
    described
        Rows (parameter, prior as given, prior as used) for the summary.
    """

    name: str
    coefficients: tuple[Real, ...]
    centring: Array
    sigma: Positive | None
    terms: tuple[TermPrior, ...]
    from_data: bool
    described: tuple[tuple[str, str, str], ...]

    @property
    def improper(self) -> tuple[str, ...]:
        """Parameters with a flat prior, in words."""
        return tuple(name for name, _, used in self.described if used == "flat()")


def resolve(priors: PriorSet, scales: Scales) -> ResolvedPriors:
    """Choose the prior of each parameter and scale it.

    Raises
    ------
    OptionError
        For a coefficient or a group that the model does not have, for a horseshoe or R2D2 prior, and for decov() where
        sigma is known.
    """
    _check_names(priors, scales)
    described: list[tuple[str, str, str]] = []
    centre, unit = scales.centre_and_unit(priors.unit)
    plain = priors.unit == "mad"
    scaled: list[bool] = []

    def used(label: str, prior: Any, unit: float, centre: float = 0.0, shrink: float = 1.0) -> Any:
        final = prior.rescaled(unit * shrink, centre) if prior.autoscale else _shrunk(prior, shrink)
        scaled.append(prior.autoscale)
        given = f"{prior}, autoscale" if prior.autoscale else str(prior)
        described.append((label, given, str(final)))
        return final

    coefficients = []
    for name, sd in zip(scales.fixed_names, scales.sd, strict=True):
        if name == "Intercept":
            prior = _entry(priors, ("coef", name), default=("intercept",))
            coefficients.append(used("Intercept, predictors at their means", prior, unit, centre))
            continue
        prior = _entry(priors, ("coef", name))
        if isinstance(prior, SparsePrior):
            raise OptionError(
                f"the {prior.name} prior cannot be integrated out by the exact engine",
                mend="Use normal, student_t or cauchy priors, or a Stan engine.",
            )
        shrink = priors.interaction_ratio ** (_order(name) - 1)
        coefficients.append(used(name, prior, unit if plain else unit / sd, shrink=shrink))
    sigma = None if scales.sigma_known else used("sigma", priors.entries["sigma"], unit)
    terms = tuple(_term_prior(priors, term, unit, plain, scales.sigma_known, used, described) for term in scales.terms)
    has_intercept = "Intercept" in scales.fixed_names
    centring = np.where(np.array(scales.fixed_names, dtype=object) == "Intercept", 0.0, scales.mean)
    return ResolvedPriors(
        priors.name, tuple(coefficients), centring if has_intercept else np.zeros(len(scales.mean)), sigma, terms,
        any(scaled), tuple(described),
    )  # fmt: skip


def _term_prior(
    priors: PriorSet, term: TermScales, unit: float, plain: bool, sigma_known: bool, used: Callable[..., Any],
    described: list[tuple[str, str, str]],
) -> TermPrior:  # fmt: skip
    """Prior of one term; adds its rows to `described`."""
    eta = None
    cor = _entry(priors, ("cor", term.group))
    assert isinstance(cor, LKJ)
    whole = _entry(priors, ("sd", term.group))
    single = [priors.entries.get(("sd", term.group, c)) for c in term.columns]
    if isinstance(whole, Decov) and not any(single):
        if sigma_known:
            raise OptionError(
                "decov() scales the covariance of random effects by sigma, which is known here",
                mend="Use half_normal, half_student_t, half_cauchy or exponential for 'sd'.",
            )
        described.append((f"covariance of {term.group} over sigma^2", str(whole), str(whole)))
        return TermPrior(whole, whole.regularization if term.correlated and len(term.columns) > 1 else None)
    if isinstance(whole, Decov):
        raise OptionError(
            f"the covariance of '{term.group}' has a decov() prior and one of its sds another",
            mend=f"Give every sd of '{term.group}' a prior of its own.",
        )
    sds = []
    for column, sd, own in zip(term.columns, term.sd, single, strict=True):
        constant = column == "Intercept"
        prior = own or priors.entries.get(("sd", term.group))
        if prior is None:
            prior = priors.entries.get("sd_slope", whole) if not constant else whole
        shrink = priors.interaction_ratio ** (_order(column) + _order(term.group) - 2)
        width = unit if plain or constant else unit / sd
        sds.append(used(f"sd of {column} over {term.group}", prior, width, shrink=shrink))
    if term.correlated and len(term.columns) > 1:
        eta = cor.eta
        described.append((f"correlations over {term.group}", str(cor), str(cor)))
    return TermPrior(tuple(sds), eta)


def _entry(priors: PriorSet, key: tuple[str, ...], default: tuple[str, ...] | None = None) -> Prior:
    """The most specific prior for `key`."""
    found = priors.entries.get(key)
    if found is not None:
        return found
    return priors.entries[key[0] if default is None else default[0]]


def _shrunk(prior: Positive | Real, shrink: float) -> Positive | Real:
    return prior.rescaled(shrink) if shrink != 1.0 and isinstance(prior, Normal | StudentT) else prior


def _order(label: str) -> int:
    """Number of variables in an interaction: 1 for a main effect."""
    return label.count(":") + 1


def _check_names(priors: PriorSet, scales: Scales) -> None:
    """Refuse priors for coefficients and groups that the model does not have."""
    groups = {t.group for t in scales.terms}
    columns = {(t.group, c) for t in scales.terms for c in t.columns}
    known = {"coef": set(scales.fixed_names), "sd": groups, "cor": groups}
    for key in priors.entries:
        if isinstance(key, str):
            continue
        if len(key) == 2 and key[1] not in known[key[0]]:
            kind = "coefficient" if key[0] == "coef" else "grouping factor"
            raise OptionError(
                f"priors has the key {key!r}, but the model has no {kind} '{key[1]}'",
                mend=f"It has {', '.join(repr(n) for n in sorted(map(str, known[key[0]])))}.",
            )
        if len(key) == 3 and key[1:] not in columns:
            raise OptionError(
                f"priors has the key {key!r}, but no effect of '{key[2]}' varies over '{key[1]}'",
                mend=f"There are {', '.join(repr(('sd', *c)) for c in sorted(columns))}.",
            )
