"""PosteriorFit: what `mixedfx.bayes` returns, the record of a posterior with the questions that can be asked of it.

Methods are one line each; the work is done by functions of the record (posterior.py), in files by subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes import diagnose
from mixedfx.bayes.collapsed.collapsed import LogEvidence, evidence
from mixedfx.bayes.collapsed.engine import check_memory
from mixedfx.bayes.posterior import checking, criticism, estimates, prediction, reports, responses
from mixedfx.bayes.posterior.estimate import PosteriorEstimate, estimate
from mixedfx.bayes.posterior.logo import logo
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.bayes.posterior.rows import Rows
from mixedfx.bayes.posterior.storage import save
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.draws import Draws
from mixedfx.errors import MixedfxWarning, check_option
from mixedfx.inference.fit_report import fit_report
from mixedfx.inference.incomplete_rows import Na
from mixedfx.inference.original_scale import PredictionKind
from mixedfx.plots.picture import Picture
from mixedfx.progress import Asked
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels, Uncertainty
from mixedfx.results.undetermined import determined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.results.render import SummaryContent
    from mixedfx.sampling.coordinates import Variances
    from mixedfx.sampling.target import Target

Array = NDArray[np.float64]

__all__ = ["LogEvidence", "PosteriorFit"]


class PosteriorFit(Posterior):
    """The posterior of a multilevel model, as `mixedfx.bayes` returns it.

    Its fields are those of `mixedfx.bayes.posterior.posterior.Posterior`; its methods ask functions of that record.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), draws=1000, seed=1)
    >>> fit
    <PosteriorFit score ~ 1 + style + (1 | professor): 1000 draws, 375 rows, professor 15>
    """

    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def fixef(self) -> pd.Series:
        """Posterior means of the fixed effects, indexed by coefficient; for a categorical response after category."""
        index, beta = estimates.coefficients(self)
        return pd.Series(beta.mean(axis=0), index=index, name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) posterior covariance of the fixed effects."""
        return estimates.vcov(self)

    @property
    def ranef(self) -> dict[str, Any]:
        """Posterior means of the random effects: grouping factor -> table of levels by effects.

        For a categorical response the columns are labelled by category and effect.
        """
        return estimates.ranef_tables(self, lambda u: u.mean(axis=0))

    @property
    def ranef_sd(self) -> dict[str, Any]:
        """Posterior standard deviations of the random effects, shaped as `ranef`."""
        return estimates.ranef_tables(self, lambda u: u.std(axis=0, ddof=1))

    @property
    def sigma(self) -> float:
        """Posterior mean of sigma: standard deviation of y (gaussian) or of log y (lognormal), scale of t (student).

        1 where sampling standard deviations are known, NaN for families without a sigma.
        """
        return estimates.sigma(self)

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor; Residual last, of a gaussian response.

        vcov is the posterior mean of a variance or covariance, sdcor that of a standard deviation or correlation. For
        a categorical response a column `category` comes first.
        """
        return estimates.varcorr(self)

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (D, k, k) factors F of the covariance F F' of a level's effects.

        For a categorical response those of all its linear predictors, one after the other.
        """
        return tuple(factor for predictor in self.joint.predictors for factor in predictor.factors)

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return tables.group_sizes(self.design)

    @property
    def posterior(self) -> bool:
        """True: it answers from posterior draws."""
        return True

    @property
    def singularity(self) -> None:
        """None: variances are averaged over, not estimated."""
        return None

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return estimates.in_words(self)

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What speaks against the draws, the class of its warning first; empty where all is well."""
        return diagnose.concerns(self)

    def with_uncertainty(self, uncertainty: Uncertainty) -> Self:
        """The fit itself: a posterior has all its uncertainty, and no estimate of variances that it could be given.

        Raises
        ------
        OptionError
            For anything but ``"full"``.
        """
        estimates.check_uncertainty(uncertainty)
        return self

    def draws(self, n: int | None = None, seed: int | None = None) -> Draws:
        """Joint draws of everything.

        Parameters
        ----------
        n
            Number of draws; None for all, in the chains they came in. Fewer are chosen at random, as one chain.
        seed
            Of that choice.

        Returns
        -------
        Draws
            Keys ``("beta", name)``; ``("sigma",)``, ``("nu",)``, ``("shape",)``, ``("phi",)`` as the family has them;
            ``("threshold", "1")``, ... of an ordinal response; ``("sd", group, column)``, ``("cor", group, first,
            second)`` and ``("u", group, level, column)``. For a categorical response the category comes second:
            ``("beta", category, name)``; of counts with a model of their zeros the part, ``"count"`` or ``"zero"``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> data = mx.datasets.load("flipped_classroom")
        >>> fit = mx.bayes("score ~ style + (1 | professor)", data, draws=1000, seed=1)
        >>> fit.draws()["sd", "professor", "Intercept"].shape
        (4, 250)
        """
        return estimates.draws(self, n, seed)

    @property
    def target(self) -> Target:
        """The density that the collapsed engine sampled."""
        return estimates.collapsed_part(self).target

    @property
    def variances(self) -> Variances:
        """Draws of the variance parameters as the collapsed engine has them."""
        return estimates.collapsed_part(self).variances

    @property
    def log_evidence(self) -> LogEvidence:
        """Log marginal likelihood with its Monte Carlo error.

        Raises
        ------
        ImproperPosteriorError
            Under flat priors: the marginal likelihood is defined up to an arbitrary factor only.
        ModelError
            Where the draws came from NUTS, which does not give it.

        Warns
        -----
        DataDependentPriorWarning
            Where scales of priors were taken from the data.
        """
        return evidence(self.priors, self.sampling)

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit."""
        return functional_for(self.design, newdata, new_levels)

    def apply(self, functional: Functional) -> PosteriorEstimate:
        """Joint posterior draws of linear functionals of (beta, u); see `PosteriorEstimate`.

        Raises
        ------
        MemoryForecastError
            If draws of so many rows would not fit; combine rows first, or take them in parts with `stream`.
        ModelError
            For a categorical response, which has several linear predictors.
        """
        check_memory(self.n_draws, len(functional))
        one = self.predictor
        return determined(estimate(functional, one.beta, one.u, one.factors, self.seed), functional)

    def expected(self, functional: Rows, chosen: NDArray[np.intp] | None = None) -> Array:
        """Draws of the mean response of rows, residual variation left out.

        Parameters
        ----------
        functional
            m rows, from `design_for`.
        chosen
            Numbers of the draws wanted; all where None.

        Returns
        -------
        ndarray
            (D, m); (D, m, K) probabilities for K categories. A binomial mean is the probability of success.

        Raises
        ------
        MemoryForecastError
            Where that would not fit; `stream` gives the same a block of rows at a time.
        """
        return prediction.of_rows(self, functional, "response", chosen)

    def stream(
        self,
        functional: Rows,
        scale: responses.Scale = "response",
        chosen: NDArray[np.intp] | None = None,
        rows: int | None = None,
    ) -> Iterator[tuple[slice, Array]]:
        """Draws of mean responses (or linear predictors) a block of rows at a time, so that memory stays bounded.

        Parameters
        ----------
        functional
            m rows.
        scale
            ``"response"`` or ``"link"``.
        chosen
            Numbers of the draws wanted; all where None.
        rows
            Rows in a block; as many as take 64 MiB where None.

        Yields
        ------
        (slice, ndarray)
            Which rows, and their draws as `expected` gives them.

        Examples
        --------
        The mean response over all rows, never holding more than a block:

        >>> import mixedfx as mx
        >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), seed=1)
        >>> total = sum(values.sum(axis=1) for _, values in fit.stream(fit.design_for(), rows=100))
        >>> float((total / fit.nobs).mean().round(1))
        64.1
        """
        check_option("scale", scale, ("response", "link"))
        return responses.stream(self, functional, scale, chosen, rows)

    def linpred(self, newdata: Any = None, new_levels: NewLevels = "error") -> Array:
        """Draws of the linear predictor.

        Parameters
        ----------
        newdata, new_levels
            As in `predict`.

        Returns
        -------
        ndarray
            (D, m); (D, m, K - 1) for a categorical response, for all of `categories` but the first.
        """
        return prediction.of_rows(self, prediction.told_rows(self, newdata, new_levels), "link", None)

    def epred(self, newdata: Any = None, new_levels: NewLevels = "error") -> Array:
        """Draws of the expected response: `expected` for rows of data.

        Returns
        -------
        ndarray
            (D, m) in the units of the response (binomial: probability of success); (D, m, K) probabilities for K
            `categories`.
        """
        return self.expected(prediction.told_rows(self, newdata, new_levels))

    @property
    def fitted(self) -> pd.Series | pd.DataFrame:
        """(n,) posterior means of the expected response; the index is the row's position in the data.

        For categories a table of their probabilities. Binomial: the probability of success.
        """
        return prediction.fitted(self)

    def residuals(self, kind: Literal["response"] = "response") -> pd.Series:
        """(n,) response minus the posterior mean of its expectation; binomial: share of successes minus probability.

        Raises
        ------
        OptionError
            For categories, which have no differences.
        """
        return prediction.residuals(self, kind)

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
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
        """Expected responses, linear predictors or new responses, with intervals where they are asked for.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen: ``"error"``, ``"population"`` (their
            effects are zero) or ``"sample"`` (drawn from the population, each level for itself).
        groups
            ``"fitted"``: with the effects of the groups. ``"average"``: with all random effects at 0.
        seed
            Of the residual variation; the fit's where None.
        kind
            ``"response"``: the expected response, residual variation left out (binomial: the probability of success;
            categories: the probability of each). ``"link"``: the linear predictor. ``"predictive"``: a new response,
            residual variation included; new data need the columns of ``trials(...)`` and ``se(...)``.
        se
            Whether to give posterior standard deviations (and intervals).
        interval
            ``"confidence"``: for the expected response. ``"prediction"``: for a new response, which is
            ``kind="predictive"``. Either gives a table.
        level
            Probability inside the interval.
        weights
            Precision weights of the rows, for ``kind="predictive"`` and `bias_adjust`: values (a pandas Series is
            aligned with the index of `newdata`) or a column. None: those of the fit; for new rows the column that the
            fit was weighted by, and 1 where they do not have it.
        back_transform
            Of a transformed response: whether predictions are in the units of the variable, days under ``log(days) ~
            ...``. Draws are taken through the inverse: of ``kind="response"`` they are geometric means (of a logarithm)
            or medians, of ``"predictive"`` new values of the variable. False: as modelled, log(days).
        bias_adjust
            With `back_transform` and ``kind="response"``: the arithmetic mean of the variable, which takes the residual
            variance into account.
        na
            What becomes of new rows that lack a value the prediction needs: ``"pass"``: they are predicted as NaN, and
            the others as if these were not there; ``"raise"``: they are refused.

        Returns
        -------
        Series or DataFrame
            As fits by REML give them. Posterior means, one for each row of the data (for categories a column each); a
            table estimate, se (posterior standard deviation), lower, upper where `se`, `interval` or
            ``kind="predictive"`` is given, for categories with a row for each row of the data and category, column
            `category` first.

        Raises
        ------
        UnseenLevelError
            For an unseen level in the fixed part, or in a grouping factor where ``new_levels="error"``.
        DataError
            New data without a column that the model needs; a fit whose ``offset=`` was given as numbers knows that of
            its own rows only.
        OptionError
            ``kind="predictive"`` for categories; `weights` where there is no residual variance, or none is asked for.

        Warns
        -----
        UnweightedRowsWarning
            Where new responses of new rows are asked for, the fit is weighted, and nothing says the weights of the
            rows.
        NotEstimableWarning
            Where the data do not determine the mean of a row, such as one in a cell without rows; it is NaN.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom")
        >>> fit = mx.bayes("score ~ style + (1 | professor)", course, seed=1)
        >>> fit.predict(course.iloc[[0]]).round(0).item()
        59.0
        """
        return prediction.predict(
            self, newdata, new_levels, groups, seed, kind=kind, se=se, interval=interval, level=level, weights=weights,
            back_transform=back_transform, bias_adjust=bias_adjust, na=na,
        )  # fmt: skip

    def simulate(
        self, n: int | None = 1, seed: int | None = None, use_u: bool = False, newdata: Any = None, *,
        weights: Any = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Simulate new responses for the rows of the fit, or for new ones, each from a draw of the parameters.

        Parameters
        ----------
        n
            Number of simulated responses; None for one from each draw of the fit.
        seed
            Seed of the choice of draws, of new effects and of the residuals.
        use_u
            False: every group gets new effects from its population: new data from other groups. True: the groups keep
            their effects and only residuals are new, as in `ppc`.
        newdata
            Rows to simulate responses for, any frame that holds the grouping columns; those of the fit where None.
            Rows of one group share its effects; groups that the fit has not seen get effects from their population
            under either `use_u`.
        weights
            Precision weights of new rows, as `predict` takes them.

        Returns
        -------
        DataFrame
            (nobs, n), a column for each simulation; labels for categories.
        """
        return prediction.simulate(self, n, seed, use_u, newdata, weights)

    def residual_sd(self, chosen: NDArray[np.intp] | slice = slice(None)) -> Array:
        """(n, D) residual standard deviations of the rows of a gaussian response, for the chosen draws."""
        return prediction.residual_sd(self, chosen)

    def to_arviz(self, log_likelihood: bool = True, posterior_predictive: bool = False) -> Any:
        """ArviZ's InferenceData, a DataTree from ArviZ 1.0 on; see `to_arviz` of `posterior.criticism`."""
        return criticism.to_arviz(self, log_likelihood, posterior_predictive)

    def loo(self) -> Any:
        """Expected log predictive density of rows, each left out in turn, by Pareto-smoothed importance sampling.

        Returns
        -------
        arviz.ELPDData
            ``elpd_loo``, ``se``, ``p_loo``; ``pareto_k`` and ``loo_i`` for each row; from ArviZ 1.0 on these are
            ``elpd``, ``se``, ``p``, ``pareto_k``, ``elpd_i``. ``arviz.compare`` takes several.

        Warns
        -----
        ParetoKWarning
            Where k-hat of a row is above what these draws allow (0.7, less for few draws). A row that says nothing, as
            one without trials, has k-hat 0: without it the posterior is the same.
        """
        return criticism.loo(self)

    def logo(self, group: str, progress: Asked = None) -> Any:
        """Expected log predictive density of whole groups, each left out in turn: how well new groups are predicted.

        The effects of a group, and of groups nested in it, are integrated out: exactly in a Gaussian model, else by
        adaptive quadrature; effects of crossed factors are conditioned on. Then importance sampling with Pareto
        smoothing, as for `loo`. `mixedfx.bayes.posterior.logo` has the formulas.

        Parameters
        ----------
        group
            Grouping factor, as in the formula.
        progress
            As in `mixedfx.bayes`.

        Returns
        -------
        arviz.ELPDData
            ``elpd_loo``, ``se``, ``p_loo`` over groups; ``pareto_k`` and ``loo_i`` for each group.

        Raises
        ------
        ModelError
            For a categorical response.

        Warns
        -----
        ParetoKWarning
            Where k-hat of a group is above what these draws allow: with few groups, or large ones, leaving one out may
            move the posterior further than importance sampling reaches.

        Examples
        --------
        >>> import mixedfx as mx
        >>> course = mx.datasets.load("flipped_classroom", plan="crossed")
        >>> fit = mx.bayes("score ~ style + (1 | professor)", course, seed=1)
        >>> found = fit.logo("professor")
        >>> len(found.pareto_k), bool((found.pareto_k < 0.7).all())
        (15, True)
        """
        return logo(self, group, progress)

    def waic(self) -> Any:
        """Widely applicable information criterion (ArviZ's ELPDData)."""
        return criticism.waic(self)

    def ppc(self, n: int = 50, seed: int | None = 0, ax: Axes | None = None, kind: str = "auto") -> Picture:
        """Posterior predictive check: the response against `n` simulated ones.

        Parameters
        ----------
        n
            Number of simulated responses.
        seed
            Of the simulations.
        ax
            Axes to draw on; new ones where None.
        kind
            ``"density"``: kernel densities. ``"bars"``: how often each value or category comes. ``"rootogram"``: the
            same for counts, on the scale of square roots. ``"auto"``: density for continuous responses, bars for
            categories and for counts with few values, a rootogram for others.
        """
        return checking.ppc(self, n, seed, ax, kind)

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Posterior means, standard deviations and equal-tailed intervals in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients, after the thresholds of an ordinal response. ``"ran_pars"``: standard
            deviations, correlations, sigma and the other parameters of the family. ``"ran_vals"``: the random effects.
        level
            Probability inside the interval.

        Returns
        -------
        DataFrame
            term, estimate, std_error (posterior sd), conf_low, conf_high; random effects begin with group (and level),
            a categorical response with category.
        """
        return reports.tidy(self, effects, level)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, draws, method, k_hat, ess, r_hat, sigma, family, divergences."""
        return reports.glance(self)

    def diagnostics(self) -> SummaryContent:
        """How far the draws can be trusted, in plain words."""
        return diagnose.diagnostics(self)

    def prior_summary(self) -> SummaryContent:
        """The priors, as given and as used after scaling."""
        return reports.prior_summary(self)

    def summary(self, level: float = 0.95) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        return reports.summary(self, level)

    def report(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        data: str = "data",
        labels: Mapping[str, str] | None = None,
        level: float = 0.95,
    ) -> str:
        """One self-contained page: answer, caveats, pictures, coefficients, summary, a methods paragraph, code.

        Parameters
        ----------
        path
            File to write, whole or not at all; None to return the text only.
        title
            Heading.
        data
            Name of the data in the code shown.
        labels
            Coefficient or response -> what to write instead.
        level
            Probability inside the intervals.

        Returns
        -------
        str
            The page. Pictures are inside it; nothing is loaded from elsewhere. It is light or dark as the reader is.

        Examples
        --------
        >>> import mixedfx as mx
        >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), draws=400, seed=1)
        >>> page = fit.report(title="The course")
        >>> "<h1>The course</h1>" in page and "mx.bayes(" in page
        True
        """
        return fit_report(self, path, title=title, data=data, labels=labels, level=level)

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of arrays (draws and data) and JSON (formula, family, priors, diagnostics); it holds
        no code. It appears whole or not at all.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            A fit that a file cannot hold: one whose formula uses functions from `env`, or codings of factors other than
            names and matrices.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import mixedfx as mx
        >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), seed=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "course.mfx"))
        >>> bool((again.fixef == fit.fixef).all())
        True
        """
        return save(self, path)

    def __repr__(self) -> str:
        family = "" if self.family.linear_gaussian else f"{self.family.name}, "
        return f"<PosteriorFit {self.formula}: {family}{self.n_draws} draws, {tables.sizes_text(self.design)}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
