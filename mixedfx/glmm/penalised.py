"""Maximum a posteriori estimates: the prior of a model enters its criterion here, whatever takes the integral.

What a user may say of priors is read here too. Only coefficients have one: the prior that keeps them finite under
separation. A prior of variances or of the family's parameters asks for a posterior, `mixedfx.bayes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, OptionError
from mixedfx.families.family import Family
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.derivatives import Formed
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.model import Model
from mixedfx.inference.prior_scales import scales_of
from mixedfx.priors.location import Flat, Normal, StudentT
from mixedfx.priors.resolve import resolve
from mixedfx.priors.sets import PriorSet, default, prior_set

Vector = NDArray[np.float64]

KINDS = ("intercept", "coef")


def penalised(criterion: Callable[..., Evaluation]) -> Callable[..., Evaluation]:
    """The criterion with the prior of the model, where it has one."""

    def with_prior(model: Model, psi: Vector, v: Any = None, joint: bool = False, *rest: Any, **more: Any) -> Any:
        if model.prior is None:
            return criterion(model, psi, v, joint, *rest, **more)
        at = criterion(model, psi, v, False, *rest, **more)  # the joint mode of gamma and v knows no prior
        p = model.sizes[0]
        B = model.prior.placed(model.problem.R)
        b = B @ at.psi[:p]
        first, second, positive = model.prior.derivatives(b)
        gradient, average, curvature = at.gradient.copy(), at.average.copy(), at.curvature.copy()
        gradient[:p] += B.T @ first
        if average.any():  # else second derivatives were not wanted
            average[:p, :p] += (B.T * positive) @ B
            curvature[:p, :p] += (B.T * second) @ B
        return replace(
            at, criterion=at.criterion + model.prior.deviance(b), gradient=gradient,
            second=Formed(average, curvature),
        )  # fmt: skip

    return with_prior


def prior_deviance(model: Model, gamma: Vector) -> float:
    """-2 log prior density of gamma (p,); zero without a prior."""
    if model.prior is None:
        return 0.0
    return model.prior.deviance(model.prior.placed(model.problem.R) @ gamma)


def prior_information(model: Model, gamma: Vector) -> Vector:
    """(p, p) minus the second derivatives of the log prior in gamma, none negative; zero without a prior."""
    if model.prior is None:
        return np.zeros((len(gamma), len(gamma)))
    B = model.prior.placed(model.problem.R)
    return (B.T * (0.5 * model.prior.derivatives(B @ gamma)[2])) @ B


def read_priors(priors: Any) -> PriorSet | None:
    """What ``priors=`` of `mixedfx.glmer` says; None for maximum likelihood.

    Raises
    ------
    OptionError
        For keys and priors that are not those of coefficients.
    """
    if priors is None:
        return None
    way = "mx.glmer takes priors of coefficients, under 'intercept', 'coef' and ('coef', name); mx.bayes takes all."
    if priors == "default":
        return default()
    if not isinstance(priors, Mapping):
        raise OptionError(f"priors={priors!r} is neither 'default' nor a mapping", hint=way)
    for key, prior in priors.items():
        kind = key if isinstance(key, str) else key[0] if isinstance(key, tuple) and key else key
        if kind not in KINDS:
            raise OptionError(f"priors has the key {key!r}", hint=way)
        if not isinstance(prior, Normal | StudentT | Flat):
            raise OptionError(
                f"a maximum a posteriori estimate cannot have {prior} as the prior of {key!r}",
                hint="Use normal, student_t, cauchy or flat of mx.priors; mx.bayes takes the others.",
            )
    return prior_set(priors)


def coefficient_prior(design: Design, family: Family, priors: PriorSet | None) -> CoefficientPrior | None:
    """The priors of the coefficients of a design, scaled by its data; None where there are none, or all are flat."""
    if priors is None:
        return None
    found = resolve(priors, scales_of(design, family))
    first, p = int(found.threshold is not None), len(design.fixed_names)  # thresholds, described first, have none here
    used: Any = found.coefficients
    out = CoefficientPrior(used, found.centring, tuple(design.fixed_names), found.described[first : first + p])
    return out if out.proper else None


def refuse_penalised(model: Model, what: str) -> None:
    """Refuse a question that only a maximum of the likelihood answers (`ModelError`)."""
    if model.prior is not None:
        raise ModelError(
            f"{what} compares maxima of the likelihood, and this fit is a maximum a posteriori estimate",
            hint="Test its coefficients by fit.test(...) or fit.tidy(), or use fit.update(priors=None), which is by "
            "maximum likelihood.",
        )
