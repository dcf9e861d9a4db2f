"""RobmaState: what a model-averaged meta-analysis knows, which its tables and pictures read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mixedfx.meta.averaging.given import Given
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.normal_models import Evidence
from mixedfx.meta.averaging.pooled import Pooled, pooled
from mixedfx.meta.averaging.solve import Solved
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.estimates import Estimates
from mixedfx.priors.ensembles import Ensemble


@dataclass(frozen=True, eq=False, repr=False)
class RobmaState:
    """Models of estimates, and what is known of each.

    Attributes
    ----------
    given
        Estimates on the scale of the fit, sorted by cluster.
    source
        What they were read from.
    ensemble
        Priors.
    members, solved
        The models and what is known of each.
    mechanism
        How clusters are selected.
    level
        Probability of intervals.
    n_draws, seed
        Of `draws`.
    checked
        What `cross_check` found of the most probable model, where ``check="stan"`` was asked for.
    """

    given: Given
    source: Estimates
    ensemble: Ensemble
    members: tuple[Member, ...]
    solved: tuple[Solved, ...]
    mechanism: str
    level: float
    n_draws: int
    seed: int
    checked: pd.DataFrame | None = None

    @property
    def k(self) -> int:
        """Number of estimates."""
        return self.given.k

    @property
    def clustered(self) -> bool:
        """Whether estimates of a cluster may share an effect."""
        return self.given.start is not None

    @property
    def measure(self) -> str:
        """What effects are reported as; "" where nobody said."""
        return "SMD" if self.given.fisher else self.given.measure

    @property
    def evidences(self) -> tuple[Evidence, ...]:
        """Log evidence of each model, and its error."""
        return tuple(model.evidence for model in self.solved)

    @cached_property
    def prior(self) -> Array:
        """(n,) prior probabilities of the models."""
        return np.array([member.prior for member in self.members])

    @cached_property
    def log_evidence(self) -> Array:
        """(n,) log evidences."""
        return np.array([evidence.value for evidence in self.evidences])

    @cached_property
    def posterior(self) -> Array:
        """(n,) posterior probabilities of the models."""
        logs = self.log_evidence + np.log(self.prior)
        shares = np.exp(logs - logs.max())
        return shares / shares.sum()

    @cached_property
    def pooled(self) -> Pooled:
        """Weighted draws of the parameters of every model."""
        return pooled(self.given, self.members, self.solved, self.posterior)
