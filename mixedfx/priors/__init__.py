"""Priors of Bayesian fits: what users write, the named sets, and how they are scaled to the data.

Names are bound in the package itself, since users write ``mx.priors.normal(0, 2.5)``; the modules behind them are
`construct`, `sets`, `auxiliary` (parameters of families), `distributions` and `resolve`.
"""

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
from mixedfx.priors.sets import PriorSet, brms, default, pooled_interactions, rstanarm

__all__ = [
    "PriorSet",
    "brms",
    "cauchy",
    "decov",
    "default",
    "exponential",
    "flat",
    "gamma",
    "half_cauchy",
    "half_normal",
    "half_student_t",
    "horseshoe",
    "inv_gamma",
    "lkj",
    "normal",
    "pooled_interactions",
    "r2d2",
    "rstanarm",
    "student_t",
]
