"""PosteriorFit: draws from the joint posterior of a Gaussian mixed model. State only; the work is done by functions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes import reports
from mixedfx.bayes.coordinates import Variances
from mixedfx.bayes.engine import PosteriorSample, Sampling, check_memory
from mixedfx.bayes.estimate import PosteriorEstimate, estimate
from mixedfx.bayes.target import Target
from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.draws import Draws
from mixedfx.errors import DataDependentPriorWarning, ImproperPosteriorError, ModelError, check_level, check_option
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.results.render import SummaryContent

Array = NDArray[np.float64]

POSTERIOR = (
    "Full posterior: the uncertainty of fixed effects, random effects, unseen levels, variances and correlations is "
    "included."
)
PRIOR = "Prior predictive: nothing was learnt from the response; the draws show what the priors say."


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


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorFit:
    """The posterior of a Gaussian mixed model, as `mixedfx.bayes` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    priors
        Priors as they were used, after scaling.
    target
        The density that was sampled.
    sample
        Joint draws, and how they were made.
    chains
        Number of chains the draws are laid out in.
    seed
        Seed of everything random about this fit.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.bayes("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"), draws=1000, seed=1)
    >>> fit
    <PosteriorFit score ~ 1 + style + (1 | professor): 1000 draws, 375 rows, professor 15>
    """

    design: Design
    priors: ResolvedPriors
    target: Target
    sample: PosteriorSample
    chains: int
    seed: int

    # --- the draws -------------------------------------------------------------------------------------------------
    @cached_property
    def variances(self) -> Variances:
        """Draws of sigma, standard deviations and correlation factors."""
        return self.target.coordinates.variances(self.sample.phi)

    @cached_property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (D, k, k) lower factors of the covariance of a level's effects."""
        return tuple(self.variances.factors(t) for t in range(len(self.design.random)))

    @cached_property
    def _parameters(self) -> tuple[tuple[tuple[str, ...], ...], Array]:
        """Keys and (D, m) draws of sigma, standard deviations and correlations."""
        keys: list[tuple[str, ...]] = []
        columns: list[Array] = []
        at = self.variances
        if self.design.known_sd is None:
            keys.append(("sigma",))
            columns.append(at.sigma)
        for t, (name, term) in enumerate(zip(tables.term_names(self.design.random), self.design.random, strict=True)):
            keys += [("sd", name, c) for c in term.columns]
            columns += list(at.sd[t].T)
            if term.correlated:
                correlation = at.L[t] @ at.L[t].transpose(0, 2, 1)
                for i in range(term.n_columns):
                    for j in range(i + 1, term.n_columns):
                        keys.append(("cor", name, term.columns[i], term.columns[j]))
                        columns.append(correlation[:, i, j])
        return tuple(keys), np.column_stack(columns)

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
            Keys ``("beta", name)``, ``("sigma",)``, ``("sd", group, column)``, ``("cor", group, first, second)`` and
            ``("u", group, level, column)``.

        Examples
        --------
        >>> import mixedfx as mx
        >>> data = mx.datasets.load("flipped_classroom")
        >>> fit = mx.bayes("score ~ style + (1 | professor)", data, draws=1000, seed=1)
        >>> fit.draws()["sd", "professor", "Intercept"].shape
        (4, 250)
        """
        keys, values = self._parameters
        names = tables.draw_keys(self.design)
        p = self.sample.beta.shape[1]
        array = np.concatenate([self.sample.beta, values, self.sample.u], axis=1)
        every = (*names[:p], *keys, *names[p:])
        if n is None:
            return Draws(every, array.reshape(self.chains, -1, array.shape[1]), self.uncertainty)
        chosen = np.random.default_rng(seed).choice(len(array), n, replace=n > len(array))
        return Draws(every, array[chosen][None], self.uncertainty)

    @property
    def sampling(self) -> Sampling:
        """How the draws were made, and how far they can be trusted."""
        return self.sample.sampling

    @property
    def n_draws(self) -> int:
        """Number of draws over all chains."""
        return len(self.sample.phi)

    # --- estimates -------------------------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula, expanded; parsing it again gives the same model."""
        return str(self.design.formula)

    @property
    def fixef(self) -> pd.Series:
        """Posterior means of the fixed effects, indexed by coefficient."""
        return pd.Series(self.sample.beta.mean(axis=0), index=list(self.design.fixed_names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) posterior covariance of the fixed effects."""
        names = list(self.design.fixed_names)
        return pd.DataFrame(np.cov(self.sample.beta, rowvar=False).reshape(len(names), -1), index=names, columns=names)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Posterior means of the random effects: grouping factor -> table of levels by effects."""
        means = self.sample.u.mean(axis=0)
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, means))

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Posterior standard deviations of the random effects, shaped as `ranef`."""
        sds = self.sample.u.std(axis=0, ddof=1)
        return tables.ranef_tables(self.design.random, tables.split_effects(self.design, sds))

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual standard deviation; 1 where the sampling sds are known."""
        return float(self.variances.sigma.mean())

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor; Residual last.

        vcov is the posterior mean of a variance or covariance, sdcor that of a standard deviation or correlation.
        """
        covariances = [np.mean(F @ F.transpose(0, 2, 1), axis=0) for F in self.covariance_factors]
        table = tables.varcorr_table(self.design.random, [np.linalg.cholesky(c) for c in covariances], None)
        keys, values = self._parameters
        means = dict(zip(keys, values.mean(axis=0), strict=True))
        for i, (group, first, second) in enumerate(zip(table["grp"], table["var1"], table["var2"], strict=True)):
            key = ("cor", group, first, second) if isinstance(second, str) else ("sd", group, first)
            table.loc[i, "sdcor"] = means[key]
        if self.design.known_sd is None:
            sigma = self.variances.sigma
            table.loc[len(table)] = ["Residual", None, None, float(np.mean(sigma**2)), float(sigma.mean())]
        return table

    @property
    def nobs(self) -> int:
        """Number of rows used."""
        return len(self.design.y)

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return {term.label: term.n_levels for term in self.design.random}

    @property
    def uncertainty(self) -> str:
        """What the intervals of this fit include and what they leave out."""
        return PRIOR if self.sampling.method == "prior" else POSTERIOR

    # --- questions -------------------------------------------------------------------------------------------------
    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor over (beta, u) for `newdata`, or for the data of the fit."""
        from mixedfx.design.rows import functional_for

        return functional_for(self.design, newdata, new_levels)

    def apply(self, functional: Functional) -> PosteriorEstimate:
        """Joint posterior draws of linear functionals of (beta, u); see `PosteriorEstimate`.

        Raises
        ------
        MemoryForecastError
            If draws of so many rows would not fit; combine rows first, or take them in parts.
        """
        check_memory(self.n_draws, len(functional))
        return estimate(functional, self.sample.beta, self.sample.u, self.covariance_factors, self.seed)

    @property
    def fitted(self) -> pd.Series:
        """(n,) posterior means of X beta + offset + Z u; the index is the row's position in the data."""
        rows, sample = self.design_for(), self.sample
        mean = rows.fixed @ sample.beta.mean(axis=0) + rows.random @ sample.u.mean(axis=0) + rows.offset
        return pd.Series(mean, index=self.design.frame.index, name="fitted")

    def residuals(self, kind: Literal["response"] = "response") -> pd.Series:
        """(n,) response minus the posterior mean of its linear predictor."""
        check_option("kind", kind, ("response",))
        return pd.Series(self.design.y - self.fitted.to_numpy(), index=self.design.frame.index, name="residual")

    def predict(self, newdata: Any = None, new_levels: NewLevels = "error", level: float = 0.95) -> pd.DataFrame:
        """Expected responses with intervals.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen: ``"error"``, ``"population"`` (their
            effects are zero) or ``"sample"`` (drawn from the population, each level for itself).
        level
            Probability inside the interval.

        Returns
        -------
        DataFrame
            estimate (posterior mean), sd, lower, upper; residual variation is left out.
        """
        check_level(level)
        found = self.apply(self.design_for(newdata, new_levels))
        lower, upper = np.quantile(found.values, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        index = self.design.frame.index if newdata is None else getattr(newdata, "index", None)
        usable = isinstance(index, pd.Index) and len(index) == len(found.mean)
        columns = {"estimate": found.mean, "sd": found.sd, "lower": lower, "upper": upper}
        return pd.DataFrame(columns, index=index if usable else None)

    def simulate(self, n: int | None = None, seed: int | None = None) -> pd.DataFrame:
        """Draws of new responses for the rows of the fit, the groups keeping their effects.

        Parameters
        ----------
        n
            Number of draws; None for one from each draw of the fit.
        seed
            Seed of the choice of draws and of the residuals.

        Returns
        -------
        DataFrame
            (nobs, n), a column for each draw.
        """
        rng = np.random.default_rng(seed)
        chosen = np.arange(self.n_draws)
        if n is not None:
            chosen = rng.choice(self.n_draws, n, replace=n > self.n_draws)
        check_memory(len(chosen), self.nobs)
        rows, sample = self.design_for(), self.sample
        mean = rows.fixed @ sample.beta[chosen].T + rows.random @ sample.u[chosen].T + rows.offset[:, None]
        return pd.DataFrame(
            mean + self.residual_sd(chosen) * rng.standard_normal(mean.shape), index=self.design.frame.index
        )

    def residual_sd(self, chosen: NDArray[np.intp] | slice = slice(None)) -> Array:
        """(n, D) residual standard deviations of the rows, for the chosen draws."""
        design = self.design
        if design.known_sd is not None:
            return np.repeat(design.known_sd[:, None], len(self.variances.sigma[chosen]), axis=1)
        scale = np.ones(self.nobs) if design.weights is None else design.weights**-0.5
        return scale[:, None] * self.variances.sigma[chosen]

    def tidy(self, effects: tables.Effects = "fixed", level: float = 0.95) -> pd.DataFrame:
        """Posterior means, standard deviations and equal-tailed intervals in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: the coefficients. ``"ran_pars"``: standard deviations, correlations and sigma. ``"ran_vals"``:
            the random effects.
        level
            Probability inside the interval.

        Returns
        -------
        DataFrame
            term, estimate, std_error (posterior sd), conf_low, conf_high; random effects begin with group (and level).
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        check_level(level)
        return reports.tidy_table(self, effects, level)

    def glance(self) -> pd.DataFrame:
        """One row: nobs, draws, method, k_hat, ess, r_hat, sigma."""
        s = self.sampling
        row = {"nobs": self.nobs, "draws": self.n_draws, "method": s.method, "k_hat": s.k_hat, "ess": s.ess}
        return pd.DataFrame([row | {"r_hat": s.r_hat, "sigma": self.sigma}])

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
        if self.priors.improper:
            raise ImproperPosteriorError(
                f"the marginal likelihood needs proper priors; flat: {', '.join(self.priors.improper)}",
                mend="Give them priors, such as mx.priors.normal(0, 10).",
            )
        if self.sampling.method != "importance":
            raise ModelError(
                f"draws by {self.sampling.method} do not give the marginal likelihood",
                mend="It comes with importance sampling; see fit.diagnostics() for why that was not used.",
            )
        if self.priors.from_data:
            warnings.warn(
                "the priors were scaled from these data: compare the marginal likelihood with that of models under the "
                "same fixed priors only",
                DataDependentPriorWarning,
                2,
            )
        return LogEvidence(*self.sampling.log_evidence)

    # --- criticism -------------------------------------------------------------------------------------------------
    def to_arviz(self, log_likelihood: bool = True, posterior_predictive: bool = False) -> Any:
        """ArviZ's InferenceData: posterior, observed data, pointwise log likelihood; see `mixedfx.bayes.criticism`."""
        from mixedfx.bayes.criticism import to_arviz

        return to_arviz(self, log_likelihood, posterior_predictive)

    def loo(self) -> Any:
        """Expected log predictive density by Pareto-smoothed leave-one-out cross-validation (ArviZ's ELPDData)."""
        from mixedfx.bayes.criticism import loo

        return loo(self)

    def waic(self) -> Any:
        """Widely applicable information criterion (ArviZ's ELPDData)."""
        from mixedfx.bayes.criticism import waic

        return waic(self)

    def ppc(self, n: int = 50, seed: int | None = 0, ax: Axes | None = None) -> Axes:
        """Posterior predictive check: the density of the response over those of `n` simulated responses."""
        from mixedfx.plots.predictive import predictive_check

        return predictive_check(
            self.design.y, self.simulate(n, seed).to_numpy().T, name=self.design.response_name, ax=ax
        )

    def diagnostics(self) -> SummaryContent:
        """How far the draws can be trusted, in plain words."""
        return reports.diagnostics(self)

    def prior_summary(self) -> SummaryContent:
        """The priors, as given and as used after scaling."""
        return reports.prior_summary(self)

    def summary(self, level: float = 0.95) -> SummaryContent:
        """Everything about the fit on one page; prints as text, shows as HTML in a notebook."""
        check_level(level)
        return reports.summary(self, level)

    def __repr__(self) -> str:
        groups = "".join(f", {label} {n}" for label, n in self.ngroups.items())
        return f"<PosteriorFit {self.formula}: {self.n_draws} draws, {self.nobs} rows{groups}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()
