"""What a linear mixed model with sampling weights holds: estimates, what is known of rows, how well."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.errors import OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.inference.normal_estimate import new_level_root
from mixedfx.inference.predictor import fitted_values
from mixedfx.results import tables
from mixedfx.results.optimization import Optimization
from mixedfx.results.protocol import NewLevels, Uncertainty
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.undetermined import determined
from mixedfx.surveys.answer import SampleEstimate
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.modes import Modes
from mixedfx.surveys.options import ROW, SamplingWeights
from mixedfx.surveys.solution import Spread
from mixedfx.surveys.weights import SampleWeights

Array = NDArray[np.float64]


class SampleSolution(Protocol):
    """What estimates of any family have; see `mixedfx.surveys.solution.WeightedSolution`."""

    @property
    def beta(self) -> Array:
        """(p,) coefficients."""
        ...

    @property
    def sigma(self) -> float:
        """Residual standard deviation, or the root of the family's dispersion."""
        ...

    @property
    def criterion(self) -> float:
        """-2 log pseudo likelihood."""
        ...

    @property
    def factors(self) -> tuple[Array, ...]:
        """For each random term its (k, k) factor T."""
        ...

    @property
    def bases(self) -> tuple[Array, ...]:
        """For each random term the triangle of the columns used."""
        ...

    @property
    def theta(self) -> Array:
        """(r,) parameters as users read them."""
        ...

    @property
    def asked(self) -> SamplingWeights:
        """What the user said of the sample."""
        ...

    @property
    def weights(self) -> SampleWeights:
        """Conditional and overall weights."""
        ...

    @property
    def spread(self) -> Spread:
        """Covariance of the estimates."""
        ...

    @property
    def optimization(self) -> Optimization:
        """The course of the optimiser."""
        ...

    @property
    def modes(self) -> Modes:
        """Random effects."""
        ...

    @property
    def certified(self) -> NDArray[np.bool_] | None:
        """(R,) which refits with replicate weights are certified; None where there are none."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class WeightedState:
    """Estimates of a linear mixed model with sampling weights.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, their covariance by the sample, and the weights.
    call
        What the fit was made from, by reference, for `update`.
    """

    design: Design
    solution: SampleSolution
    call: WeightedCall | None = None

    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def REML(self) -> bool:
        """False: pseudo maximum likelihood."""
        return False

    @property
    def fixef(self) -> pd.Series:
        """Estimated fixed effects, indexed by coefficient."""
        return pd.Series(self.solution.beta, index=list(self.design.fixed_names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance of the fixed effects by the sample: linearised, or of the replicate estimates."""
        names = list(self.design.fixed_names)
        return pd.DataFrame(self.solution.spread.beta, index=names, columns=names)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Modes of the random effects: grouping factor -> table of levels by effects."""
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, self.solution.modes.u))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the modes given beta, theta and sigma, shaped as `ranef`."""
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, self.solution.modes.sds))

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor, se_vcov, se_sdcor; Residual last.

        se_vcov is the standard error of a variance or covariance, se_sdcor of a standard deviation or correlation; NaN
        where a variance is estimated at zero or a correlation at one.
        """
        spread = self.solution.spread
        table = tables.varcorr_table(self.design.random, self.solution.factors, self.sigma)
        return table.assign(se_vcov=spread.variances, se_sdcor=spread.roots)

    @property
    def theta(self) -> pd.Series:
        """Parameters of the relative covariance factors, in lme4's order (lower triangles, column by column)."""
        return pd.Series(self.solution.theta, index=list(tables.theta_names(self.design.random)), name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self.solution.sigma

    @property
    def scale(self) -> float:
        """What standard deviations of random effects are relative to in `theta`: sigma."""
        return self.sigma

    @property
    def criterion(self) -> float:
        """-2 log pseudo likelihood, of the weights as scaled; not to be compared between fits."""
        return self.solution.criterion

    @property
    def loglik(self) -> float:
        """Log pseudo likelihood."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Fixed effects, theta and sigma."""
        return len(self.solution.beta) + len(self.solution.theta) + 1

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return tables.group_sizes(self.design)

    @property
    def df(self) -> float:
        """Degrees of freedom of the sample: primary sampling units less strata, or replicates less one."""
        return float(self.solution.spread.df)

    @property
    def design_effects(self) -> pd.DataFrame:
        """Kish's design effects of unequal weights: level, n, smallest, largest, design_effect, effective_n.

        Of the overall weights of rows, and of the units of each grouping factor.
        """
        return self.solution.weights.design_effects()

    @property
    def optimization(self) -> Optimization:
        """Every step of the optimiser, why it stopped, and the certificate."""
        return self.solution.optimization

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a maximum."""
        return self.solution.optimization.converged

    @cached_property
    def singularity(self) -> SingularityReport:
        """Directions in which the random effects do not vary, and the smaller formula to try."""
        return singularity(self.design, self.solution.factors, self.solution.bases)

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation is one."""
        return self.singularity.singular

    @property
    def family(self) -> Family:
        """Distribution of the response: normal, its mean the linear predictor itself."""
        return gaussian()

    @property
    def family_parameters(self) -> dict[str, float]:
        """Parameters that draws list at their estimates: none of a linear model, as of `LmerFit`."""
        return {}

    @property
    def posterior(self) -> bool:
        """False: it has estimates, standard errors and degrees of freedom."""
        return False

    @property
    def concerns(self) -> tuple[()]:
        """Empty: what speaks against an estimate is said when it is fitted."""
        return ()

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        row = self.solution.asked.weights.get(ROW)
        people = f"weights={row!r}" if isinstance(row, str) else "weights="
        return (
            f"Intervals are by the sample: {self.solution.spread.words}. Fixed effects include that variances are "
            f"estimated; random effects take them as known. Averages over rows count each once, unless {people} says "
            "how many people it stands for."
        )

    def with_uncertainty(self, uncertainty: Uncertainty) -> WeightedState:
        """The same fit: there is one uncertainty, that of the sample (``"full"``)."""
        check_option("uncertainty", uncertainty, ("full", "given theta"))
        if uncertainty != "full":
            raise OptionError(
                "standard errors by a sample have no form given theta", hint='Leave uncertainty= at "full".'
            )
        return self

    @property
    def sample_words(self) -> str:
        """What standard errors rest on: sampling units and strata, or replicates, and their degrees of freedom."""
        return self.solution.spread.words

    @property
    def usual_ddf(self) -> str:
        """Degrees of freedom of tests where none are asked for."""
        return "sample"

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit."""
        return functional_for(self.design, newdata, new_levels)

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (1, k, k) a lower factor of the covariance of a level's effects."""
        return tuple(self.scale * factor[None] for factor in self.solution.factors)

    def apply(self, functional: Functional) -> Any:
        """Estimate linear functionals of (beta, u), with t intervals by the sample's degrees of freedom."""
        solution = self.solution
        mean = functional.fixed @ solution.beta + functional.random @ solution.modes.u + functional.offset
        root = new_level_root(functional.new_levels, solution.factors, self.scale)
        return determined(SampleEstimate(functional, mean, solution.modes, root, self.df), functional)

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
        """(D, m) draws of the mean response of rows, those of `apply`; `chosen` are numbers of draws."""
        found = self.apply(functional).draws(seed=0)
        return found if chosen is None else found[chosen]

    @cached_property
    def _fitted(self) -> Array:
        return fitted_values(self.design, self.solution.beta, self.solution.modes.u)

    @property
    def fitted(self) -> pd.Series:
        """(n,) X beta + offset + Z u; the index is the row's position in the data."""
        return pd.Series(self._fitted.copy(), index=self.design.frame.index, name="fitted")

    def residuals(self, kind: str = "response") -> pd.Series:
        """(n,) residuals around the fitted values, random effects included.

        Parameters
        ----------
        kind
            ``"response"``: y minus fitted. ``"pearson"``: times the root of the precision weight (`weights=`), as
            `LmerFit.residuals` has it.
        """
        check_option("kind", kind, ("response", "pearson"))
        values = self.design.y - self._fitted
        if kind == "pearson" and self.design.weights is not None:
            values = values * np.sqrt(self.design.weights)
        return pd.Series(values, index=self.design.frame.index, name="residual")
