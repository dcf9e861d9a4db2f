r"""R2 and intraclass correlations of generalised linear mixed models, on the scale of the linear predictor.

The parts of `mixedfx.inference.variance_explained`, with the variance that the family adds in the place of sigma^2
(Nakagawa, Johnson & Schielzeth 2017, Journal of the Royal Society Interface 14:20170213):

* ``"theoretical"``: that of the latent variable of a binary response, pi^2 / 3 (logit), 1 (probit), pi^2 / 6 (cloglog);
* ``"delta"``: V(mu) (d eta / d mu)^2, V the variance of one row, of binomial rows of one trial;
* ``"lognormal"``: log(1 + V(mu) / mu^2), for the log link;
* ``"trigamma"``: trigamma(mu^2 / V(mu)), for the log link, exact for the logarithm of a gamma variable.

mu is the mean over the rows of their means over the population of groups.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.design.design import Design
from mixedfx.design.population import covariates, population_variance
from mixedfx.design.rows import functional_for
from mixedfx.errors import FewLevelsWarning, IdentifiabilityWarning, OptionError, check_option
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.glmm.refits import with_design
from mixedfx.glmm.rows import auxiliary_draws
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.variance_explained import (
    VarianceParts,
    icc_table,
    partition_table,
    r2_by_level_table,
    r2_table,
    variance_parts,
)
from mixedfx.linalg.quadrature import normal_rule

By = Literal["level", "term"]
Method = Literal["theoretical", "delta", "lognormal", "trigamma"]

LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}


def r2(design: Design, solution: GlmmSolution, method: Method | None, by: By | None) -> pd.DataFrame:
    """Marginal and conditional R2, or the variance explained by level or by term."""
    check_option("by", by, (None, "level", "term"))
    parts = parts_of(design, solution, method)
    if by == "level":
        null = with_design(without_predictors(design, solution.model.family), solution, solution.theta)
        return r2_by_level_table(parts, parts_of(null.design, null, method))
    return r2_table(parts) if by is None else partition_table(parts)


def without_predictors(design: Design, family: Family) -> Design:
    """The same rows and random part with an intercept as the only fixed effect, and without offsets."""
    from mixedfx.design.build import build_design

    formula = replace(design.formula, fixed="1", offsets=())
    left = {name for random in design.spec.random for name in random.part.levels}
    with warnings.catch_warnings():
        for said in (FewLevelsWarning, IdentifiabilityWarning):  # when the model itself was fitted
            warnings.simplefilter("ignore", said)
        return build_design(
            replace(formula, text=str(formula)),
            design.frame,
            weights=design.weights,
            contrasts={name: how for name, how in design.spec.contrasts.items() if name in left},
            env=design.spec.env,
            family=family,
        )


def icc(design: Design, solution: GlmmSolution, method: Method | None) -> pd.DataFrame:
    """Intraclass correlations and design effects."""
    return icc_table(design, parts_of(design, solution, method))


def parts_of(design: Design, solution: GlmmSolution, method: Method | None) -> VarianceParts:
    """Variance of a row by where it comes from."""
    factors = tuple(factor[None] for factor in solution.factors)
    return variance_parts(design, solution.beta, factors, family_variance(design, solution, method))


def methods_of(solution: GlmmSolution) -> tuple[Method, ...]:
    """The methods that a family and link have, the usual one first."""
    family = solution.model.family
    if not family.mean_is_inverse_link and not family.categories:
        return ()
    if family.categories:
        return ("theoretical",) if family.link.name in LATENT else ()
    if family.outcome in ("binary", "trials"):
        return ("theoretical", "delta") if family.link.name in LATENT else ("delta",)
    return ("trigamma", "lognormal", "delta") if family.link.name == "log" and not family.normal else ("delta",)


def family_variance(design: Design, solution: GlmmSolution, method: Method | None = None) -> float:
    """Variance that the family adds on the scale of the linear predictor.

    Raises
    ------
    OptionError
        For a method that the family and link do not have.
    """
    known, family = methods_of(solution), solution.model.family
    if not known:
        raise OptionError(
            f"{family.name} with the {family.link.name} link has no variance on the scale of the linear predictor",
            hint="Ordered responses have one under the logit, probit and cloglog links, counts in negbinomial.",
        )
    if design.dispersion is not None and "theoretical" not in known:
        raise OptionError(
            "with dispersion= every row has a variance of its own, and R2 and ICC have no one number for it",
            hint="Fit the model without dispersion= for them.",
        )
    method = known[0] if method is None else method
    if method not in known:
        raise OptionError(
            f"method={method!r} is none of {family.name} with the {family.link.name} link",
            hint=f"Use {', '.join(map(repr, known))}.",
        )
    if method == "theoretical":
        return float(LATENT[family.link.name])
    if family.identity and family.normal:
        return solution.auxiliary.get("sigma", 1.0) ** 2
    mu = np.array([[mean_response(design, solution)]])
    eta, one = np.asarray(family.link.link(mu)), RowFacts(trials=np.ones(1))
    facts: Any = one if family.outcome == "trials" else RowFacts()
    V = float(family.variance(eta, auxiliary_draws(solution), facts)[0, 0])
    if method == "delta":
        return V / float(family.link.derivatives(eta, 1)[0].ravel()[0]) ** 2
    relative = V / float(mu[0, 0]) ** 2
    return float(np.log1p(relative)) if method == "lognormal" else float(special.polygamma(1, 1.0 / relative))


def mean_response(design: Design, solution: GlmmSolution) -> float:
    """Mean over the rows of their means over the population of groups; of binomial rows the probability."""
    eta = design.X @ solution.beta + design.offset
    factors = tuple(factor[None] for factor in solution.factors)
    z = covariates(design, functional_for(design, None, "error"))
    spread = np.sqrt(np.broadcast_to(population_variance(factors, z), (1, len(eta))))
    total: Any = 0.0
    for node, weight in zip(*normal_rule(float(spread.max(initial=0.0))), strict=True):
        total = total + weight * solution.model.family.mean(eta + spread * node, auxiliary_draws(solution))
    return float(np.mean(total))
