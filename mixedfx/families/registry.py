"""All families by their names, which are brms's."""

from __future__ import annotations

from difflib import get_close_matches

from mixedfx.errors import OptionError
from mixedfx.families.binary import Bernoulli, Binomial
from mixedfx.families.categories import Categorical, Cumulative
from mixedfx.families.counts import NegativeBinomial, Poisson
from mixedfx.families.family import Family
from mixedfx.families.hurdle import HURDLE
from mixedfx.families.location import Gaussian, Student
from mixedfx.families.overdispersed import BetaBinomial, NegativeBinomial1
from mixedfx.families.positive import Gamma, LogNormal
from mixedfx.families.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from mixedfx.families.tweedie import Tweedie
from mixedfx.families.two_parts import TwoParts
from mixedfx.families.unit import Beta
from mixedfx.families.zero_inflated import ZERO_INFLATED

_TYPES: tuple[type[Family], ...] = (
    Gaussian,
    Student,
    LogNormal,
    Bernoulli,
    Binomial,
    Poisson,
    NegativeBinomial,
    NegativeBinomial1,
    BetaBinomial,
    TruncatedPoisson,
    TruncatedNegativeBinomial,
    Tweedie,
    Gamma,
    Beta,
    Cumulative,
    Categorical,
)

FAMILIES: dict[str, Family] = {kind.name: kind.linked() for kind in _TYPES}
"""Each family under its name, with its default link."""

TWO_PARTS: dict[str, TwoParts] = {kind.name: kind.linked() for kind in (*ZERO_INFLATED.values(), *HURDLE.values())}
"""Families of counts with a model of their zeros, which ``zi=`` gives: zero-inflated and hurdle models."""


def family(name: str, link: str | None = None) -> Family:
    """Find a family by its name.

    Parameters
    ----------
    name
        ``"gaussian"``, ``"student"``, ``"lognormal"``, ``"bernoulli"``, ``"binomial"``, ``"poisson"``,
        ``"negbinomial"``, ``"nbinom1"``, ``"beta_binomial"``, ``"truncated_poisson"``,
        ``"truncated_negbinomial"``, ``"tweedie"``, ``"gamma"``, ``"beta"``, ``"cumulative"``, ``"categorical"``.
    link
        One of its links; the default where None.

    Raises
    ------
    OptionError
        For an unknown name, or a link that the family does not have.

    Examples
    --------
    >>> from mixedfx.families.registry import family
    >>> family("bernoulli", link="probit")
    bernoulli(link='probit')
    >>> family("bernouli")
    Traceback (most recent call last):
    mixedfx.errors.OptionError: family='bernouli' is not known
    Did you mean 'bernoulli'?
    """
    if name not in FAMILIES:
        near = get_close_matches(str(name).lower(), FAMILIES, n=1)
        raise OptionError(
            f"family={name!r} is not known",
            hint=f"Did you mean '{near[0]}'?" if near else f"Use {', '.join(map(repr, FAMILIES))}.",
        )
    found = FAMILIES[name]
    return found if link is None else type(found).linked(link)


def find_family(name_or_family: str | Family, link: str | None = None) -> Family:
    """Understand the `family` argument of every function: a name, or a family with its link; `link` takes its place.

    Raises
    ------
    OptionError
        For anything else.
    """
    if isinstance(name_or_family, Family):
        return name_or_family if link is None else name_or_family.with_link(link)
    if isinstance(name_or_family, str):
        return family(name_or_family, link)
    raise OptionError(
        f"family is a {type(name_or_family).__name__}, neither a name nor a family",
        hint="Use family='bernoulli', or mx.families.bernoulli(link='probit').",
    )


def find_two_parts(name_or_family: str | Family, zi: object) -> TwoParts | None:
    """The family of counts with a model of their zeros that ``family=`` and ``zi=`` ask for; None where they do not.

    Parameters
    ----------
    name_or_family
        A hurdle model or a zero-inflated family by its name; with ``zi=``, a family of counts.
    zi
        The model of the zeros; None where there is none.

    Raises
    ------
    OptionError
        A model of the zeros beside a family that has none, or a family that needs one without it.

    Examples
    --------
    >>> from mixedfx.families.registry import find_two_parts
    >>> find_two_parts("poisson", "~ x"), find_two_parts("poisson", None)
    (zero_inflated_poisson(link='log'), None)
    """
    if isinstance(name_or_family, TwoParts) or name_or_family in TWO_PARTS:
        found = name_or_family if isinstance(name_or_family, TwoParts) else TWO_PARTS[str(name_or_family)]
        if zi is None:
            raise OptionError(
                f"family={found.name!r} needs a model of the zeros", hint="Write zi='~ 1', or '~ x + (1 | g)'."
            )
        return found
    if zi is None:
        return None
    counts = find_family(name_or_family)
    if counts.name not in ZERO_INFLATED:
        raise OptionError(
            f"zi= goes with a family of counts that may be zero, not with family={counts.name!r}",
            hint=f"Use one of {', '.join(map(repr, ZERO_INFLATED))}, or a hurdle model: "
            f"{' or '.join(map(repr, HURDLE))}.",
        )
    if counts.link.name != "log":
        raise OptionError(
            f"a zero-inflated model has no link {counts.link.name!r} of its counts",
            hint="It is 'log', and logit of the zeros.",
        )
    return ZERO_INFLATED[counts.name](counts.link, counts.held)


def family_of_fit(name: str, link: str) -> Family:
    """The family that a saved fit names: any, those of two parts included."""
    return type(TWO_PARTS[name]).linked(link) if name in TWO_PARTS else family(name, link)
