"""What a linear mixed model fitted by REML or ML holds, and the numbers it can be asked for.

`LmerFit` is put together from four rooms: the estimates (here), predictions (prediction.py), tests and intervals
(inference.py), and diagnostics (diagnostics.py). Each is a class that adds methods and no state to the one before; the
work is done by functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.families.continuous import gaussian
from mixedfx.families.family import Family
from mixedfx.reml.estimate import RemlEstimate, estimate
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels
from mixedfx.results.singularity import SingularityReport, singularity

if TYPE_CHECKING:
    from mixedfx.reml.least_squares import LeastSquares
    from mixedfx.reml.optimization import Optimization
    from mixedfx.reml.solve import RemlSolution
    from mixedfx.reml.update import Call

THETA_GIVEN = (
    "Given the estimated variances: the uncertainty of the fixed effects, the random effects and unseen levels is "
    "included, that of theta and sigma is left out."
)


@dataclass(frozen=True, eq=False, repr=False)
class LmerState:
    """Estimates of a linear mixed model.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them; `LeastSquares` where the formula has no random term.
    call
        What the fit was made from, by reference, for `update`.
    """

    design: Design
    solution: RemlSolution | LeastSquares
    call: Call | None = None

    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def REML(self) -> bool:
        """True for REML, False for maximum likelihood."""
        return self.solution.REML

    @property
    def fixef(self) -> pd.Series:
        """Estimated fixed effects, indexed by coefficient."""
        return pd.Series(self.solution.beta, index=list(self.design.fixed_names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance of the estimated fixed effects, sigma^2 (X' V^-1 X)^-1 given theta-hat."""
        names = list(self.design.fixed_names)
        return pd.DataFrame(self.solution.vcov, index=names, columns=names)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes (BLUPs) of the random effects: grouping factor -> table of levels by effects."""
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, self.solution.u))

    @cached_property
    def ranef_cov(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (levels, k, k) conditional covariances of the modes, given beta, theta and sigma.

        These are what lme4's ``ranef(condVar = TRUE)`` gives: the uncertainty of beta is left out. `apply` includes it.
        """
        return tuple(self.solution.joint.conditional_covariances(t) for t in range(len(self.design.random)))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the modes, shaped as `ranef`; see `ranef_cov`."""
        sds = [np.sqrt(np.diagonal(c, axis1=1, axis2=2)) for c in self.ranef_cov]
        return tables.ranef_tables(self.design.random, sds)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor; Residual last."""
        return tables.varcorr_table(self.design.random, self.solution.factors, self.solution.sigma)

    @property
    def theta(self) -> pd.Series:
        """Parameters of the relative covariance factors, in lme4's order (lower triangles, column by column)."""
        return pd.Series(self.solution.theta, index=list(tables.theta_names(self.design.random)), name="theta")

    @property
    def sigma(self) -> float:
        """Residual standard deviation; of a row with weight 1 where there are weights."""
        return self.solution.sigma

    @property
    def criterion(self) -> float:
        """REML criterion, or -2 log likelihood for an ML fit."""
        return self.solution.criterion

    @property
    def loglik(self) -> float:
        """Log likelihood; for REML the restricted one, minus half the criterion."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Fixed effects, theta and sigma: the k of AIC and BIC."""
        return len(self.solution.beta) + len(self.solution.theta) + 1

    @property
    def aic(self) -> float:
        """Criterion + 2 k; REML fits with different fixed parts cannot be compared by it."""
        return tables.aic(self.criterion, self.n_parameters)

    @property
    def bic(self) -> float:
        """Criterion + k log n; REML fits with different fixed parts cannot be compared by it."""
        return tables.bic(self.criterion, self.n_parameters, self.nobs)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return {term.label: term.n_levels for term in self.design.random}

    @property
    def optimization(self) -> Optimization:
        """Every step of the optimiser, why it stopped, and the certificate."""
        return self.solution.optimization

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a minimum."""
        return self.solution.optimization.converged

    @cached_property
    def singularity(self) -> SingularityReport:
        """Directions in which the random effects do not vary, and the smaller formula to try."""
        return singularity(self.design, self.solution.factors)

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation is one."""
        return self.singularity.singular

    @property
    def family(self) -> Family:
        """Distribution of the response: normal, its mean the linear predictor itself."""
        return gaussian()

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return THETA_GIVEN

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit.

        `mixedfx.design.rows.functional_for` says what becomes of unseen levels and of absent grouping columns.
        """
        from mixedfx.design.rows import functional_for

        return functional_for(self.design, newdata, new_levels)

    @property
    def covariance_factors(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (1, k, k) a lower factor of the covariance of a level's effects."""
        return tuple(self.sigma * factor[None] for factor in self.solution.factors)

    def apply(self, functional: Functional) -> RemlEstimate:
        """Estimate linear functionals of (beta, u).

        Mean, covariance and draws are exact given theta-hat and sigma-hat, see `uncertainty`; nothing is computed
        before it is asked for, and the cost is that of the s rows, never of a (q, q) inverse.

        Parameters
        ----------
        functional
            s rows, from `design_for` and its `combine`.

        Examples
        --------
        The mean over all rows, with its standard error:

        >>> import numpy as np
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> found = fit.apply(fit.design_for().combine(np.full((1, fit.nobs), 1 / fit.nobs)))
        >>> found.mean.round(2), found.sd.round(2)
        (array([63.03]), array([0.48]))
        """
        fit = self.solution
        return estimate(functional, fit.beta, fit.u, fit.factors, fit.sigma, fit.joint)

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Draws of the mean response of rows; the mean response of a linear mixed model is its linear predictor.

        Parameters
        ----------
        functional
            m rows, from `design_for`.
        chosen
            Numbers of the draws wanted; all 1,000 where None. They are the same in every call.

        Returns
        -------
        ndarray
            (D, m) draws given theta-hat; see `uncertainty`.
        """
        found = self.apply(functional).draws(seed=0)
        return found if chosen is None else found[chosen]

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of (beta, u) around their estimates.

        The draws hold theta and sigma at their estimates: the uncertainty of the variances is left out, so intervals
        from few groups are too narrow. A posterior fit includes it.

        Parameters
        ----------
        n
            Number of draws; 1,000 where None.
        seed
            Seed of the random numbers.

        Returns
        -------
        Draws
            One chain of n draws, keys ``("beta", name)`` and ``("u", group, level, column)``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> fit.draws(200, seed=1)["u", "professor", "A", "Intercept"].shape
        (1, 200)
        """
        beta, u = self.solution.joint.draw(1000 if n is None else n, np.random.default_rng(seed))
        return Draws(tables.draw_keys(self.design), np.concatenate([beta, u], axis=1)[None], THETA_GIVEN)
