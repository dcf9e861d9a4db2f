"""Models for the tests of Stan programs: data with a response for every family, structures, priors.

`plain` turns a design and its resolved priors into the oracle's plain terms (tests/oracles/stan_model.py).
"""

from functools import cache

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.design.build import build_design
from mixedfx.families.registry import family as family_of
from mixedfx.families.registry import find_family
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.auxiliary import AUXILIARY
from mixedfx.priors.joint import Decov
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import prior_set
from tests.oracles.stan_model import Model, Term

RESPONSE = {
    "gaussian": "real",
    "student": "real",
    "lognormal": "positive",
    "gamma": "positive",
    "beta": "share",
    "bernoulli": "passed",
    "binomial": "count | trials(m)",
    "poisson": "count",
    "negbinomial": "count",
    "nbinom1": "count",
    "beta_binomial": "count | trials(m)",
    "truncated_poisson": "visits",
    "truncated_negbinomial": "visits",
    "tweedie": "amount",
    "cumulative": "grade",
    "categorical": "mood",
}

STRUCTURES = {
    "no random terms": "x + w",
    "one scalar": "x + w + (1 | g)",
    "correlated slopes": "x + w + (1 + x + w | g)",
    "diagonal slopes": "x + w + (1 + x || g)",
    "two crossed": "x + w + (0 + w | g) + (1 + x | h)",
}

NAMED = {
    "one correlation": "x + w + cs(1 + x + w | g)",
    "one standard deviation": "x + id(1 + x + w | g) + (1 | h)",
    "one of each": "x + w + homcs(0 + x + w | h)",
    "serial": "x + w + ar1(0 + factor(grade) | g) + hetar1(0 + factor(grade) | h)",
    "related levels": "x + w + (1 | gr(g, cov=A)) + cs(1 + x | gr(h, cov=B))",
    "related and correlated": "x + (1 + x + w | gr(g, cov=A)) + (1 + x || gr(h, cov=B))",
}
"""Structures that are named, and levels that are related."""

ALIKE = {"cs": "equal", "homcs": "equal", "ar1": "serial", "hetar1": "serial"}
"""Structures with one correlation: of any two effects, or of neighbours."""


def relation(levels):
    """Correlations of levels on a line."""
    distance = np.abs(np.subtract.outer(np.arange(len(levels)), np.arange(len(levels))))
    return pd.DataFrame(np.exp(-0.7 * distance), index=list(levels), columns=list(levels))


RELATED = {"A": relation("abcde"), "B": relation("uvwxyz")}

p = mx.priors
PRIORS = {
    "normal": {"intercept": p.normal(0, 2), "coef": p.normal(0.1, 1), "sd": p.half_normal(1.5), "cor": p.lkj(2.5)},
    "student_t": {"intercept": p.student_t(5, 0, 2), "coef": p.student_t(4, 0.2, 1), "sd": p.half_student_t(3, 1)},
    "cauchy": {"intercept": p.cauchy(0, 3), "coef": p.cauchy(0, 1), "sd": p.half_cauchy(2), "cor": p.lkj(1)},
    "flat": {"intercept": p.flat(), "coef": p.flat(), "sd": p.flat(), "sigma": p.flat()},
    "exponential": {"sd": p.exponential(1.5), **dict.fromkeys(AUXILIARY, p.exponential(0.7))},
    "gamma": {"sd": p.gamma(2, 3), **dict.fromkeys(AUXILIARY, p.gamma(2, 0.5))},
    "inv_gamma": {"sd": p.inv_gamma(3, 2), **dict.fromkeys(AUXILIARY, p.inv_gamma(2, 1.5))},
    "decov": {"sd": p.decov(1.5, 2.0, 1.3, 0.8)},
    "mixed": {"coef": p.normal(0, 1), ("coef", "w"): p.student_t(3, 0, 1), "sd": p.half_normal(1)},
    "horseshoe": {"coef": p.horseshoe(2, 0.5, 1.5, 5, 1.5)},
    "horseshoe on sds": {"sd": p.horseshoe(3, par_ratio=0.3)},
    "horseshoe on both": {"coef": p.horseshoe(), "sd": p.horseshoe(), ("coef", "x"): p.normal(0, 1)},
    "r2d2": {"coef": p.r2d2(0.4, 3, 0.7)},
    "r2d2 on sds": {"sd": p.r2d2(0.6, 2, 1.2)},
    "r2d2 on both": {"coef": p.r2d2(), "sd": p.r2d2()},
}
"""Sets of priors; between them every kind of prior for every kind of parameter, and sparse priors over some of them."""

OWN_SD = {"correlated slopes": ("sd", "g", "x"), "diagonal slopes": ("sd", "g", "x"), "two crossed": ("sd", "h", "x")}
"""A standard deviation that has a prior of its own under "mixed" and "horseshoe on both", where there are several."""


