"""Sets of priors: the default, the two published ones, and the one with pooled interactions.

A set is a mapping from what a prior is for to the prior: ``"intercept"``, ``"coef"``, ``("coef", name)``, ``"sd"``,
``("sd", group)``, ``("sd", group, column)``, ``"cor"``, ``("cor", group)``, and the auxiliary parameters of families
(`mixedfx.priors.auxiliary`): ``"sigma"``, ``"nu"``, ... The most specific key wins. What is
for the model of the zeros of counts (``zi=``) has the same keys after ``"zi"``: ``("zi", "intercept")``, ``("zi",
"coef", name)``. A set given by the user replaces entries of the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mixedfx.errors import OptionError, check_option
from mixedfx.priors.auxiliary import AUXILIARY, auxiliary_priors
from mixedfx.priors.construct import decov, flat, half_normal, half_student_t, lkj, normal, student_t
from mixedfx.priors.distributions import DISTRIBUTIONS, SPECIAL, Prior
from mixedfx.priors.joint import Decov

Key = str | tuple[str, ...]

KINDS = {
    "intercept": ("'intercept'",),
    "coef": ("'coef'", "('coef', name)"),
    "sd": ("'sd'", "('sd', group)", "('sd', group, column)"),
    "cor": ("'cor'", "('cor', group)"),
}
"""What a prior is for besides auxiliary parameters -> how its keys are written, with one word, two, three."""


@dataclass(frozen=True)
class PriorSet:
    """Priors by what they are for, and how their scales meet the data.

    Attributes
    ----------
    name
        For the summary.
    entries
        Key -> prior, every bare key present.
    unit
        What ``autoscale`` and the location of the intercept are taken from. ``"sd"``: mean and standard deviation of
        y, carried over to the scale of the linear predictor (see `default`). ``"rstanarm"``: the same for a Gaussian
        response, zero and one for others. ``"mad"``: median of link(y) and max(2.5, its MAD), both rounded to one
        decimal, and one unit for every scale.
    interaction_ratio
        Scale of an interaction over that of its parents, for each order; 1 treats all alike.
    asked
        Bare keys that the user named: auxiliary parameters, which the model has to have, and kinds of priors.
    varying_intercepts
        Where the priors hold of a correlated term that contains the intercept, ``(1 + x | g)``: of the standard
        deviation of the varying intercept and of the correlations. ``"means"``: the predictors of the term at their
        means over the rows, as for the fixed intercept (see `default`). ``"zero"``: the predictors at zero, as in
        rstanarm and brms. Draws and summaries are of effects at zero either way.
    zeros
        The priors of the model of the zeros of counts; None for those of `of_zeros`.
    """

    name: str
    entries: Mapping[Key, Prior] = field(default_factory=dict)
    unit: Literal["sd", "rstanarm", "mad"] = "sd"
    interaction_ratio: float = 1.0
    asked: tuple[str, ...] = ()
    varying_intercepts: Literal["means", "zero"] = "means"
    zeros: PriorSet | None = None

    @property
    def of_zeros(self) -> PriorSet:
        """The priors of the model of the zeros, a yes/no answer: by default those of the set for no single effect."""
        if self.zeros is not None:
            return self.zeros
        bare = {key: prior for key, prior in self.entries.items() if isinstance(key, str)}
        return replace(self, entries=bare, asked=())


def default() -> PriorSet:
    """The priors of mixedfx: weakly informative, on the scale of the data.

    * intercept, at the mean of the predictors: normal(mean(y), 2.5 sd(y)); coefficients: normal(0, 2.5 sd(y) / sd(x)).
      A change of one sd of x would have to move y by several of its own sds before these priors resisted.
    * sigma: exponential with mean sd(y), which the residual cannot much exceed. With precision weights, var = sigma^2 /
      weight, it is the prior of sigma over the root of the weights' mean, the residual standard deviation of a row of
      average weight, and mean(y) and sd(y) are weighted: a row's squared residual, so weighted, has that mean.
    * standard deviation of varying intercepts, at the mean of the predictors: half-normal, scale sd(y), since it too is
      a part of sd(y).
    * standard deviation of a varying coefficient of x: half-normal, scale sd(y) / (4 sd(x)). For a treatment given to
      half of the people that is sd(y) / 2: two thirds of the prior hold that the effects of groups have a standard
      deviation below half a sd of the outcome, which is a very large effect in most trials.
    * correlations: lkj(2), which keeps away from plus and minus one, where few levels say nothing.
    * nu of Student's t: gamma(2, 0.1), above one. Shapes of negative binomial and gamma responses and the precision phi
      of beta responses: half_student_t(3, 20). With an even longer tail the shape of counts without overdispersion
      runs off to infinity: under brms's inv_gamma(0.4, 0.3) its posterior median was 3e12 for 400 Poisson counts.

    **Other families.** The intercept and the scales belong to the linear predictor, where sd(y) has a counterpart, the
    *unit*, and mean(y) another, the *centre*:

    * logarithmic link: unit 1, centre log(mean(y)), which takes the units of y out;
    * logit, cloglog, cauchit: unit 1, centre 0, so that an intercept of 2.5 units leaves any probability plausible;
      probit: the same effect on a probability of one half needs 0.627 times the change, which is the unit;
    * identity, inverse, square root: the delta method, sd(y) |d eta / d mu| at the mean, and centre link(mean(y));
      lognormal responses: mean and sd of log(y);
    * thresholds of an ordinal response: the prior of the intercept, each; categorical: one such model for each
      category but the first.

    sigma keeps the unit of y itself, for lognormal responses that of log(y).

    **Offsets.** Where the linear predictor is in the units of y, mean(y) and sd(y) are those of y - offset; off the
    identity link the mean of the offset is taken from the centre.

    **Where a varying intercept is.** In ``y ~ year + (1 + year | site)`` the intercept of a site is its level in the
    year 0. How far levels are apart in the year 0 follows from the slopes, two thousand times their spread, and has
    nothing to do with sd(y); a prior that holds it below sd(y) holds the sd of the slopes below sd(y) / 2000. Counted
    from 2015 instead, the same lines would have another prior, and another posterior. So the priors of a term
    ``(1 + ... | g)`` hold for its lines as they are at the mean of its predictors over the rows, where the levels are
    those of the data at hand: the sd of the varying intercept, and the correlations with it. The sds of slopes are the
    same anywhere. Means are those of the columns of the term, products and the 0/1 columns of factors like any other;
    for covariates that stand in no product the posterior then is the same from wherever, and in whatever unit, they
    are counted. Draws, `varcorr` and `ranef` are of effects at zero, as in lme4. Terms without an intercept, ``(0 + x |
    g)``, have none to place; in ``(1 + x || g)`` independence itself is of the intercept at zero, so that the prior
    holds there too.

    **Why not a heavier tail.** With J levels the likelihood of the sd of a random term falls off like its power 1 - J
    only. Two genders or five races hardly limit it from above, and under a half-Cauchy or flat prior it runs to
    values that nobody believes (Gelman 2006 shows it for J = 3). The example asks how the effect of small classes
    varies between two genders with two hundred pupils each, the outcome having a standard deviation of 45. The two
    effects themselves are informed by their own pupils: their intervals widen by 4 % under a half-Cauchy prior. The sd
    between genders, and with it the effect in a gender that was not seen, depend on the prior: the upper end of the
    interval of that sd goes from 44, one sd of the outcome, to about 200, and the interval of the mean effect over
    such groups becomes three times as long.

    >>> import mixedfx as mx
    >>> data = mx.datasets.load("star").head(400)
    >>> formula = "math ~ small + (1 + small | gender)"
    >>> for sd in ({}, {"sd": mx.priors.half_cauchy(100.0)}):
    ...     fit = mx.bayes(formula, data, priors=sd, seed=1, draws=8000)
    ...     table = mx.effects(fit, "small", by="gender").table
    ...     upper = fit.tidy("ran_pars").set_index("term").loc["sd__small", "conf_high"] / data["math"].std()
    ...     half = (table["upper"] - table["lower"]).mean() / 2
    ...     print(f"effects +- {half:.0f}, their sd between genders below {upper:.0f} sd of math")
    effects +- 12, their sd between genders below 1 sd of math
    effects +- 13, their sd between genders below 5 sd of math
    """
    return PriorSet(
        "default",
        {
            "intercept": normal(0.0, 2.5, autoscale=True),
            "coef": normal(0.0, 2.5, autoscale=True),
            "sd": half_normal(1.0, autoscale=True),
            "sd_slope": half_normal(0.25, autoscale=True),
            "cor": lkj(2.0),
            **auxiliary_priors("default"),
        },
    )


def rstanarm() -> PriorSet:
    """The defaults of rstanarm 2.32: normal(0, 2.5) scaled by the data, exponential(1 / sd(y)), decov(1, 1, 1, 1).

    Off the Gaussian family scales count in units of one, 1.596 for probit links; shape and phi are exponential(1), and
    decov() takes 1 for sigma (rstanarm takes the shape of a gamma response instead). nu, which rstanarm does not have,
    is that of `default`.

    As there, mean(y) and sd(y) are those of the response whatever the offset, and the covariance of a random term is
    that of its effects where the predictors are zero. Precision weights, which rstanarm does not have, scale sigma as
    in `default`, and with it decov().
    """
    return PriorSet(
        "rstanarm",
        {
            "intercept": normal(0.0, 2.5, autoscale=True),
            "coef": normal(0.0, 2.5, autoscale=True),
            "sd": decov(1.0, 1.0, 1.0, 1.0),
            "cor": lkj(1.0),
            **auxiliary_priors("rstanarm"),
        },
        unit="rstanarm",
        varying_intercepts="zero",
    )


def brms() -> PriorSet:
    """The defaults of brms 2.23: student_t(3, median, max(2.5, MAD)), lkj(1), flat coefficients.

    The half of that t distribution, around zero, is the prior of sigma and of each standard deviation. For links of
    probabilities it is student_t(3, 0, 2.5) throughout. nu: gamma(2, 0.1), shape: inv_gamma(0.4, 0.3), phi:
    gamma(0.01, 0.01).

    As there, median and MAD are those of the response whatever the offset, whose mean is taken from the median; and the
    standard deviation of a varying intercept is that where the predictors are zero. Precision weights, which brms does
    not have, scale sigma as in `default`.
    """
    return PriorSet(
        "brms",
        {
            "intercept": student_t(3.0, 0.0, 1.0, autoscale=True),
            "coef": flat(),
            "sd": half_student_t(3.0, 1.0, autoscale=True),
            "cor": lkj(1.0),
            **auxiliary_priors("brms"),
        },
        unit="mad",
        varying_intercepts="zero",
    )


def pooled_interactions(ratio: float = 0.5) -> PriorSet:
    """The default priors, tighter for interactions than for main effects.

    The full model ``(1 + x1 * x2 * z | x3 * x4)`` has many more interactions than data can tell apart, and most are
    smaller than their parents. Scales of coefficients and of standard deviations are multiplied by `ratio` for each
    order of interaction, in the effect and in the grouping factor alike: with 1/2, ``x1:x2`` has half the scale of
    ``x1``, and the sd of ``x1:z`` over ``x3:x4`` a quarter of that of ``x1`` over ``x3``.

    Parameters
    ----------
    ratio
        Between 0 and 1.

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.priors.pooled_interactions().interaction_ratio
    0.5
    """
    if not 0 < ratio <= 1:
        raise OptionError(f"ratio={ratio} is not between 0 and 1", hint="Use 0.5, say; 1 treats all orders alike.")
    base = default()
    return PriorSet(f"pooled_interactions({ratio:g})", base.entries, base.unit, ratio)


SETS = {"default": default, "rstanarm": rstanarm, "brms": brms}


def prior_set(priors: str | Mapping[Key, Prior] | PriorSet | None) -> PriorSet:
    """Understand the `priors` argument of `mixedfx.bayes`.

    Parameters
    ----------
    priors
        None, a name, a set, or a mapping whose entries replace those of the default set.

    Raises
    ------
    OptionError
        For a name or a key that is not known, or a prior that cannot serve for its key.
    """
    if priors is None:
        return default()
    if isinstance(priors, PriorSet):
        return priors
    if isinstance(priors, str):
        check_option("priors", priors, tuple(SETS))
        return SETS[priors]()
    zeros: dict[Key, Prior] = {
        key[1:]: prior for key, prior in priors.items() if isinstance(key, tuple) and key[:1] == ("zi",)
    }
    own = {key: prior for key, prior in priors.items() if not isinstance(key, tuple) or key[:1] != ("zi",)}
    found = _own(own, KINDS | {name: (repr(name),) for name in AUXILIARY})
    asked = (*found.asked, *(("zi",) if zeros else ()))
    return replace(found, asked=asked, zeros=_own(zeros, KINDS, "zi"))


def _own(priors: Mapping[Key, Prior], kinds: Mapping[str, tuple[str, ...]], part: str = "") -> PriorSet:
    """The default set with entries replaced; `part` comes before keys in messages."""
    base = default()
    own = {_checked_key(key, kinds, part): prior for key, prior in priors.items()}
    for key, prior in own.items():
        _checked_prior(key, prior)
    entries = dict(base.entries)
    if "sd" in own:
        del entries["sd_slope"]
    return PriorSet("user", entries | own, asked=tuple(key for key in own if isinstance(key, str)))


def _checked_key(key: Key, kinds: Mapping[str, tuple[str, ...]], part: str) -> Key:
    parts = (key,) if isinstance(key, str) else tuple(key)
    if not parts or parts[0] not in kinds or not 1 <= len(parts) <= len(kinds[parts[0]]):
        given = (part, *parts) if part else key
        written = [one for keys in kinds.values() for one in keys]
        raise OptionError(
            f"priors has the key {given!r}",
            hint=f"Use {', '.join(_within(part, one) for one in written)}.",
        )
    return parts[0] if len(parts) == 1 else parts


def _within(part: str, written: str) -> str:
    """A key as it is written, of a part of the model."""
    return f"({part!r}, {written.strip('()')})" if part else written


def _checked_prior(key: Key, prior: Any) -> Prior:
    kind = key if isinstance(key, str) else key[0]
    real = kind in ("intercept", "coef")
    if type(prior) in DISTRIBUTIONS:
        fits = kind != "cor" and bool(prior.real_names if real else prior.positive_names) and not (real and prior.half)
    else:
        fits = isinstance(prior, SPECIAL) and kind in prior.serves
    if not fits:
        subject = {"intercept": "An intercept takes", "coef": "A coefficient takes", "sd": "An sd takes"}.get(
            kind, "Correlations take" if kind == "cor" else f"{kind} takes"
        )
        raise OptionError(f"the prior of {key!r} cannot be {prior}", hint=f"{subject} {_listed(kind)}.")
    if isinstance(prior, Decov) and isinstance(key, tuple) and len(key) == 3:
        raise OptionError("decov() is the prior of a whole term", hint=f"Give it for ('sd', {key[1]!r}).")
    return prior


def _listed(kind: str) -> str:
    """Names of the priors that can serve, in words."""
    single = () if kind == "cor" else DISTRIBUTIONS
    names = [
        name
        for distribution in single
        for name in (distribution.real_names if kind in ("intercept", "coef") else distribution.positive_names)
    ]
    names += [special.name for special in SPECIAL if kind in special.serves]
    if len(names) == 1 or kind not in ("intercept", "coef", "sd"):
        return ", ".join(names)
    return f"{', '.join(names[:-1])} or {names[-1]}"
