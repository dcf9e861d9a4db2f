"""Priors of Bayesian fits: what users write, the named sets, and how they are scaled to the data.

Names are bound in the package itself, since users write ``mx.priors.normal(0, 2.5)``; the modules behind them are
`construct`, `sets`, `auxiliary` (parameters of families), `distributions` and `resolve`. Priors of Bayes factors and
of averaged meta-analyses (`mixedfx.robma`) are in `bounded`, `marginal`, `bias` and `ensembles`.
"""

from mixedfx.priors.bias import no_bias, peese, pet, weight_function
from mixedfx.priors.bounded import beta, spike, truncated, uniform
from mixedfx.priors.construct import (
    cauchy,
    decov,
    exponential,
    flat,
    gamma,
    half_cauchy,
    half_normal,
    half_student_t,
    horseshoe,
    inv_gamma,
    lkj,
    normal,
    r2d2,
    student_t,
)
from mixedfx.priors.ensembles import Ensemble, ensemble, model, option, robma3, robma4
from mixedfx.priors.sets import PriorSet, brms, default, pooled_interactions, rstanarm

__all__ = [
    "Ensemble",
    "PriorSet",
    "beta",
    "brms",
    "cauchy",
    "decov",
    "default",
    "ensemble",
    "exponential",
    "flat",
    "gamma",
    "half_cauchy",
    "half_normal",
    "half_student_t",
    "horseshoe",
    "inv_gamma",
    "lkj",
    "model",
    "no_bias",
    "normal",
    "option",
    "peese",
    "pet",
    "pooled_interactions",
    "r2d2",
    "robma3",
    "robma4",
    "rstanarm",
    "spike",
    "student_t",
    "truncated",
    "uniform",
    "weight_function",
]
