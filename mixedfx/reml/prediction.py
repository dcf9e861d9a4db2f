"""Predictions of a fitted linear mixed model: fitted values, residuals, new rows, new responses."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import row_labels
from mixedfx.design.rows_used import row_weights, weights_columns
from mixedfx.errors import check_count, check_flag, check_option, check_seed
from mixedfx.inference.original_scale import taken_back, transformation_to_undo
from mixedfx.reml.rows import PROJECTED, ResidualKind, draw_effects, fitted_values, residual_values, simulate_responses
from mixedfx.reml.state import LmerState
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import determined, warn_rows

if TYPE_CHECKING:
    from mixedfx.reml.predictive import IntervalKind, Source


class LmerPrediction(LmerState):
    """What a fit says about rows: those it was made from, and others."""

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
            sigma too. ``"standardized"``: divided by their own standard deviation, sigma sqrt(1 - leverage).
            ``"marginal"``: y minus X beta and the offset. ``"marginal_standardized"``: those divided by their own
            standard deviation.

        Returns
        -------
        Series
            (n,) residuals, in the units of the response unless scaled or standardised; the index is the row's position
            in the data.
        """
        if kind in PROJECTED:
            from mixedfx.reml.checking import projected_residuals

            values = projected_residuals(self, kind)
        else:
            values = residual_values(self.design, self._fitted, self.sigma, kind)
        return pd.Series(values, index=self.design.frame.index, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        groups: Literal["fitted", "average"] = "fitted",
        seed: int | None = None,
        *,
        se: bool = False,
        interval: IntervalKind | None = None,
        level: float = 0.95,
        uncertainty: Collection[Source] | None = None,
        weights: Any = None,
        back_transform: bool = False,
        bias_adjust: bool = False,
    ) -> pd.Series | pd.DataFrame:
        """Predicted responses, with standard errors and intervals where they are asked for.

        Parameters
        ----------
        newdata
            Any frame narwhals understands, a lazy one too; the data of the fit where None.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen. ``"error"``: raise. ``"population"``:
            their effects are 0, the population mean. ``"sample"``: each gets effects drawn from the population.
        groups
            ``"fitted"``: with the estimated effects of the groups. ``"average"``: with all random effects at 0.
        seed
            Seed of the draws of ``new_levels="sample"``.
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

        Returns
        -------
        Series or DataFrame
            One prediction for each row, in the units of the response as modelled, or of its variable; indexed as
            `newdata` if that is a pandas frame.
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
        [67.2]
        >>> course = mx.datasets.load("flipped_classroom")
        >>> fit.predict(course.iloc[:2], interval="prediction").round(1)
           estimate   se  lower  upper
        0      73.2  9.5   54.6   91.9
        1      73.2  9.5   54.6   91.9

        A median and its interval, where the response was a logarithm:

        >>> fit = mx.lmer("log(score) ~ style + (1 | professor)", course)
        >>> fit.predict(course.iloc[:1], interval="prediction", back_transform=True).round(1)
           estimate    se  lower  upper
        0      73.8  12.1   53.5  101.9
        """
        check_option("groups", groups, ("fitted", "average"))
        check_flag("se", se)
        check_seed(seed)
        back = transformation_to_undo(self.design, self.family, back_transform, bias_adjust)
        if back is not None:
            options: dict[str, Any] = {"se": se, "interval": interval, "level": level, "uncertainty": uncertainty}
            values = self.predict(newdata, new_levels, groups, seed, weights=weights, **options)
            sd = self._residual_sd(newdata, weights, len(values)) if bias_adjust else None
            return taken_back(values, back, sd, prediction=interval == "prediction")
        if se or interval is not None or uncertainty is not None:
            from mixedfx.reml.predictive import predict_table

            table = predict_table(self, newdata, new_levels, groups, interval, level, uncertainty, weights)
            index = self._row_index(newdata, len(table))
            return table if index is None else table.set_axis(index, axis=0)
        rows = self.design_for(newdata, "population" if groups == "average" else new_levels)
        if groups == "average":
            rows = replace(rows, random=0 * rows.random)
        found = determined(self._given_theta(rows), rows)
        warn_rows(self.design, rows.null)
        mean = found.mean + found.unseen_draws(1, np.random.default_rng(seed))[0]
        return pd.Series(mean, index=self._row_index(newdata, len(mean)), name="predicted")

    def _residual_sd(self, newdata: Any, weights: Any, n: int) -> NDArray[np.float64]:
        labels = row_labels(newdata)
        if newdata is not None:
            newdata = self.design.spec.fetch(newdata, also=weights_columns(self.design, weights))
        return self.sigma / np.sqrt(row_weights(self.design, newdata, weights, labels, n))

    def _row_index(self, newdata: Any, n: int) -> pd.Index | None:
        index = self.design.frame.index if newdata is None else getattr(newdata, "index", None)
        return index if isinstance(index, pd.Index) and len(index) == n else None

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
        check_count("n", n)
        check_flag("use_u", use_u)
        check_seed(seed)
        rng = np.random.default_rng(seed)
        fit = self.solution
        u = np.tile(fit.u, (n, 1)) if use_u else draw_effects(self.design, fit.factors, fit.sigma, n, rng)
        return pd.DataFrame(
            simulate_responses(self.design, fit.beta, u, fit.sigma, rng).T, index=self.design.frame.index
        )
