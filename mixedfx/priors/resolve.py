"""From a set of priors and the scales of the data to the priors that are used, one for each parameter.

`Scales` is all that scaling may look at. With ``autoscale`` the unit of a prior is

    intercept    sd(y), around mean(y)            coefficient of x     sd(y) / sd(x)
    sigma        sd(y)                            sd of varying x      sd(y) / sd(x);  sd(y) for a varying intercept

where x is constant its sd counts as 1; off the identity link the linear predictor has a unit and a centre of its own
(`mixedfx.priors.scales`, worked out in `mixedfx.inference.prior_scales`). For brms's set the unit is max(2.5, MAD(y))
throughout and the centre median(y), both rounded to one decimal, as `brms` does. The prior of the intercept is that of
the intercept at the mean of the predictors, alpha = intercept + mean(x)' beta, as in rstanarm and brms: without
centring its meaning would hang on where zero is. The default set treats a varying intercept alike: in a correlated
term that contains it, the priors are those of v_0 = u_0 + mean(z)' u_rest and the other effects
(`TermPrior.at_means`).

**Weights.** A row has variance sigma^2 / w, so that weights c w with c^(1/2) sigma are the same model. Priors of sigma,
and those that count in sigmas (decov, R2D2), are therefore those of sigma / mean(w)^(1/2), the standard deviation of a
row of average weight, whoever states them: the posterior does not hang on the units of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import OptionError
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.distributions import Positive, Prior, Real, SparsePrior
from mixedfx.priors.joint import LKJ, R2D2, Decov, Horseshoe, Share
from mixedfx.priors.location import Flat
from mixedfx.priors.scales import Scales, TermScales
from mixedfx.priors.sets import PriorSet

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TermPrior:
    """Prior of the covariance of one random term.

    Attributes
    ----------
    sd
        One prior for each column, or a `Decov` for all of them; a `Share` under the model's sparse prior.
    eta
        Parameter of the LKJ prior; None where there are no correlations.
    means
        Of a term with an intercept and correlations the mean of each covariate, 0 for the intercept, which comes first;
        empty for other terms.
    at_means
        Whether the priors hold there: they are those of the covariance of C u, u the effects at zero and C the identity
        with the means in its first row; else of that of u.
    """

    sd: tuple[Positive | Share, ...] | Decov
    eta: float | None
    means: tuple[float, ...] = ()
    at_means: bool = False


@dataclass(frozen=True, eq=False)
class ResolvedPriors:
    """The priors of one model, scaled.

    Attributes
    ----------
    name
        Name of the set.
    coefficients
        For each of the p coefficients its prior; that of the intercept holds at the mean of the predictors. A `Share`
        under the model's sparse prior.
    centring
        (p,) means of the predictors that enter alpha = beta_intercept + centring' beta; zero without an intercept.
    sigma
        Prior of sigma, or None where it is known or the family has none.
    terms
        One for each random term.
    from_data
        Whether any scale was taken from the data.
    described
        Rows (parameter, prior as given, prior as used) for the summary.
    auxiliary
        Priors of all auxiliary parameters that are estimated, sigma among them, by name.
    threshold
        Prior of each threshold of an ordinal response, at the mean of the predictors; else None.
    sparse
        The horseshoe or R2D2 prior of every `Share`; None where there is none.
    zero
        The priors of the model of the zeros of counts; None of other models.
    """

    name: str
    coefficients: tuple[Real | Share, ...]
    centring: Array
    sigma: Positive | None
    terms: tuple[TermPrior, ...]
    from_data: bool
    described: tuple[tuple[str, str, str], ...]
    auxiliary: Mapping[str, Positive] = field(default_factory=dict)
    threshold: Real | None = None
    sparse: SparsePrior | None = None
    zero: ResolvedPriors | None = None

    @property
    def improper(self) -> tuple[str, ...]:
        """Parameters with a flat prior, in words."""
        return tuple(name for name, _, used in self.described if used == "flat()")


def resolve(priors: PriorSet, scales: Scales) -> ResolvedPriors:
    """Choose the prior of each parameter and scale it, those of the model of the zeros included.

    Parameters
    ----------
    priors
        The set.
    scales
        Those of the model; of counts with a model of their zeros, `Scales.zero` has those of that.

    Raises
    ------
    OptionError
        For a coefficient or a group that the model does not have, for two different horseshoe or R2D2 priors, and for
        decov() where sigma is known.
    """
    if scales.zero is None:
        if "zi" in priors.asked:
            raise OptionError(
                "priors has keys of 'zi', but the model has no zeros of their own",
                hint="Give zi='~ 1' with a family of counts, or leave these keys out.",
            )
        return _resolved(priors, scales)
    count, zero = _resolved(priors, scales), _resolved(priors.of_zeros, scales.zero)
    if zero.sparse is not None:
        raise OptionError(
            f"{zero.sparse} is a prior over many quantities together, which the model of the zeros cannot have",
            hint="Give its effects priors of their own: priors={('zi', 'coef'): mx.priors.normal(0, 2.5), ...}.",
        )
    described = (*count.described, *((f"zi: {name}", given, used) for name, given, used in zero.described))
    return replace(count, zero=zero, described=described, from_data=count.from_data or zero.from_data)


def _resolved(priors: PriorSet, scales: Scales) -> ResolvedPriors:
    """The priors of one linear predictor and of the family."""
    _check_names(priors, scales)
    work = _Resolution(priors, scales)
    centre = work.response.centre
    coefficients = []
    threshold = None
    if scales.thresholds:
        threshold = work.use("thresholds, predictors at their means", priors.entries["intercept"], work.unit, centre)
    for name, sd, order in zip(scales.fixed_names, scales.sd, scales.orders, strict=True):
        if name == "Intercept":
            prior = _entry(priors, ("coef", name), default=("intercept",))
            coefficients.append(work.use("Intercept, predictors at their means", prior, work.unit, centre))
            continue
        shrink = priors.interaction_ratio ** (order - 1)
        coefficients.append(work.use(name, _entry(priors, ("coef", name)), work.width(sd), shrink=shrink, sd=sd))
    auxiliary = {
        name: work.sigma(priors.entries[name]) if name == "sigma" else work.auxiliary(name, priors.entries[name])
        for name in scales.auxiliary
    }
    terms = tuple(_term_prior(priors, term, scales.sigma_known, work) for term in scales.terms)
    centred = scales.thresholds or "Intercept" in scales.fixed_names
    centring = np.where(np.array(scales.fixed_names, dtype=object) == "Intercept", 0.0, scales.mean)
    return ResolvedPriors(
        priors.name, tuple(coefficients), centring if centred else np.zeros(len(scales.mean)), auxiliary.get("sigma"),
        terms, any(work.scaled), tuple(work.described), auxiliary, threshold, work.sparse,
    )  # fmt: skip


class _Resolution:
    """The priors used so far: their descriptions, whether the data scaled any, and the one sparse prior."""

    def __init__(self, priors: PriorSet, scales: Scales) -> None:
        self.n = scales.n
        self.response = scales.response[priors.unit]
        self.unit = self.response.unit
        self.plain = priors.unit == "mad"
        self.at_means = priors.varying_intercepts == "means"
        self.root_weight = float(np.sqrt(scales.weight))
        self.described: list[tuple[str, str, str]] = []
        self.scaled: list[bool] = []
        self.sparse: SparsePrior | None = None
        self.given: SparsePrior | None = None

    def width(self, sd: float) -> float:
        """Unit of a coefficient of a predictor with standard deviation `sd`."""
        return self.unit if self.plain else self.unit / sd

    def use(
        self, label: str, prior: Any, unit: float, centre: float = 0.0, shrink: float = 1.0, sd: float = 1.0
    ) -> Any:
        """Scale one prior and describe it."""
        if isinstance(prior, Horseshoe | R2D2):
            final: Any
            if isinstance(prior, R2D2):  # in units of the residual standard deviation of a row of average weight
                final = Share((1.0 / sd if prior.autoscale else 1.0) * shrink / self.root_weight)
            else:
                final = Share((unit if prior.autoscale else 1.0) * shrink)
            self._share(prior)
        else:
            final = prior.rescaled(unit * shrink, centre) if prior.autoscale else _shrunk(prior, shrink)
        self.scaled.append(prior.autoscale)
        given = f"{prior}, autoscale" if prior.autoscale else str(prior)
        self.described.append((label, given, str(final)))
        return final

    def auxiliary(self, name: str, prior: Any) -> Any:
        """Describe the prior of an auxiliary parameter; a flat one between two bounds is the uniform distribution."""
        final, about = self.use(name, prior, 1.0), AUXILIARY[name]
        if isinstance(final, Flat) and about.bounded:
            lower, upper = about.bounds
            self.described[-1] = (name, str(prior), f"uniform({lower:g}, {upper:g})")
        return final

    def sigma(self, prior: Any) -> Any:
        """Scale the prior of sigma, which is that of a row of average weight, and describe it."""
        final = prior.rescaled(self.response.sigma) if prior.autoscale else prior
        if self.root_weight != 1.0:
            final = final.times(self.root_weight)
        self.scaled.append(prior.autoscale)
        words = [str(prior), *(["autoscale"] if prior.autoscale else [])]
        words += ["for a row of average weight"] if self.root_weight != 1.0 else []
        self.described.append(("sigma", ", ".join(words), str(final)))
        return final

    def _share(self, prior: SparsePrior) -> None:
        if self.given is not None and self.given != prior:
            raise OptionError(
                f"the model has two priors over many quantities together: {self.given} and {prior}",
                hint="Give 'coef' and 'sd' the same one: it then covers both together.",
            )
        self.given = self.sparse = prior
        if isinstance(prior, Horseshoe) and prior.par_ratio is not None:
            self.sparse = replace(prior, scale_global=prior.par_ratio / float(np.sqrt(self.n)), par_ratio=None)


def _term_prior(priors: PriorSet, term: TermScales, sigma_known: bool, work: _Resolution) -> TermPrior:
    """Prior of one term."""
    cor = _entry(priors, ("cor", term.group))
    assert isinstance(cor, LKJ)
    whole = _entry(priors, ("sd", term.group))
    single = [priors.entries.get(("sd", term.group, c)) for c in term.columns]
    lines = term.has_correlations and term.covariance.free and term.columns[0] == "Intercept"
    if term.has_correlations and not cor.eta > term.covariance.least_eta:
        raise OptionError(
            f"{cor} is no prior of the one correlation of {len(term.columns)} effects over '{term.group}'",
            hint=f"Use lkj(eta) with eta above {term.covariance.least_eta:.3g}; lkj(1) is uniform.",
        )
    means, moved = (0.0, *term.mean[1:]) if lines else (), lines and work.at_means
    where = ", predictors at their means" if moved else ""
    if isinstance(whole, Decov) and not any(single):
        if sigma_known:
            raise OptionError(
                "decov() scales the covariance of random effects by sigma, which is known here",
                hint="Use half_normal, half_student_t, half_cauchy or exponential for 'sd'.",
            )
        final = replace(whole, scale=whole.scale / work.root_weight)
        work.described.append((f"covariance of {term.group} over sigma^2{where}", str(whole), str(final)))
        return TermPrior(final, whole.regularization if term.has_correlations else None, means, moved)
    if isinstance(whole, Decov):
        raise OptionError(
            f"the covariance of '{term.group}' has a decov() prior and one of its sds another",
            hint=f"Give every sd of '{term.group}' a prior of its own.",
        )
    if term.has_one_sd and any(single):
        raise OptionError(
            f"the effects {', '.join(term.columns)} over '{term.group}' share one standard deviation",
            hint=f"Give it a prior by the key ('sd', {term.group!r}).",
        )
    if term.has_one_sd and isinstance(whole, SparsePrior):
        raise OptionError(
            f"the effects over '{term.group}' share one standard deviation, which is none of the scales of {whole}",
            hint="Give 'sd' a prior of its own, such as half_normal(1).",
        )
    sds = []
    for column, sd, own, order in zip(term.columns, term.sd, single, term.orders, strict=True):
        constant = column == "Intercept"
        prior = own or priors.entries.get(("sd", term.group))
        if prior is None:
            prior = priors.entries.get("sd_slope", whole) if not constant else whole
        shrink = priors.interaction_ratio ** (order + term.group_order - 2)
        width = work.unit if constant else work.width(sd)
        label = f"sd of {column} over {term.group}{where if constant else ''}"
        sds.append(work.use(label, prior, width, shrink=shrink, sd=sd))
    if term.has_one_sd:  # that of the first column, which is of the same kind as the others
        del sds[1:]
    if not term.has_correlations:
        return TermPrior(tuple(sds), None)
    work.described.append((f"correlations over {term.group}{where}", str(cor), str(cor)))
    return TermPrior(tuple(sds), cor.eta, means, moved)


def _entry(priors: PriorSet, key: tuple[str, ...], default: tuple[str, ...] | None = None) -> Prior:
    """The most specific prior for `key`."""
    found = priors.entries.get(key)
    if found is not None:
        return found
    return priors.entries[key[0] if default is None else default[0]]


def _shrunk(prior: Positive | Real, shrink: float) -> Positive | Real:
    return prior.rescaled(shrink) if shrink != 1.0 and prior.location_scale else prior


def _check_names(priors: PriorSet, scales: Scales) -> None:
    """Refuse priors for coefficients, groups and auxiliary parameters that the model does not have."""
    for name in priors.asked:
        if name in AUXILIARY and name not in scales.auxiliary:
            raise OptionError(
                f"priors has the key {name!r}, but the model has no {name}",
                hint=f"Its family has {' and '.join(scales.auxiliary) or 'no parameter of this kind'}.",
            )
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
                hint=f"It has {', '.join(repr(n) for n in sorted(map(str, known[key[0]])))}. Of a fit with fewer terms "
                "leave the key out: fit.update(..., priors=...) takes other priors.",
            )
        if len(key) == 3 and key[1:] not in columns:
            raise OptionError(
                f"priors has the key {key!r}, but no effect of '{key[2]}' varies over '{key[1]}'",
                hint=f"There are {', '.join(repr(('sd', *c)) for c in sorted(columns))}.",
            )
    _check_correlations(priors, scales.terms)


def _check_correlations(priors: PriorSet, terms: tuple[TermScales, ...]) -> None:
    """Refuse priors of correlations that would do nothing.

    A bare ``"cor"`` is for all correlations there are, if there are any; under decov() they have a prior already.
    """
    for group in dict.fromkeys(term.group for term in terms):
        if ("cor", group) not in priors.entries:
            continue
        of_group = [term for term in terms if term.group == group]
        if not any(term.has_correlations for term in of_group):
            effects = [column for term in of_group for column in term.columns]
            why = f"the effects {', '.join(effects)} are independent" if len(effects) > 1 else "it has one effect"
            raise OptionError(
                f"priors has the key ('cor', {group!r}), but '{group}' has no correlations: {why}",
                hint=f"Leave it out, or let effects be correlated, as in (1 + x | {group}).",
            )
    for key in priors.entries:
        asked = key[0] == "cor" if isinstance(key, tuple) else key == "cor" and key in priors.asked
        if not asked:
            continue
        correlated = [term for term in terms if term.has_correlations and (key == "cor" or term.group == key[1])]
        if correlated and all(isinstance(_entry(priors, ("sd", term.group)), Decov) for term in correlated):
            raise OptionError(
                f"priors has the key {key!r}, but decov() is the prior of the correlations over "
                f"{' and '.join(repr(term.group) for term in correlated)} too",
                hint="Use its own parameter: decov(regularization=2) has the correlations of lkj(2).",
            )
