"""What a linear mixed model fitted by REML or ML holds: estimates, what is known of rows, and with what uncertainty.

`LmerFit` (fit.py) adds the questions asked of a fit. Two classes instead of one, since their docstrings are longer than
one file should be, and so that functions that answer questions have a class below them to name. Methods are one line;
the work is done by functions of a design and its estimates.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.draws import Draws
from mixedfx.errors import check_option
from mixedfx.families.family import Family
from mixedfx.families.location import gaussian
from mixedfx.inference.degrees_of_freedom import Ddf
from mixedfx.inference.hypotheses import Reference
from mixedfx.inference.incomplete_rows import Na
from mixedfx.inference.normal_estimate import NormalEstimate
from mixedfx.inference.original_scale import PredictionKind
from mixedfx.inference.predictor import fitted_values
from mixedfx.reml import prediction
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.predictive import IntervalKind, Source
from mixedfx.reml.rows import ResidualKind
from mixedfx.reml.solution import Solution, n_parameters
from mixedfx.reml.testing import Vcov
from mixedfx.reml.uncertainty import Uncertain, in_words
from mixedfx.results import tables
from mixedfx.results.protocol import UNCERTAINTIES, NewLevels, Uncertainty
from mixedfx.results.singularity import SingularityReport, singularity

if TYPE_CHECKING:
    from mixedfx.inference.full_estimate import FullEstimate
    from mixedfx.reml.call import Call
    from mixedfx.results.optimization import Optimization


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
    solution: Solution
    call: Call | None = None
    # What `apply` and `draws` answer with, where `with_uncertainty` was asked; else given theta.
    _answers: Uncertainty | None = field(default=None, init=False)

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
        residual = self.design.sigma is None
        return tables.varcorr_table(self.design.random, self.solution.factors, self.sigma, residual)

    @property
    def dispersion(self) -> pd.DataFrame | None:
        """Coefficients of the logarithm of the residual standard deviation beside log sigma; None without a model.

        term, estimate, std_error, statistic and p_value (normal), and `ratio`, exp(estimate): how many times as large
        the standard deviation is.
        """
        return None if self.design.dispersion is None else tables.dispersion_table(self.design.dispersion)

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
        """Fixed effects, theta, and sigma unless it is known: the k of AIC and BIC."""
        return n_parameters(self.design, self.solution)

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
        return tables.group_sizes(self.design)

    @property
    def optimization(self) -> Optimization:
        """Every step of the optimiser, why it stopped, and the certificate."""
        return self.solution.optimization

    @property
    def monte_carlo(self) -> pd.DataFrame | None:
        """Monte Carlo errors of the standard deviations of a fit by iteration; None where estimates are exact.

        grp, var1, std_error (by the average information), monte_carlo_error, and `share`, their ratio. Probes are added
        until no share is above that of ``control={"monte_carlo": 0.02}``.
        """
        found = None if isinstance(self.solution, LeastSquares) else self.solution.monte_carlo
        return None if found is None else found.to_frame()

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a minimum."""
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
    def posterior(self) -> bool:
        """False: it has estimates, standard errors and degrees of freedom."""
        return False

    @property
    def concerns(self) -> tuple[()]:
        """Empty: what speaks against an estimate is said when it is fitted, and by `check`."""
        return ()

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return in_words(self.design, self._answers, self.uncertain.iterative)

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The same fit, answering linear questions with all its uncertainty or with that given theta-hat.

        Parameters
        ----------
        uncertainty
            ``"full"``: `apply`, `draws` and `expected` include that theta and sigma are estimated; see
            `mixedfx.inference.full_estimate` for the rule. ``"given theta"``: they take them as known.

        Returns
        -------
        LmerFit
            For ``mx.effects`` and the like. Tables, tests and predictions are those of this fit.

        Examples
        --------
        With 15 professors the standard error of one professor's mean grows by a few percent:

        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> row = fit.design_for(fit.design.frame.iloc[:1])
        >>> full, given = (fit.with_uncertainty(u).apply(row) for u in ("full", "given theta"))
        >>> bool(1 < full.sd[0] / given.sd[0] < 1.05)
        True
        """
        check_option("uncertainty", uncertainty, UNCERTAINTIES)
        return self._views[uncertainty]

    @cached_property
    def _views(self) -> dict[str, Self]:
        """The fit by what it answers with; the views share whatever is worked out for one of them."""
        views = {answers: replace(self) for answers in UNCERTAINTIES}
        for answers, view in views.items():
            view.__dict__.update(_answers=answers, _views=views, uncertain=self.uncertain, singularity=self.singularity)
        return views

    @cached_property
    def uncertain(self) -> Uncertain:
        """What the fit does not know, each piece worked out when it is first needed."""
        return Uncertain(self.design, self.solution)

    @property
    def usual_ddf(self) -> Ddf:
        """Degrees of freedom of tests where none are asked for."""
        return "satterthwaite"

    def reference(self, ddf: Ddf | None = "satterthwaite", vcov: Vcov | None = None) -> Reference:
        """Covariance of the fixed effects with its degrees of freedom: ``vcov``, ``t_df(C)``, ``f_test(L, d)``.

        All tests go through it. Satterthwaite's and Kenward and Roger's pieces are computed once for each fit.

        Parameters
        ----------
        ddf, vcov
            As in `tidy`.
        """
        return self.uncertain.reference(ddf, vcov)

    def full_estimate(self, functional: Functional, **parts: Any) -> FullEstimate:
        """Linear functionals with the uncertainty of theta and sigma; `parts` as `FullEstimate` has them."""
        return self.uncertain.full(functional, **parts)

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit.

        `mixedfx.design.rows.functional_for` says what becomes of unseen levels and of absent grouping columns.
        """
        return functional_for(self.design, newdata, new_levels)

    @property
    def covariance_factors(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (1, k, k) a lower factor of the covariance of a level's effects."""
        return tuple(self.sigma * factor[None] for factor in self.solution.factors)

    def apply(self, functional: Functional) -> NormalEstimate | FullEstimate:
        """Estimate linear functionals of (beta, u).

        Mean, covariance and draws are exact given theta-hat and sigma-hat; nothing is computed before it is asked for,
        and the cost is that of the s rows, never of a (q, q) inverse. ``fit.with_uncertainty("full").apply(...)``
        includes that theta and sigma are estimated, as `mx.effects` does.

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
        (array([64.07]), array([0.46]))
        """
        return self.uncertain.apply(functional, self._answers)

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
            (D, m) draws, given theta-hat as those of `apply` are.
        """
        found = self.apply(functional).draws(seed=0)
        return found if chosen is None else found[chosen]

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of (beta, u) around their estimates.

        The draws hold theta and sigma at their estimates: the uncertainty of the variances is left out, so intervals
        from few groups are too narrow. Those of ``fit.with_uncertainty("full")`` include it: each comes from a node of
        theta and sigma that is chosen by its weight, and their means are the estimates. So do draws of a posterior.

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
        return self.uncertain.draws(n, seed, self._answers)

    @cached_property
    def _fitted(self) -> NDArray[np.float64]:
        return self.fitted.to_numpy() if not self.design.held else fitted_values(self.design, *self._effects)

    @property
    def _effects(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.solution.beta, self.solution.u

    @property
    def fitted(self) -> pd.Series:
        """(n,) X beta + offset + Z u; the index is the row's position in the data."""
        if not self.design.held:
            return prediction.fitted_streamed(self.design, self.solution)
        return pd.Series(self._fitted.copy(), index=self.design.frame.index, name="fitted")

    def residuals(self, kind: ResidualKind = "response", *, to: str | Path | None = None) -> Any:
        """Residuals around the fitted values, random effects included.

        Parameters
        ----------
        kind
            ``"response"``: y minus fitted. ``"pearson"``: times the root of the weight. ``"scaled"``: divided by
            sigma too. ``"standardized"``: divided by their own standard deviation, sigma sqrt(1 - leverage).
            ``"marginal"``: y minus X beta and the offset. ``"marginal_standardized"``: those divided by their own
            standard deviation.
        to
            A Parquet file to write them to, beside the number of each row: batch by batch, where the fit does not hold
            its rows. It appears whole or not at all.

        Returns
        -------
        Series or Path
            (n,) residuals, in the units of the response unless scaled or standardised; the index is the row's position
            in the data. The file, where `to` names one.
        """
        return prediction.residuals(self.design, self.solution, kind, to)

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        seed: int | None = None,
        *,
        kind: PredictionKind = "response",
        se: bool = False,
        interval: IntervalKind | None = None,
        level: float = 0.95,
        uncertainty: Collection[Source] | None = None,
        weights: Any = None,
        back_transform: bool = False,
        bias_adjust: bool = False,
        na: Na = "pass",
        to: str | Path | None = None,
    ) -> Any:
        """Predicted responses, with standard errors and intervals where they are asked for.

        Parameters
        ----------
        newdata
            Any frame narwhals understands, a lazy one too; the data of the fit where None. With `to`, or as a path: any
            source that `mixedfx.lmer` takes, read batch by batch.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen. ``"error"``: raise. ``"population"``:
            their effects are 0, the population mean. ``"sample"``: each gets effects drawn from the population.
        groups
            ``"fitted"``: with the estimated effects of the groups. ``"average"``: with all random effects at 0.
        seed
            Seed of the draws of ``new_levels="sample"``.
        kind
            ``"response"``: the mean of the response. ``"link"``: the linear predictor, which it is. ``"predictive"``: a
            new response, the table of ``interval="prediction"``.
        se
            Whether to give standard errors (and the intervals that belong to them).
        interval
            ``"confidence"``: for the mean of the response given the groups. ``"prediction"``: for a new response.
            Either gives a table.
        level
            Level of the intervals.
        uncertainty
            What standard errors and intervals include: any of ``"beta"``, ``"u"`` (the random effects, those of unseen
            levels too where ``new_levels="sample"``), ``"theta"`` (that the variances are estimated), ``"residual"``.
            None: beta, u and theta, and for ``interval="prediction"`` the residual as well. Naming any gives a table.
        weights
            Precision weights of the rows, for the residual: values (a pandas Series is aligned with the index of
            `newdata`) or a column. None: those of the fit; for new rows the column that the fit was weighted by, and 1
            where they do not have it.
        back_transform
            Of a transformed response: whether predictions are in the units of the variable, days under ``log(days) ~
            ...``, by the inverse of the transformation (the median of a new response; intervals go through the inverse
            too). False: as modelled, log(days).
        bias_adjust
            With `back_transform`: predict the arithmetic mean of the variable, which takes the residual variance into
            account, instead of the median. Intervals for a mean are then those of that mean.
        na
            What becomes of new rows that lack a value the prediction needs: ``"pass"``: they are predicted as NaN, and
            the others as if these were not there; ``"raise"``: they are refused.
        to
            A Parquet file to write the predictions to, beside the number of each row from 0, batch by batch. It appears
            whole or not at all.

        Returns
        -------
        Series, DataFrame or Path
            The file, where `to` names one. Else one prediction for each row, in the units of the response as modelled,
            or of its variable; indexed as `newdata` if that is a pandas frame, or by the number of the row in a source.
            A table (estimate, se, lower, upper) where `se`, `interval` or `uncertainty` is given; its estimate is the
            mean, so unseen levels are at 0 and nothing is drawn. Intervals are those of `tidy` and `mixedfx.effects`
            for the same number: t with Satterthwaite's degrees of freedom where it holds fixed effects alone, averaged
            over nodes of theta where it holds random effects or the residual, normal where theta is left out.

        Raises
        ------
        UnseenLevelError
            For an unseen level in the fixed part, or in a grouping factor where ``new_levels="error"``.
        DataError
            New data without a column that the model needs; a fit whose ``offset=`` was given as numbers knows that of
            its own rows only.
        OptionError
            For a source of uncertainty or an interval that there is not.

        Warns
        -----
        UnweightedRowsWarning
            Where the residual of new rows is asked for, the fit is weighted, and nothing says the weights of the rows.
        NotEstimableWarning
            Where the data do not determine the mean of a row, such as one in a cell without rows; it is NaN.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
        >>> new = mx.datasets.load("flipped_classroom").iloc[[0]].assign(professor="Z")
        >>> fit.predict(new, new_levels="population").round(1).tolist()
        [62.4]
        >>> course = mx.datasets.load("flipped_classroom")
        >>> fit.predict(course.iloc[:2], interval="prediction").round(1)
           estimate   se  lower  upper
        0      59.0  9.1   41.1   76.8
        1      59.0  9.1   41.1   76.8

        A median and its interval, where the response was a logarithm:

        >>> fit = mx.lmer("log(score) ~ style + (1 | professor)", course)
        >>> fit.predict(course.iloc[:1], interval="prediction", back_transform=True).round(1)
           estimate   se  lower  upper
        0      58.4  8.9   43.4   78.7
        """
        return prediction.predict(
            self.uncertain, newdata, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level,
            uncertainty=uncertainty, weights=weights, back_transform=back_transform, bias_adjust=bias_adjust, na=na,
            to=to,
        )  # fmt: skip

    def simulate(
        self, n: int = 1, seed: int | None = None, use_u: bool = False, newdata: Any = None, *, weights: Any = None
    ) -> pd.DataFrame:  # fmt: skip
        """Simulate new responses for the rows of the fit, or for new ones.

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
        newdata
            Rows to simulate responses for, any frame that holds the grouping columns; those of the fit where None.
            Rows of one group share its effects; groups that the fit has not seen get effects from their population
            under either `use_u`.
        weights
            Precision weights of new rows, as `predict` takes them.

        Returns
        -------
        DataFrame
            (nobs, n), a column for each simulation; on the scale of the left side of the formula.
        """
        return prediction.simulate(self.design, self.solution, n, seed, use_u, newdata, weights)
