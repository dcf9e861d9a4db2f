"""All families by their names, which are brms's."""

from __future__ import annotations

from difflib import get_close_matches

from mixedfx.errors import OptionError
from mixedfx.families.binary import Bernoulli, Binomial
from mixedfx.families.categories import Categorical, Cumulative
from mixedfx.families.counts import NegativeBinomial, Poisson
from mixedfx.families.family import Family
from mixedfx.families.location import Gaussian, Student
from mixedfx.families.overdispersed import BetaBinomial, NegativeBinomial1
from mixedfx.families.positive import Gamma, LogNormal
from mixedfx.families.truncated import TruncatedNegativeBinomial, TruncatedPoisson
from mixedfx.families.tweedie import Tweedie
from mixedfx.families.unit import Beta

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


def find_family(name_or_family: str | Family) -> Family:
    """Understand the `family` argument of every function: a name, or a family with its link.

    Raises
    ------
    OptionError
        For anything else.
    """
    if isinstance(name_or_family, Family):
        return name_or_family
    if isinstance(name_or_family, str):
        return family(name_or_family)
    raise OptionError(
        f"family is a {type(name_or_family).__name__}, neither a name nor a family",
        hint="Use family='bernoulli', or mx.families.bernoulli(link='probit').",
    )
