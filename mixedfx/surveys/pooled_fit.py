"""PooledFit: one model fitted to several completed data sets, asked as one fit.

Plausible values and imputations are draws of what is not known of the data; an answer that ignores how they differ is
too sure of itself. Every number here is pooled by Rubin's rules (`mixedfx.surveys.rubin`) after it was asked of each
fit: coefficients, tests, means, effects of subgroups.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows_used import row_index
from mixedfx.errors import OptionError, check_flag, check_level, check_option
from mixedfx.families.family import Family
from mixedfx.inference.degrees_of_freedom import Ddf
from mixedfx.inference.hypotheses import anova_table, hypothesis_table
from mixedfx.inference.incomplete_rows import Na, over_incomplete
from mixedfx.inference.terms import term_contrasts
from mixedfx.results import tables
from mixedfx.results.protocol import NewLevels, Uncertainty
from mixedfx.results.render import SummaryContent, SummaryFacts, SummaryTable
from mixedfx.results.summary import fixed_block, groups_block, rows_text, variances_block
from mixedfx.surveys import pooled_storage
from mixedfx.surveys.common_design import common_design, named_by
from mixedfx.surveys.comparing import Method, compare
from mixedfx.surveys.pooled_estimates import PooledEstimates
from mixedfx.surveys.pooled_linear import PooledLinear
from mixedfx.surveys.pooled_reference import PooledReference

Array = NDArray[np.float64]

OWN_VALUES = "the data sets have imputed values of their own in these rows"
LEARNT = (
    "the data sets do not agree on the rows of the model: a transform such as scale(), poly() or bs() has learnt other "
    "centres, scales or knots from each, and coefficients mean other things"
)
SAME = 1e-9  # share of a column's largest value up to which rows of two data sets differ by rounding


@dataclass(frozen=True, eq=False, repr=False)
class PooledFit(PooledEstimates):
    """Fits of the same model to m data sets, with the verbs of a fit.

    Attributes
    ----------
    fits
        The m fits, for whatever is to be asked of one.
    written
        The formula as it was written.
    what
        ``"plausible values"`` or ``"imputations"``.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom").rename(columns={"score": "PV1"})
    >>> course = course.assign(PV2=course["PV1"] + 1.0, PV3=course["PV1"][::-1].to_numpy())
    >>> fit = mx.lmer("[PV1:PV3] ~ style + (1 | professor)", course)
    >>> fit.m, fit.tidy().columns[-2:].tolist()
    (3, ['riv', 'fmi'])
    """

    fits: tuple[Any, ...] = ()
    written: str = ""
    what: str = "imputations"

    @cached_property
    def _pooled(self) -> PooledReference:
        return self.reference()

    @cached_property
    def design(self) -> Design:
        """The design of the first fit; numbers that differ between data sets are at their mean."""
        return named_by(common_design([fit.design for fit in self.fits]), self.written)

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.written

    @property
    def family(self) -> Family:
        """Distribution of the response."""
        return self.fits[0].family

    @property
    def posterior(self) -> bool:
        """False: it has estimates, standard errors and degrees of freedom."""
        return False

    @property
    def REML(self) -> bool:
        """Whether the fits are by REML."""
        return bool(getattr(self.fits[0], "REML", False))

    def glance(self) -> pd.DataFrame:
        """One row: nobs, npar, sigma, number of data sets, converged, singular; likelihoods are those of each fit."""
        row = {
            "nobs": self.nobs, "npar": self.fits[0].n_parameters, "sigma": self.sigma, "data_sets": self.m,
            "converged": self.converged, "singular": self.singular,
        }  # fmt: skip
        return pd.DataFrame([row])

    @property
    def usual_ddf(self) -> Ddf:
        """Degrees of freedom of complete data where none are asked for."""
        return self.fits[0].usual_ddf

    @property
    def nobs(self) -> int:
        """Rows of each data set."""
        return self.fits[0].nobs

    @property
    def ngroups(self) -> dict[str, int]:
        """Grouping factor -> number of levels."""
        return self.fits[0].ngroups

    @property
    def converged(self) -> bool:
        """Whether every fit did."""
        return all(fit.converged for fit in self.fits)

    @property
    def singular(self) -> bool:
        """Whether a variance is zero or a correlation one in every data set."""
        return all(fit.singular for fit in self.fits)

    @property
    def singularity(self) -> None:
        """None: directions of single fits are in ``fit.fits[k].singularity``."""
        return None

    @property
    def concerns(self) -> tuple[()]:
        """Empty: each fit said its own when it was made."""
        return ()

    @property
    def uncertainty(self) -> str:
        """What intervals include."""
        return (
            f"Intervals include what {self.m} {self.what} say about the unknown data (Rubin's rules), and of each data "
            f"set: {self.fits[0].uncertainty}"
        )

    def with_uncertainty(self, uncertainty: Uncertainty) -> PooledFit:
        """The same fits, answering with all their uncertainty or with that given theta-hat."""
        return replace(self, fits=tuple(fit.with_uncertainty(uncertainty) for fit in self.fits))

    def reference(self, ddf: Ddf | None = None, vcov: Any = None) -> PooledReference:
        """Covariance of the coefficients and degrees of freedom, for tests.

        Parameters
        ----------
        ddf
            Degrees of freedom of complete data: those of each fit; None for the usual ones.
        vcov
            None: a pooled covariance is made of those of the fits.
        """
        if vcov is not None:
            raise OptionError("vcov= is for one data set", hint="mx.pool takes covariances beside estimates.")
        kind = self.usual_ddf if ddf is None else ddf
        return PooledReference(self.estimates, tuple(fit.reference(kind) for fit in self.fits))

    def tidy(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, effects: tables.Effects = "fixed", ddf: Ddf | None = None, level: float = 0.95, vcov: Any = None
    ) -> pd.DataFrame:
        """Pooled estimates in broom's columns.

        Parameters
        ----------
        effects
            ``"fixed"``: coefficients, with riv (by how much of itself the variance within data sets grows) and fmi (the
            fraction of missing information). ``"ran_pars"``: standard deviations and correlations of the mean
            covariances. ``"ran_vals"``: means of the conditional modes.
        ddf
            Degrees of freedom that complete data would have, Satterthwaite's of each fit where None (infinite for
            generalised models); df are Barnard and Rubin's.
        level
            Confidence level.
        vcov
            Not possible here.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df, p_value, conf_low, conf_high, riv, fmi.
        """
        check_option("effects", effects, ("fixed", "ran_pars", "ran_vals"))
        check_level(level)
        if effects == "fixed":
            return self._table(self.reference(ddf, vcov), level)
        if effects == "ran_pars":
            return tables.ran_pars_table(self.varcorr)
        return tables.ran_vals_table(self.ranef, self.ranef_sd, np.inf, level)

    @property
    def varcorr(self) -> pd.DataFrame:
        """Means over the data sets: of variances and covariances (vcov), from which sdcor follows.

        Variances are averaged as they are, as mitml does; where a covariance belongs to no single pair of columns, the
        correlation is averaged.
        """
        every = [fit.varcorr for fit in self.fits]
        table = every[0].copy()
        mean = np.mean([one["vcov"].to_numpy() for one in every], axis=0)
        table["vcov"] = mean
        table["sdcor"] = _roots(table, np.mean([one["sdcor"].to_numpy() for one in every], axis=0))
        return table

    @property
    def sigma(self) -> float:
        """Root of the mean residual variance."""
        return float(np.sqrt(np.mean([fit.sigma**2 for fit in self.fits])))

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (1, k, k) a factor of the mean covariance of a level's effects."""
        terms = zip(*(fit.covariance_factors for fit in self.fits), strict=True)
        return tuple(_root(np.mean([f @ np.swapaxes(f, -1, -2) for f in term], axis=0)) for term in terms)

    @property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Means of the conditional modes: grouping factor -> table of levels by effects."""
        every = [fit.ranef for fit in self.fits]
        out = {}
        for group, table in every[0].items():
            mean = np.mean([one[group].to_numpy() for one in every], axis=0)
            out[group] = pd.DataFrame(mean, index=table.index, columns=table.columns)
        return out

    @property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Their standard deviations, within and between data sets."""
        modes, sds = [fit.ranef for fit in self.fits], [fit.ranef_sd for fit in self.fits]
        out = {}
        for group, table in modes[0].items():
            between = np.var([one[group].to_numpy() for one in modes], axis=0, ddof=1)
            within = np.mean([one[group].to_numpy() ** 2 for one in sds], axis=0)
            total = np.sqrt(within + (1.0 + 1.0 / self.m) * between)
            out[group] = pd.DataFrame(total, index=table.index, columns=table.columns)
        return out

    def test(
        self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, ddf: Ddf | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs, written as for `LmerFit.test`.

        ``joint=True``: D1 of Li, Raghunathan and Rubin, with Reiter's degrees of freedom where complete data have
        finitely many. False: a t test of each row.
        """
        beta = self.estimates.mean(axis=0)
        return hypothesis_table(hypothesis, rhs, self.names, beta, lambda: self.reference(ddf), joint, level)

    def anova(self, type: Literal["I", "II", "III", 1, 2, 3] = "III", ddf: Ddf | None = None) -> pd.DataFrame:
        """Test each term of the fixed part by D1; `type` as for `LmerFit.anova`."""
        roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
        contrasts = term_contrasts(self.fits[0].design, roman)
        return anova_table(contrasts, self.estimates.mean(axis=0), self.sigma, self.reference(ddf))

    def compare(self, smaller: PooledFit, method: Method = "D3") -> pd.DataFrame:
        """Test a smaller model against this one, both fitted to the same data sets.

        Parameters
        ----------
        smaller
            A nested model.
        method
            ``"D3"``: likelihood-ratio statistics, those of each data set and those at the means of the estimates
            (linear mixed models by maximum likelihood). ``"D2"``: likelihood-ratio statistics alone, less exact.
            ``"D2 wald"``: Wald's statistics of the coefficients that `smaller` lacks. ``"D1"``: their pooled estimates
            and covariance.

        Returns
        -------
        DataFrame
            model, method, f_value, num_df, den_df, p_value, riv.

        Raises
        ------
        OptionError
            Models that are not nested or of other data; a method that they do not have.
        """
        return compare(self, smaller, method)

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor for `newdata`, over the coefficients and effects that the fits share.

        Raises
        ------
        OptionError
            Where the fits have other rows for the same data: transforms have learnt from imputed columns. `predict` and
            `mixedfx.effects` ask each fit with its own.
        """
        first, *others = (fit.design_for(newdata, new_levels) for fit in self.fits)
        if not all(_same_rows(first, other) for other in others):
            raise OptionError(
                OWN_VALUES if newdata is None else LEARNT,
                hint="Ask predict() or mx.effects(), which take each fit by itself; or transform the column before the "
                "fits, by the same numbers in all of them.",
            )
        return first

    def apply(self, functional: Functional) -> PooledLinear:
        """Mean, covariance and draws of linear functionals of (beta, u)."""
        return PooledLinear([fit.apply(functional) for fit in self.fits])

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
        """(D, m) draws of the mean response of rows."""
        found = np.asarray(self.family.mean(self.apply(functional).draws(seed=0), {}))
        return found if chosen is None else found[chosen]

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        *,
        se: bool = False,
        level: float = 0.95,
        na: Na = "pass",
    ) -> pd.Series | pd.DataFrame:
        """Pooled linear predictor of rows, with standard errors and intervals where `se` asks for them.

        Parameters
        ----------
        newdata
            Rows to predict; those of each data set where None.
        new_levels, groups
            As for `LmerFit.predict`.
        se
            Whether to give a table (estimate, se, lower, upper), for the mean of the response given the groups.
        level
            Level of the intervals.
        na
            What becomes of new rows that lack a value the prediction needs, as in `LmerFit.predict`.
        """
        check_flag("se", se)
        check_level(level)
        check_option("groups", groups, ("fitted", "average"))

        def ask(frame: Any, _: Any) -> pd.Series | pd.DataFrame:
            parts = []
            for fit in self.fits:
                rows = fit.design_for(frame, new_levels)
                if groups == "average":
                    rows = replace(rows, random=0 * rows.random, new=0 * rows.new)
                parts.append(fit.with_uncertainty("full").apply(rows))
            found, index = PooledLinear(parts), row_index(self.design, frame, len(parts[0].mean))
            if not se:
                return pd.Series(found.mean, index=index, name="prediction")
            lower, upper = found.interval(level).T
            return pd.DataFrame({"estimate": found.mean, "se": found.sd, "lower": lower, "upper": upper}, index=index)

        return over_incomplete(self.design, newdata, None, na, (), ask)

    def save(self, path: str | Path) -> Path:
        """Write the fit, all of its fits included, to a file that `mixedfx.load` reads; see `LmerFit.save`."""
        return pooled_storage.save(self.fits, self.sets, self.written, self.what, path)

    def in_common(self, text: str) -> str:
        """A message about one of the fits as one about all: plausible values called by what names them together."""
        if self.what != "plausible values":
            return text
        names = "|".join(re.escape(name) for name in sorted(self.sets, key=len, reverse=True))
        return re.sub(names, self.design.response_name, text)

    def each(self, ask: Callable[[Any], Any]) -> tuple[Any, ...]:
        """What each fit answers to a question: ``fit.each(lambda one: one.r2())``."""
        return tuple(ask(fit) for fit in self.fits)

    def content(self) -> SummaryContent:
        """The page of the summary."""
        design, fixed = self.fits[0].design, self.tidy()
        facts = SummaryFacts(
            (
                ("Formula", self.written),
                ("Data", rows_text(design.rows)),
                ("Data sets", f"{self.m} {self.what}: {', '.join(self.sets)}"),
            )
        )
        blocks: list[SummaryFacts | SummaryTable] = [facts]
        if design.random:
            blocks += [groups_block(design.random), variances_block(design.random, self.varcorr)]
        block = fixed_block(fixed)
        rows = tuple((*row, f"{fmi:.2f}") for row, fmi in zip(block.rows, fixed["fmi"], strict=True))
        blocks.append(SummaryTable("Fixed effects", (*block.header, "fmi"), rows, block.align + "r"))
        blocks.append(SummaryFacts((("Tests", self._basis), ("Variances", "means over the data sets"))))
        kind = "generalised linear mixed" if not self.family.identity else "linear mixed"
        return SummaryContent(f"Pooled {kind} model, {self.m} {self.what}", tuple(blocks))

    @property
    def _basis(self) -> str:
        usual = {"satterthwaite": "Satterthwaite's", "sample": "those of the sample"}.get(self.usual_ddf, "infinite")
        return (
            "Rubin's rules; Barnard and Rubin's degrees of freedom, of complete data "
            f"{usual}; fmi is the fraction of missing information"
        )

    def summary(self) -> SummaryContent:
        """Everything there is to say, as text and HTML."""
        return self.content()


