"""What a generalised linear mixed model fitted by maximum likelihood holds: estimates, rows, and their uncertainty.

`GlmerFit` (fit.py) adds the questions asked of a fit. Methods are one line; the work is done by functions of a design
and its estimates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.draws import Draws
from mixedfx.errors import MixedfxWarning, check_option
from mixedfx.families.family import Family
from mixedfx.glmm import prediction, questions, testing
from mixedfx.glmm.rows import ResidualKind, means, residual_values
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.glmm.uncertainty import GlmmUncertain, in_words
from mixedfx.inference.hypotheses import Reference
from mixedfx.inference.incomplete_rows import Na
from mixedfx.inference.normal_estimate import NormalEstimate
from mixedfx.inference.original_scale import PredictionKind
from mixedfx.results import tables
from mixedfx.results.protocol import UNCERTAINTIES, JointSample, NewLevels, Uncertainty
from mixedfx.results.singularity import SingularityReport, singularity
from mixedfx.results.undetermined import Undetermined

if TYPE_CHECKING:
    from mixedfx.glmm.call import Call
    from mixedfx.inference.full_estimate import FullEstimate
    from mixedfx.results.optimization import Optimization


@dataclass(frozen=True, eq=False, repr=False)
class GlmerState:
    """Estimates of a generalised linear mixed model.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them.
    call
        What the fit was made from, by reference, for `update`.
    """

    design: Design
    solution: GlmmSolution
    call: Call | None = None

    _answers: Uncertainty | None = field(default=None, init=False)

    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def family(self) -> Family:
        """Distribution of the response, with its link."""
        return self.solution.model.family

    @property
    def REML(self) -> bool:
        """False: a generalised linear mixed model is fitted by maximum likelihood."""
        return False

    @property
    def nAGQ(self) -> int:
        """Nodes of quadrature for each effect of a level; 1 is Laplace's approximation.

        ``fit.summary()`` says over which grouping factors.
        """
        return self.solution.nAGQ

    @property
    def fixef(self) -> pd.Series:
        """Estimated fixed effects, on the scale of the linear predictor, indexed by coefficient."""
        return pd.Series(self.solution.beta, index=list(self.design.fixed_names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) covariance of the estimated fixed effects, that theta is estimated included.

        The block of the inverse of the second derivatives of the log likelihood in all parameters, which are exact or
        differences of the exact gradient (`mixedfx.glmm.hessian`).
        """
        names = list(self.design.fixed_names)
        return pd.DataFrame(self.solution.vcov, index=names, columns=names)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Conditional modes of the random effects: grouping factor -> table of levels by effects."""
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, self.solution.u))

    @cached_property
    def ranef_cov(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (levels, k, k) conditional covariances about the modes, given beta and theta."""
        return tuple(self.solution.joint.conditional_covariances(t) for t in range(len(self.design.random)))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations about the modes, shaped as `ranef`; see `ranef_cov`."""
        sds = [np.sqrt(np.diagonal(c, axis1=1, axis2=2)) for c in self.ranef_cov]
        return tables.ranef_tables(self.design.random, sds)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances of the random effects: columns grp, var1, var2, vcov, sdcor.

        Of a gaussian response the residual standard deviation comes last.
        """
        return questions.varcorr(self.design, self.solution)

    @property
    def theta(self) -> pd.Series:
        """Parameters of the covariance factors, in lme4's order (lower triangles, column by column)."""
        return pd.Series(self.solution.theta, index=list(tables.theta_names(self.design.random)), name="theta")

    @property
    def auxiliary(self) -> pd.Series:
        """Estimated parameters of the family besides the mean.

        ``shape`` (gamma, negbinomial), ``sigma`` (gaussian, student), ``nu`` (student), ``phi`` (beta, beta_binomial),
        ``dispersion`` (nbinom1); thresholds of an ordered response by the categories on both sides, and coefficients of
        ``dispersion=`` as ``dispersion__term``.
        """
        return pd.Series(self.solution.auxiliary, name="auxiliary", dtype=float)

    @cached_property
    def vcov_full(self) -> pd.DataFrame:
        """(p + a, p + a) covariance of the fixed effects and the parameters of the family, as `auxiliary` has them.

        Thresholds of an ordered response and coefficients of ``dispersion=`` are among these.
        """
        names = [*self.design.fixed_names, *self.solution.model.likelihood.names]
        return pd.DataFrame(self.solution.full_covariance, index=names, columns=names)

    @cached_property
    def dispersion(self) -> pd.DataFrame | None:
        """Coefficients of the logarithm of the family's parameter that ``dispersion=`` models; None without a model.

        term, estimate, std_error, statistic, p_value, and ``ratio``, the parameter times as large for a unit.
        """
        found = questions.estimated_dispersion(self.design, self.solution)
        return None if found is None else tables.dispersion_table(found)

    @property
    def sigma(self) -> float:
        """Dispersion on the scale of a standard deviation: sigma (gaussian), shape^(-1/2) (gamma); 1 elsewhere."""
        return questions.sigma(self.solution)

    @property
    def criterion(self) -> float:
        """-2 log likelihood, all constants included, by Laplace's approximation or quadrature."""
        return self.solution.criterion

    @property
    def laplace_error(self) -> float:
        """What `criterion` lacks because the integral is approximated, in units of deviance, to second order.

        The exact -2 log L is about ``criterion + laplace_error``. Under 5 units it is good to some 20 %; a large one
        says that the approximation fails, and quadrature (`nAGQ`) or `mixedfx.bayes` should be used. NaN after
        quadrature, and of a fit by iteration. See `mixedfx.glmm.laplace_error`.
        """
        return self.solution.laplace_error

    @property
    def loglik(self) -> float:
        """Log likelihood."""
        return -self.criterion / 2

    @property
    def n_parameters(self) -> int:
        """Fixed effects, theta, and auxiliary parameters of the family: the k of AIC and BIC."""
        return len(self.solution.psi)

    @property
    def priors(self) -> pd.DataFrame:
        """Priors of the coefficients, as given and as used (parameter, given, used); empty of a maximum likelihood fit.

        With a prior the estimates are the maximum a posteriori, and `loglik`, without the prior, is below its maximum:
        AIC and BIC are NaN.
        """
        prior = self.solution.model.prior
        return pd.DataFrame([] if prior is None else prior.described, columns=["parameter", "given", "used"])

    @property
    def aic(self) -> float:
        """-2 log likelihood + 2 k; NaN where coefficients have a prior."""
        return tables.aic(self.criterion, self.n_parameters) if self.solution.model.prior is None else float("nan")

    @property
    def bic(self) -> float:
        """-2 log likelihood + k log n; NaN where coefficients have a prior."""
        if self.solution.model.prior is not None:
            return float("nan")
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
        """Monte Carlo errors of the estimates of a fit by iteration; None where they are exact.

        grp (``(fixed)`` of coefficients, ``(family)`` of parameters of the family), var1, std_error (by the average
        information), monte_carlo_error, and `share`, their ratio. Probes are added until no share is above that of
        ``control={"monte_carlo": 0.02}``.
        """
        found = self.solution.monte_carlo
        return None if found is None else found.to_frame()

    @property
    def converged(self) -> bool:
        """Whether the optimiser certified a maximum of the likelihood."""
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
    def posterior(self) -> bool:
        """False: it has estimates and standard errors."""
        return False

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """Empty: what speaks against an estimate is said when it is fitted."""
        return ()

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return in_words(self.design, self._answers, self.solution.iterative)

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The same fit, answering linear questions with all its uncertainty or with that given theta-hat.

        Parameters
        ----------
        uncertainty
            ``"full"``: `apply`, `draws`, `joint_sample` and `expected` include that theta (and what else the family
            has) is estimated; see `mixedfx.inference.full_estimate` for the rule and `mixedfx.glmm.theta_density` for
            the prior. ``"given theta"``: they take it as known, and so does `predict`, which includes it otherwise.

        Returns
        -------
        GlmerFit
            For ``mx.effects`` and the like.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> row = fit.design_for(course.iloc[:1])
        >>> full, given = (fit.with_uncertainty(u).apply(row) for u in ("full", "given theta"))
        >>> bool(1 < full.sd[0] / given.sd[0] < 1.2)
        True
        """
        check_option("uncertainty", uncertainty, UNCERTAINTIES)
        return self._views[uncertainty]

    @cached_property
    def _views(self) -> dict[str, Self]:
        """The fit by what it answers with; the views share whatever is worked out for one of them."""
        views = {answers: replace(self) for answers in UNCERTAINTIES}
        for answers, view in views.items():
            view.__dict__.update(_answers=answers, _views=views, uncertain=self.uncertain)
        return views

    @cached_property
    def uncertain(self) -> GlmmUncertain:
        """What the fit does not know, worked out when it is first needed."""
        return GlmmUncertain(self.design, self.solution)

    @property
    def usual_ddf(self) -> Literal["normal"]:
        """Degrees of freedom of tests where none are asked for: infinite, z and chi square."""
        return "normal"

    def reference(self, ddf: Any = "normal", vcov: Any = None) -> Reference:
        """Covariance of the fixed effects, referred to the normal distribution.

        `vcov`, what `GlmerFit.vcov_robust` returns or a (p, p) table or matrix, takes the place of the fit's.

        Raises
        ------
        OptionError
            For other degrees of freedom, which a generalised linear mixed model does not have.
        """
        return testing.reference(self.design, self.solution, ddf, vcov)

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit.

        `mixedfx.design.rows.functional_for` says what becomes of unseen levels and of absent grouping columns.
        """
        return functional_for(self.design, newdata, new_levels)

    @property
    def covariance_factors(self) -> tuple[NDArray[np.float64], ...]:
        """For each random term (1, k, k) a lower factor of the covariance of a level's effects."""
        return tuple(factor[None] for factor in self.solution.factors)

    def apply(self, functional: Functional) -> NormalEstimate | FullEstimate | Undetermined:
        """Estimate linear functionals of (beta, u), on the scale of the linear predictor.

        Mean, covariance and draws are those of a normal distribution about the modes (see `mixedfx.glmm.joint`), with
        theta at its estimate; ``fit.with_uncertainty("full").apply(...)`` includes that it is estimated, as
        `mx.effects` does.

        Parameters
        ----------
        functional
            s rows, from `design_for` and its `combine`.

        Examples
        --------
        The mean logit over all rows, with its standard error:

        >>> import numpy as np
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> found = fit.apply(fit.design_for().combine(np.full((1, fit.nobs), 1 / fit.nobs)))
        >>> found.mean.round(1), found.sd.round(1)
        (array([0.5]), array([0.1]))
        """
        return self.uncertain.apply(functional, self._answers)

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Draws of the mean response of rows; of binomial responses the probability of a success.

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
        return means(self.solution, found if chosen is None else found[chosen])

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of (beta, u) about their estimates, theta at its own.

        Those of ``fit.with_uncertainty("full")`` include that theta is estimated.

        Parameters
        ----------
        n
            Number of draws; 1,000 where None.
        seed
            Seed of the random numbers.

        Returns
        -------
        Draws
            One chain of n draws, keys ``("beta", name)``, ``("u", group, level, column)``, and ``(name,)`` of the
            family's other parameters, which stay at their estimates too.
        """
        return self.uncertain.draws(n, seed, self._answers)

    def joint_sample(self, n: int, seed: int | None = None, about_estimate: bool = True) -> JointSample:
        """Joint draws of (beta, u), covariance factors and the family's parameters.

        Parameters
        ----------
        n, seed
            How many, and the seed of the random numbers.
        about_estimate
            Whether draws of (beta, u) are about the estimates, where theta's uncertainty is included.
        """
        return self.uncertain.sample(n, np.random.default_rng(seed), self._answers, about_estimate)

    @property
    def fitted(self) -> pd.Series | pd.DataFrame:
        """(n,) mean responses, random effects at their modes; of binomial responses the probability of a success.

        The index is the row's position in the data. Of an ordered response the probability of each category, a column
        each.
        """
        return questions.mean_table(
            self.design, means(self.solution, self.solution.eta), "fitted", self.design.frame.index
        )

    def residuals(self, kind: ResidualKind = "response") -> pd.Series:
        """Residuals around the fitted means, random effects included.

        Parameters
        ----------
        kind
            ``"response"``: response (of binomial ones the share of successes) minus mean. ``"pearson"``: divided by the
            standard deviation that the family gives the mean, its dispersion left out as R does. ``"deviance"``: the
            signed root of what the row adds to the deviance. ``"working"``: in units of the linear predictor.

        Returns
        -------
        Series
            (n,) residuals; the index is the row's position in the data.
        """
        values = residual_values(self.design, self.solution, kind)
        return pd.Series(values, index=self.design.frame.index, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average", "integrate"] = "fitted",
        seed: int | None = None,
        *,
        kind: PredictionKind = "response",
        se: bool = False,
        interval: Literal["confidence", "prediction"] | None = None,
        level: float = 0.95,
        weights: Any = None,
        back_transform: bool = False,
        bias_adjust: bool = False,
        na: Na = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Predicted means, linear predictors or new responses.

        Parameters
        ----------
        newdata
            Any frame narwhals understands, a lazy one too; the data of the fit where None. Offsets written in the
            formula, or given as a column, are taken from it.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen. ``"error"``: raise. ``"population"``:
            their effects are 0. ``"sample"``: each gets effects drawn from the population.
        groups
            ``"fitted"``: with the modes of the groups. ``"average"``: with all random effects at 0, as in an average
            group. ``"integrate"``: the mean over the population of groups, by quadrature; with ``kind="predictive"`` a
            new response in a new group. Off the identity link the last two differ: see `mixedfx.effects`.
        seed
            Seed of draws; new responses, and intervals over the population, have the same ones in every call where
            None.
        kind
            ``"response"``: the mean of the response given the groups; of binomial responses the probability of a
            success. ``"link"``: the linear predictor (over the population the link of the mean). ``"predictive"``: a
            new response, a table from 1,000 draws.
        se
            Whether to give standard errors (and the intervals that belong to them).
        interval
            ``"confidence"``: for the mean. ``"prediction"``: for a new response. Either gives a table.
        level
            Level of the intervals.
        weights
            Precision weights of the rows, for new gaussian responses; as in `LmerFit.predict`.
        back_transform, bias_adjust
            Of a transformed response, as in `LmerFit.predict`.
        na
            What becomes of new rows that lack a value the prediction needs: ``"pass"``: they are predicted as NaN, and
            the others as if these were not there; ``"raise"``: they are refused.

        Returns
        -------
        Series or DataFrame
            One prediction for each row, indexed as `newdata` if that is a pandas frame; or a table with estimate, se,
            lower and upper. Intervals of means are those of the linear predictor taken through the inverse link, and
            standard errors there the delta method's; over the population they are those of joint draws. They include
            that theta is estimated; those of ``fit.with_uncertainty("given theta").predict(...)`` do not, nor do
            those of a fit by iteration.

        Raises
        ------
        UnseenLevelError
            For an unseen level in the fixed part, or in a grouping factor where ``new_levels="error"``.
        DataError
            New data without a column that the model needs.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> course["passed"] = (course["score"] > 60).astype(int)
        >>> fit = mx.glmer("passed ~ style + (1 | professor)", course, family="bernoulli")
        >>> fit.predict(course.iloc[[0, 99]], interval="confidence").round(1)
            estimate   se  lower  upper
        0        0.9  0.0    0.8    1.0
        99       0.7  0.1    0.5    0.8

        Students of professors at large, who pass less often than those of an average professor:

        >>> fit.predict(course.iloc[[0]], groups="integrate").round(2).tolist()
        [0.78]
        >>> fit.predict(course.iloc[[0]], groups="average").round(2).tolist()
        [0.81]
        """
        return prediction.predict(
            self.uncertain, newdata, new_levels, groups, seed, kind=kind, se=se, interval=interval,
            level=level, uncertainty=self._answers or "full", weights=weights, back_transform=back_transform,
            bias_adjust=bias_adjust, na=na,
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
            False: every group gets new effects from their population. True: the groups keep their modes.
        newdata
            Rows to simulate responses for, any frame that holds the grouping columns; those of the fit where None.
            Rows of one group share its effects; groups that the fit has not seen get effects from their population
            under either `use_u`.
        weights
            Precision weights of new rows, as `predict` takes them.

        Returns
        -------
        DataFrame
            (nobs, n), a column for each simulation; of binomial responses numbers of successes.
        """
        return prediction.simulate(self.design, self.solution, n, seed, use_u, newdata, weights)
