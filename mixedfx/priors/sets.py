"""Sets of priors: the default, the two published ones, and the one with pooled interactions.

A set is a mapping from what a prior is for to the prior: ``"intercept"``, ``"coef"``, ``("coef", name)``, ``"sd"``,
``("sd", group)``, ``("sd", group, column)``, ``"cor"``, ``("cor", group)``, ``"sigma"``; the most specific key wins. A
set given by the user replaces entries of the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mixedfx.errors import OptionError, check_option
from mixedfx.priors.construct import decov, exponential, flat, half_normal, half_student_t, lkj, normal, student_t
from mixedfx.priors.distributions import Prior

Key = str | tuple[str, ...]

KINDS = {"intercept": (1,), "coef": (1, 2), "sd": (1, 2, 3), "cor": (1, 2), "sigma": (1,)}


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
        y. ``"mad"``: median of y and max(2.5, its MAD), both rounded to one decimal, and one unit for every scale.
    interaction_ratio
        Scale of an interaction over that of its parents, for each order; 1 treats all alike.
    """

    name: str
    entries: Mapping[Key, Prior] = field(default_factory=dict)
    unit: Literal["sd", "mad"] = "sd"
    interaction_ratio: float = 1.0


def default() -> PriorSet:
    """The priors of mixedfx: weakly informative, on the scale of the data.

    * intercept, at the mean of the predictors: normal(mean(y), 2.5 sd(y)); coefficients: normal(0, 2.5 sd(y) / sd(x)).
      A change of one sd of x would have to move y by several of its own sds before these priors resisted.
    * sigma: exponential with mean sd(y), which the residual cannot much exceed.
    * standard deviation of varying intercepts: half-normal, scale sd(y), since it too is a part of sd(y).
    * standard deviation of a varying coefficient of x: half-normal, scale sd(y) / (4 sd(x)). For a treatment given to
      half of the people that is sd(y) / 2: two thirds of the prior hold that the effects of groups have a standard
      deviation below half a sd of the outcome, which is a very large effect in most trials.
    * correlations: lkj(2), which keeps away from plus and minus one, where few levels say nothing.

    **Why not a heavier tail.** With J levels the likelihood of such a standard deviation falls off like its power
    1 - J only. Two genders or five races hardly limit it from above, and under a half-Cauchy or flat prior it runs to
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
    ...     fit = mx.bayes(formula, data, priors=sd, seed=1)
    ...     table = mx.effects(fit, "small", by="gender").table
    ...     upper = fit.tidy("ran_pars").set_index("term").loc["sd__small", "conf_high"]
    ...     print(f"width {(table['upper'] - table['lower']).mean():.0f}, sd below {10 * round(upper / 10):.0f}")
    width 25, sd below 50
    width 26, sd below 210
    """
    return PriorSet(
        "default",
        {
            "intercept": normal(0.0, 2.5, autoscale=True),
            "coef": normal(0.0, 2.5, autoscale=True),
            "sigma": exponential(1.0, autoscale=True),
            "sd": half_normal(1.0, autoscale=True),
            "sd_slope": half_normal(0.25, autoscale=True),
            "cor": lkj(2.0),
        },
    )


def rstanarm() -> PriorSet:
    """The defaults of rstanarm 2.32: normal(0, 2.5) scaled by the data, exponential(1 / sd(y)), decov(1, 1, 1, 1)."""
    return PriorSet(
        "rstanarm",
        {
            "intercept": normal(0.0, 2.5, autoscale=True),
            "coef": normal(0.0, 2.5, autoscale=True),
            "sigma": exponential(1.0, autoscale=True),
            "sd": decov(1.0, 1.0, 1.0, 1.0),
            "cor": lkj(1.0),
        },
    )


def brms() -> PriorSet:
    """The defaults of brms 2.23: student_t(3, median, max(2.5, MAD)), lkj(1), flat coefficients.

    The half of that t distribution, around zero, is the prior of sigma and of each standard deviation.
    """
    return PriorSet(
        "brms",
        {
            "intercept": student_t(3.0, 0.0, 1.0, autoscale=True),
            "coef": flat(),
            "sigma": half_student_t(3.0, 1.0, autoscale=True),
            "sd": half_student_t(3.0, 1.0, autoscale=True),
            "cor": lkj(1.0),
        },
        unit="mad",
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
        raise OptionError(f"ratio={ratio} is not between 0 and 1", mend="Use 0.5, say; 1 treats all orders alike.")
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
    base = default()
    own = {_checked_key(key): _checked_prior(key, prior) for key, prior in priors.items()}
    entries = dict(base.entries)
    if "sd" in own:
        del entries["sd_slope"]
    return PriorSet("user", entries | own)


def _checked_key(key: Key) -> Key:
    parts = (key,) if isinstance(key, str) else tuple(key)
    if parts[0] not in KINDS or len(parts) not in KINDS[parts[0]]:
        raise OptionError(
            f"priors has the key {key!r}",
            mend="Use 'intercept', 'coef', ('coef', name), 'sd', ('sd', group), ('sd', group, column), 'cor', "
            "('cor', group), 'sigma'.",
        )
    return parts[0] if len(parts) == 1 else parts


def _checked_prior(key: Key, prior: Prior) -> Prior:
    from mixedfx.priors.distributions import LKJ, Decov, Exponential, Flat, Normal, SparsePrior, StudentT

    kind = key if isinstance(key, str) else key[0]
    allowed: dict[str, tuple[type, ...]] = {
        "intercept": (Normal, StudentT, Flat),
        "coef": (Normal, StudentT, Flat, SparsePrior),
        "sd": (Normal, StudentT, Exponential, Flat, Decov),
        "sigma": (Normal, StudentT, Exponential, Flat),
        "cor": (LKJ,),
    }
    if not isinstance(prior, allowed[kind]) or (kind in ("intercept", "coef") and getattr(prior, "half", False)):
        raise OptionError(
            f"the prior of {key!r} cannot be {prior}",
            mend={
                "intercept": "A coefficient takes normal, student_t, cauchy or flat.",
                "coef": "A coefficient takes normal, student_t, cauchy or flat.",
                "sd": "An sd takes half_normal, half_student_t, half_cauchy, exponential, flat or decov.",
                "sigma": "sigma takes half_normal, half_student_t, half_cauchy, exponential or flat.",
                "cor": "Correlations take lkj.",
            }[kind],
        )
    if isinstance(prior, Decov) and isinstance(key, tuple) and len(key) == 3:
        raise OptionError("decov() is the prior of a whole term", mend=f"Give it for ('sd', {key[1]!r}).")
    return prior
