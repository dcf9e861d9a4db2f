"""Families of distributions of the response, with their links.

Names are bound in the package itself, since users write ``mx.families.bernoulli(link="probit")``; the modules behind
them are `location`, `positive`, `unit`, `counts`, `overdispersed`, `truncated`, `tweedie`, `binary` and `categories`;
`registry` finds a family by its name.
"""

from mixedfx.families.binary import bernoulli, binomial
from mixedfx.families.categories import categorical, cumulative
from mixedfx.families.counts import negbinomial, poisson
from mixedfx.families.location import gaussian, student
from mixedfx.families.overdispersed import beta_binomial, nbinom1
from mixedfx.families.positive import gamma, lognormal
from mixedfx.families.truncated import truncated_negbinomial, truncated_poisson
from mixedfx.families.tweedie import tweedie
from mixedfx.families.unit import beta

__all__ = [
    "bernoulli",
    "beta",
    "beta_binomial",
    "binomial",
    "categorical",
    "cumulative",
    "gamma",
    "gaussian",
    "lognormal",
    "nbinom1",
    "negbinomial",
    "poisson",
    "student",
    "truncated_negbinomial",
    "truncated_poisson",
    "tweedie",
]
