"""What the collapsed engine leaves besides joint draws: the density that was sampled, its points, the evidence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.engine import PosteriorSample
from mixedfx.bayes.course import Course
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.errors import DataDependentPriorWarning, ImproperPosteriorError, ModelError
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.sampling.coordinates import Variances
from mixedfx.sampling.target import Target

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LogEvidence:
    """Log marginal likelihood of a model.

    Attributes
    ----------
    value
        log p(y).
    error
        Its Monte Carlo standard error.
    """

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.3f} (Monte Carlo error {self.error:.1g})"


@dataclass(frozen=True, eq=False)
class CollapsedPart:
    """The part of a fit that only the collapsed engine has.

    Attributes
    ----------
    target
        The density of phi, beta and u integrated out.
    phi
        (D, d) its points, one for each joint draw.
    """

    target: Target
    phi: Array

    @cached_property
    def variances(self) -> Variances:
        """Draws of sigma, standard deviations and correlation factors."""
        return self.target.coordinates.variances(self.phi)


def joint_draws(target: Target, sample: PosteriorSample) -> tuple[JointDraws, CollapsedPart]:
    """Joint draws as the collapsed engine made them, and its own part of the fit."""
    part = CollapsedPart(target, sample.phi)
    at, design = part.variances, target.collapsed.design
    factors = tuple(at.factors(t) for t in range(len(design.random)))
    auxiliary = {} if design.knows_errors else {"sigma": at.sigma}
    return JointDraws((Predictor(sample.beta, sample.u, factors),), auxiliary), part


def evidence(priors: ResolvedPriors, sampling: Course) -> LogEvidence:
    """Log marginal likelihood, or the reason why there is none; see `PosteriorFit.log_evidence`."""
    if sampling.log_evidence is None:
        raise ModelError(
            f"draws by {sampling.engine} do not give the marginal likelihood",
            hint="It comes with engine='collapsed', for Gaussian models, and engine='importance', for others.",
        )
    if priors.improper:
        raise ImproperPosteriorError(
            f"the marginal likelihood needs proper priors; flat: {', '.join(priors.improper)}",
            hint="Give them priors, such as mx.priors.normal(0, 10).",
        )
    if np.isnan(sampling.log_evidence[0]):
        raise ModelError(
            f"draws by {sampling.method} do not give the marginal likelihood",
            hint="It comes with importance sampling; see fit.diagnostics() for why that was not used.",
        )
    if priors.from_data:
        warnings.warn(
            "the priors were scaled from these data: compare the marginal likelihood with that of models under the "
            "same fixed priors only",
            DataDependentPriorWarning,
            3,
        )
    return LogEvidence(*sampling.log_evidence)