def _roots(table: pd.DataFrame, correlations: Array) -> Array:
    """Standard deviations and correlations that belong to mean variances and covariances."""
    rows = list(table[["grp", "var1", "var2", "vcov"]].itertuples(index=False, name=None))
    variances = {(group, first): value for group, first, second, value in rows if not isinstance(second, str)}
    out = np.sqrt(np.clip(table["vcov"].to_numpy(dtype=float), 0.0, None))
    for i, (group, first, second, value) in enumerate(rows):
        if isinstance(second, str):
            product = variances.get((group, first), np.nan) * variances.get((group, second), np.nan)
            known = np.isfinite(value) and product > 0
            out[i] = value / np.sqrt(product) if known else correlations[i]
    return out


def _root(covariance: Array) -> Array:
    """Lower factors (1, k, k) of covariances that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.linalg.qr((vectors * np.sqrt(np.clip(values, 0.0, None))[..., None, :]).swapaxes(-1, -2))[1].swapaxes(
        -1, -2
    )


def _same_rows(one: Functional, other: Functional) -> bool:
    """Whether two designs have the same coefficients (m, p + q) for some rows, but for rounding."""
    if one.fixed.shape != other.fixed.shape or one.random.shape != other.random.shape:
        return False
    scale = np.abs(one.fixed).max(axis=0, initial=0.0)
    near = np.abs(one.fixed - other.fixed) <= SAME * scale
    apart = abs(one.random - other.random)
    return bool(near.all()) and bool(apart.nnz == 0 or apart.max() <= SAME * abs(one.random).max())
