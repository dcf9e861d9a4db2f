"""What sampling a model leaves: the design, the priors, joint draws of all parameters, and how they were made.

Questions are asked of this record by functions, in files by subject; `PosteriorFit` (fit.py) gives them as methods.
Nothing here knows which engine made the draws; what only the collapsed engine has is in `collapsed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.bayes.course import Course
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.design.design import Design
from mixedfx.draws import Key
from mixedfx.errors import ModelError
from mixedfx.families.family import Family
from mixedfx.priors.resolve import ResolvedPriors

if TYPE_CHECKING:
    from mixedfx.bayes.collapsed.collapsed import CollapsedPart

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Draws from the posterior of a multilevel model, with the model they are of.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    family
        Distribution of the response, with its link.
    priors
        Priors as they were used, after scaling.
    joint
        Joint draws of all parameters.
    sampling
        How the draws were made, and how far they can be trusted.
    chains
        Number of chains the draws are laid out in.
    seed
        Seed of everything random about this fit.
    collapsed
        What only the collapsed density gives; None for draws made otherwise.
    transitions
        What NUTS says of each transition, by ArviZ's names: name -> (D,). None for draws made otherwise.
    """

    design: Design
    family: Family
    priors: ResolvedPriors
    joint: JointDraws
    sampling: Course
    chains: int
    seed: int
    collapsed: CollapsedPart | None = None
    transitions: Mapping[str, Array] | None = None

    @property
    def n_draws(self) -> int:
        """Number of draws over all chains."""
        return self.joint.n_draws

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of an ordinal or categorical response, in order; empty for other families."""
        if self.family.outcome == "nominal":
            return self.design.categories or ()
        if self.joint.thresholds is None:
            return ()
        known = self.design.categories
        return known or tuple(str(k + 1) for k in range(self.joint.thresholds.shape[1] + 1))

    @property
    def designs(self) -> tuple[Design, ...]:
        """The design of each linear predictor."""
        return self.design.of_predictors(len(self.joint.predictors))

    @property
    def along(self) -> str:
        """What tells linear predictors apart in tables where there are several: ``"category"`` or ``"part"``."""
        return "category" if self.design.zero is None else "part"

    @property
    def predictor(self) -> Predictor:
        """Draws of the linear predictor.

        Raises
        ------
        ModelError
            For a categorical response, or counts with a model of their zeros, which have several: ``joint.predictors``.
        """
        if len(self.joint.predictors) != 1:
            raise ModelError(
                "a categorical response has a linear predictor for each category but the first"
                if self.design.zero is None
                else "counts with a model of their zeros have two linear predictors",
                hint="Use fit.linpred() or fit.epred(), or fit.joint.predictors.",
            )
        return self.joint.predictors[0]

    @cached_property
    def parameters(self) -> tuple[tuple[Key, ...], Array]:
        """Keys and (D, m) draws of everything but beta and u."""
        return self.joint.parameters(self.design)