def priors_of(name, structure):
    """A set of priors, as far as the structure has something for it."""
    found = dict(PRIORS[name])
    if name in ("mixed", "horseshoe on both") and structure in OWN_SD:
        found[OWN_SD[structure]] = p.exponential(2.0)
    return found


def frame():
    """Thirty rows: a response for every family, two covariates, two crossed grouping factors."""
    rng = np.random.default_rng(11)
    n = 30
    m = rng.integers(8, 14, n)
    return pd.DataFrame(
        {
            "real": rng.normal(1.0, 1.5, n),
            "positive": rng.gamma(2.0, 0.8, n),
            "share": rng.beta(2.0, 3.0, n),
            "passed": rng.integers(0, 2, n),
            "count": rng.integers(0, 8, n),
            "m": m,
            "visits": np.tile([1, 3, 2, 7, 1], 6),
            "amount": np.tile([0.0, 1.3, 0.4, 2.9, 0.0, 0.8], 5),
            "grade": np.tile([1, 2, 3, 4, 2], 6),
            "mood": np.tile(["sad", "happy", "calm"], 10),
            "s": rng.uniform(0.5, 1.5, n),
            "x": rng.normal(0.4, 1.0, n),
            "w": rng.uniform(0.0, 2.0, n),
            "g": np.tile(list("abcde"), 6),
            "h": np.repeat(list("uvwxyz"), 5),
            "four": 4.0,
        }
    )


DATA = frame()


@cache
def designed(formula, family, **options):
    """A design, built once however many priors are put on it."""
    return build_design(formula, DATA, family=family, **options)


def modelled(family, right, priors, **options):
    """Design, family and resolved priors; those of auxiliary parameters that the family does not have are left out."""
    family = find_family(family)
    if isinstance(priors, dict):
        priors = {key: prior for key, prior in priors.items() if key not in AUXILIARY or key in family.auxiliary}
    left = options.pop("left", RESPONSE[family.name])
    if "gr(" in right:
        design = build_design(f"{left} ~ {right}", DATA, family=family, env=RELATED, **options)
    else:
        design = designed(f"{left} ~ {right}", family, **options)
    return design, family, resolve(prior_set(priors), scales_of(design, family))


def plain_prior(prior):
    """A prior as a tuple."""
    numbers = {
        "Normal": ("normal", "loc", "scale"),
        "StudentT": ("student_t", "df", "loc", "scale"),
        "Exponential": ("exponential", "rate"),
        "Gamma": ("gamma", "shape", "rate"),
        "InverseGamma": ("inv_gamma", "shape", "scale"),
        "Flat": ("flat",),
        "Share": ("share", "unit"),
        "Decov": ("decov", "concentration", "shape", "scale"),
    }
    kind, *names = numbers[type(prior).__name__]
    return (kind, *(getattr(prior, name) for name in names))


def plain(design, family, resolved, centred=False, at_means=True):
    """The model in the oracle's terms; `at_means`: what the set says of terms with an intercept and correlations."""
    at = [name != "Intercept" for name in design.fixed_names]
    priors = dict(zip(design.fixed_names, resolved.coefficients, strict=True))
    intercept = priors.pop("Intercept", None)
    alpha = resolved.threshold if resolved.threshold is not None else intercept
    terms = tuple(
        Term(
            term.codes,
            term.z,
            term.structure not in ("diag", "id"),
            centred,
            plain_prior(prior.sd) if isinstance(prior.sd, Decov) else tuple(plain_prior(sd) for sd in prior.sd),
            prior.eta if prior.eta is not None else 1.0,
            at_means and term.correlated and term.n_columns > 1 and term.columns[0] == "Intercept",
            ALIKE.get(term.structure, "") if term.n_columns > 1 else "",
            term.n_columns > 1 and term.structure in ("id", "homcs", "ar1"),
            term.relation,
        )
        for term, prior in zip(design.random, resolved.terms, strict=True)
    )
    shared = any(prior[0] == "share" for term in terms if not term.decov for prior in term.sd)
    shared |= any(plain_prior(prior)[0] == "share" for prior in priors.values())
    return Model(
        family=family.name,
        link=family.link.name,
        y=design.y,
        X=design.X[:, at],
        intercept=intercept is not None,
        alpha=None if alpha is None else plain_prior(alpha),
        beta=tuple(plain_prior(prior) for prior in priors.values()),
        terms=terms,
        auxiliary={name: plain_prior(prior) for name, prior in resolved.auxiliary.items()},
        sparse=vars(resolved.sparse) if shared and resolved.sparse is not None else None,
        offset=design.offset,
        weights=design.weights,
        known_sd=design.known_sd,
        trials=design.trials,
        categories=len(design.categories) if design.categories else 0,
        zero=None
        if design.zero is None
        else plain(design.zero, family_of("bernoulli"), resolved.zero, centred, at_means),
    )
