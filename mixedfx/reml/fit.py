"""LmerFit: a linear mixed model fitted by REML or ML. State only; the work is done by functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.errors import check_option
from mixedfx.reml.estimate import RemlEstimate, estimate
from mixedfx.reml.rows import ResidualKind, draw_effects, fitted_values, residual_values, simulate_responses
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.summary import lmm_summary

if TYPE_CHECKING:
    from mixedfx.reml.least_squares import LeastSquares
    from mixedfx.reml.optimization import Optimization
    from mixedfx.reml.refit import Refits
    from mixedfx.reml.solve import RemlSolution
    from mixedfx.reml.update import Call
    from mixedfx.results.render import SummaryContent

THETA_GIVEN = (
    "Given the estimated variances: the uncertainty of the fixed effects, the random effects and unseen levels is "
    "included, that of theta and sigma is left out."
)


@dataclass(frozen=True, eq=False, repr=False)
class LmerFit:
    """A fitted linear mixed model, as `mixedfx.lmer` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them; `LeastSquares` where the formula has no random term.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> fit
    <LmerFit score ~ 1 + style + (1 | professor): REML criterion 2760.01, 375 rows, professor 15>
    >>> fit.ranef["professor"].head(2).round(2)
               Intercept
    professor
    A               6.06
    B             -11.83
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
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return THETA_GIVEN

    @cached_property
    def _fitted(self) -> NDArray[np.float64]:
        return fitted_values(self.design, self.solution.beta, self.solution.u)

    @property
    def fitted(self) -> pd.Series:
        """(n,) X beta + offset + Z u; the index is the row's position in the data."""
        return pd.Series(self._fitted.copy(), index=self.design.frame.index, name="fitted")

    def residuals(self, kind: ResidualKind = "response") -> pd.Series:
        """Residuals around the fitted values, random effects included.

        Parameters
        ----------
        kind
            ``"response"``: y minus fitted. ``"pearson"``: times the root of the weight. ``"scaled"``: divided by
            sigma too.

        Returns
        -------
        Series
            (n,) residuals, in the units of the response unless scaled; the index is the row's position in the data.
        """
        values = residual_values(self.design, self._fitted, self.sigma, kind)
        return pd.Series(values, index=self.design.frame.index, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        seed: int | None = None,
    ) -> pd.Series:
        """Predicted responses.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen. ``"error"``: raise. ``"population"``:
            their effects are 0, the population mean. ``"sample"``: each gets effects drawn from the population.
        groups
            ``"fitted"``: with the estimated effects of the groups. ``"average"``: with all random effects at 0.
        seed
            Seed of the draws of ``new_levels="sample"``.

        Returns
        -------
        Series
            One prediction for each row, in the units of the response; indexed as `newdata` if that is a pandas frame.

        Raises
        ------
        UnseenLevelError
            For an unseen level in the fixed part, or in a grouping factor where ``new_levels="error"``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> new = mx.datasets.load("flipped_classroom").iloc[[0]].assign(professor="Z")
        >>> fit.predict(new, new_levels="population").round(1).tolist()
        [67.2]
        """
        check_option("groups", groups, ("fitted", "average"))
        rows = self.design_for(newdata, "population" if groups == "average" else new_levels)
        if groups == "average":
            rows = replace(rows, random=0 * rows.random)
        found = self.apply(rows)
        mean = found.mean + found.unseen_draws(1, np.random.default_rng(seed))[0]
        index = self.design.frame.index if newdata is None else getattr(newdata, "index", None)
        usable = isinstance(index, pd.Index) and len(index) == len(mean)
        return pd.Series(mean, index=index if usable else None, name="predicted")

    def simulate(self, n: int = 1, seed: int | None = None, use_u: bool = False) -> pd.DataFrame:
        """Simulate new responses for the rows of the fit.

        Parameters
        ----------
        n
            Number of simulated responses.
        seed
            Seed of the random numbers.
        use_u
            False: every group gets new effects drawn from N(0, sigma^2 T T'): new data from the same population of
            groups, what a parametric bootstrap needs. True: the groups keep their estimated effects and only
            residuals are new.

        Returns
        -------
        DataFrame
            (nobs, n), a column for each simulation; on the scale of the left side of the formula.
        """
        rng = np.random.default_rng(seed)
        fit = self.solution
        u = np.tile(fit.u, (n, 1)) if use_u else draw_effects(self.design, fit.factors, fit.sigma, n, rng)
        return pd.DataFrame(
            simulate_responses(self.design, fit.beta, u, fit.sigma, rng).T, index=self.design.frame.index
        )

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit.

        `mixedfx.design.rows.functional_for` says what becomes of unseen levels and of absent grouping columns.
        """
        from mixedfx.design.rows import functional_for

        return functional_for(self.design, newdata, new_levels)

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

    def refit(self, y: NDArray[np.float64]) -> LmerFit:
        """The same model fitted to another response, (n,) values for the rows of the design; see `refits` for many."""
        from mixedfx.reml.refit import refit

        return refit(self, y)

    def refits(self, Y: NDArray[np.float64] | pd.DataFrame) -> Refits:
        """Estimates for each column of `Y` (n, B), reusing the design and its cross-products; see `Refits`."""
        from mixedfx.reml.refit import refits

        return refits(self, Y)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> LmerFit:
        """Fit again with some arguments of `mixedfx.lmer` changed.

        Parameters
        ----------
        formula
            A change such as ``". ~ . + x - (1 | g)"``, where a dot stands for what was there; None keeps the formula.
        data
            New data; None keeps the data of the fit, which are held by reference.
        **changes
            REML, weights, offset, na, contrasts, env.
        """
        from mixedfx.reml.update import update

        return update(self, formula, data, **changes)

    def tidy(
        self,
        effects: tables.Effects = "fixed",
        ddf: tables.DegreesOfFreedom | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Estimates as a tidy table in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations and correlations. ``"ran_vals"``: the
            conditional modes with their conditional standard deviations.
        ddf
            Degrees of freedom of t. None: unknown, so df, p values and intervals are NaN. ``"residual"``: n - p for
            every coefficient. ``"normal"``: infinite. The last two are anti-conservative where there are few groups.
        level
            Confidence level.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high; random effects begin with group (and
            level).
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        df = tables.degrees_of_freedom(ddf, self.nobs - len(self.solution.beta))
        if effects == "fixed":
            fit = self.solution
            return tables.fixed_table(self.design.fixed_names, fit.beta, fit.vcov, df, level)
        if effects == "ran_pars":
            return tables.ran_pars_table(self.varcorr)
        return tables.ran_vals_table(self.ranef, self.ranef_sd, df, level)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, logLik, AIC, BIC, REMLcrit or deviance, df_residual, converged, singular."""
        return tables.glance_table(
            nobs=self.nobs,
            n_parameters=self.n_parameters,
            sigma=self.sigma,
            criterion=self.criterion,
            REML=self.REML,
            converged=self.converged,
            singular=self.singular,
        )

    def summary(self, ddf: tables.DegreesOfFreedom | None = None) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        course = self.optimization
        return lmm_summary(
            self.design,
            REML=self.REML,
            criterion=self.criterion,
            n_parameters=self.n_parameters,
            fixed=self.tidy(ddf=ddf),
            varcorr=self.varcorr,
            scaled_residuals=self.residuals("scaled").to_numpy(),
            convergence=f"{course.message} ({course.evaluations} evaluations)"
            if course.evaluations
            else course.message,
            singularity=self.singularity,
        )

    def __repr__(self) -> str:
        kind = f"{'REML criterion' if self.REML else '-2 log L'} {self.criterion:.2f}"
        groups = "".join(f", {label} {n}" for label, n in self.ngroups.items())
        return f"<LmerFit {self.formula}: {kind}, {self.nobs} rows{groups}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
