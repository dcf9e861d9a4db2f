"""What a zero-inflated fit holds: estimates of both parts, and the optimiser's word about them.

`ZeroInflatedFit` (zero_inflated_fit.py) adds the questions asked of a fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.formula.part_formulas import right_side
from mixedfx.glmm import zero_inflated_report
from mixedfx.glmm.asked_of_pairs import AskedOfPairs
from mixedfx.glmm.call import Call
from mixedfx.glmm.fit import GlmerFit
from mixedfx.glmm.pairs import PairLikelihood
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.uncertainty import GlmmUncertain
from mixedfx.glmm.zero_inflation import Both, singularities
from mixedfx.results import tables
from mixedfx.results.optimization import Optimization
from mixedfx.results.singularity import SingularityReport


@dataclass(frozen=True, eq=False, repr=False)
class ZeroInflatedState(AskedOfPairs):
    """Estimates of a zero-inflated model; `ZeroInflatedFit` says what the fields are."""

    both: Both
    solution: GlmmSolution
    call: Call | None = None

    @cached_property
    def stacked(self) -> GlmerFit:
        """The fit of the stacked design, whose rows are those of the engine (`mixedfx.glmm.pairs`)."""
        return GlmerFit(self.solution.design, self.solution)

    @property
    def design(self) -> Design:
        """The design of the counts."""
        return self.both.count

    @property
    def designs(self) -> tuple[Design, ...]:
        """Those of the counts and of the zeros."""
        return self.both.count, self.both.zero

    @property
    def formula(self) -> str:
        """The formula of the counts and that of the zeros."""
        return f"{self.both.count.formula}; zi {self.zi}"

    @property
    def zi(self) -> str:
        """The formula of the zeros, with its tilde."""
        return right_side(self.both.zero.formula)

    @property
    def name(self) -> str:
        """``"zero_inflated_poisson"``, ``"zero_inflated_negbinomial"`` or ``"zero_inflated_nbinom1"``."""
        return self.solution.model.family.name

    @property
    def family(self) -> Family:
        """The family of the counts."""
        own = self.solution.model.likelihood
        assert isinstance(own, PairLikelihood)
        return own.family.counts

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects of both parts, indexed by part and coefficient."""
        return pd.Series(self.solution.beta, index=zero_inflated_report.coefficients(self.both), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the fixed effects of both parts."""
        index = zero_inflated_report.coefficients(self.both)
        return pd.DataFrame(self.solution.vcov, index=index, columns=index)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances of the random effects, with their part; as `GlmerFit.varcorr`."""
        return zero_inflated_report.varcorr(self.both, self.solution)

    @property
    def ranef(self) -> dict[str, dict[str, pd.DataFrame]]:
        """Conditional modes of the random effects: part -> grouping factor -> table."""
        return zero_inflated_report.ranef(self.both, self.solution)

    @property
    def theta(self) -> pd.Series:
        """Parameters of the covariance factors."""
        return self.stacked.theta

    @property
    def auxiliary(self) -> pd.Series:
        """Estimated parameters of the counts besides their mean: shape or dispersion."""
        return self.stacked.auxiliary

    @property
    def vcov_full(self) -> pd.DataFrame:
        """Covariance of the fixed effects and the parameters of the counts."""
        return self.stacked.vcov_full

    @property
    def dispersion(self) -> pd.DataFrame | None:
        """As `GlmerFit.dispersion`."""
        return self.stacked.dispersion

    @property
    def nAGQ(self) -> int:
        """1: Laplace's approximation."""
        return self.solution.nAGQ

    @property
    def criterion(self) -> float:
        """-2 log likelihood by Laplace's approximation, all constants included."""
        return self.solution.criterion

    @property
    def loglik(self) -> float:
        """Log likelihood."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return len(self.solution.psi)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.both.count.y)

    @property
    def aic(self) -> float:
        """-2 log likelihood + 2 k."""
        return tables.aic(self.criterion, self.n_parameters)

    @property
    def bic(self) -> float:
        """-2 log likelihood + k log n."""
        return tables.bic(self.criterion, self.n_parameters, self.nobs)

    @property
    def optimization(self) -> Optimization:
        """Every step of the optimiser, why it stopped, and the certificate."""
        return self.solution.optimization

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a maximum of the likelihood."""
        return self.solution.optimization.converged

    @cached_property
    def singularities(self) -> dict[str, SingularityReport]:
        """Part -> directions in which its random effects do not vary."""
        return singularities(self.both, self.solution)

    @property
    def singular(self) -> bool:
        """Whether a variance of either part is zero or a correlation is one."""
        return any(report.singular for report in self.singularities.values())

    @cached_property
    def uncertain(self) -> GlmmUncertain:
        """What the fit does not know, worked out when it is first needed."""
        return GlmmUncertain(self.solution.design, self.solution)
