"""Predictions of a posterior fit: linear predictors, expected responses, new responses, for any rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes import responses
from mixedfx.bayes.engine import check_memory
from mixedfx.bayes.state import PosteriorState
from mixedfx.design.alignment import row_labels
from mixedfx.design.functional import Functional
from mixedfx.design.transforms import Transformation
from mixedfx.errors import OptionError, check_level, check_option
from mixedfx.inference.original_scale import transformation_to_undo
from mixedfx.results.protocol import NewLevels
from mixedfx.results.undetermined import warn_rows

Array = NDArray[np.float64]

STREAM = "Take blocks of rows, fit.stream(fit.design_for(newdata)); fit.predict and mx.effects do so by themselves."


class PosteriorPrediction(PosteriorState):
    """What a posterior says about rows: those of the fit, and others."""

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> Array:
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
        return self._rows(functional, "response", chosen)

    def stream(
        self,
        functional: Functional,
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
        63.0
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
        return self._rows(self._told_rows(newdata, new_levels), "link", None)

    def epred(self, newdata: Any = None, new_levels: NewLevels = "error") -> Array:
        """Draws of the expected response: `expected` for rows of data.

        Returns
        -------
        ndarray
            (D, m) in the units of the response (binomial: probability of success); (D, m, K) probabilities for K
            `categories`.
        """
        return self.expected(self._told_rows(newdata, new_levels))

    def _told_rows(self, newdata: Any, new_levels: NewLevels) -> Functional:
        """Rows of new data, with a warning of those that the data of the fit do not determine."""
        rows = self.design_for(newdata, new_levels)
        warn_rows(self.design, rows.null, stacklevel=4)
        return rows

    def _rows(self, functional: Functional, scale: responses.Scale, chosen: NDArray[np.intp] | None) -> Array:
        n = self.n_draws if chosen is None else len(chosen)
        last = self._last(scale)
        check_memory(n, len(functional) * int(np.prod(last, dtype=int)), STREAM)
        return responses.together(self.stream(functional, scale, chosen), n, len(functional), last)

    def _last(self, scale: str) -> tuple[int, ...]:
        """Trailing dimension of draws of rows: categories, or linear predictors."""
        if scale == "response" and self.categories:
            return (len(self.categories),)
        return (len(self.joint.predictors),) if len(self.joint.predictors) > 1 else ()

    @property
    def fitted(self) -> pd.Series | pd.DataFrame:
        """(n,) posterior means of the expected response; the index is the row's position in the data.

        For categories a table of their probabilities. Binomial: the probability of success.
        """
        rows, index = self.design_for(), self.design.frame.index
        if self.family.identity:
            one = self.predictor
            mean = rows.fixed @ one.beta.mean(axis=0) + rows.random @ one.u.mean(axis=0) + rows.offset
            return pd.Series(mean, index=index, name="fitted")
        mean = np.empty((self.nobs, *self._last("response")))
        for at, values in self.stream(rows):
            mean[at] = values.mean(axis=0)
        if self.categories:
            return pd.DataFrame(mean, index=index, columns=list(self.categories))
        return pd.Series(mean, index=index, name="fitted")

    def residuals(self, kind: Literal["response"] = "response") -> pd.Series:
        """(n,) response minus the posterior mean of its expectation; binomial: share of successes minus probability.

        Raises
        ------
        OptionError
            For categories, which have no differences.
        """
        check_option("kind", kind, ("response",))
        responses.refuse_categories(self, "residuals")
        design = self.design
        y = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
        return pd.Series(y - np.asarray(self.fitted), index=design.frame.index, name="residual")

    def predict(
        self,
        newdata: Any = None,
        new_levels: NewLevels = "error",
        level: float = 0.95,
        kind: responses.Kind = "response",
        seed: int | None = None,
        weights: Any = None,
        *,
        back_transform: bool = False,
        bias_adjust: bool = False,
    ) -> pd.DataFrame:
        """Expected responses, linear predictors or new responses, with intervals.

        Parameters
        ----------
        newdata
            Any frame narwhals understands; the data of the fit where None.
        new_levels
            What to do with levels of a grouping factor that the fit has not seen: ``"error"``, ``"population"`` (their
            effects are zero) or ``"sample"`` (drawn from the population, each level for itself).
        level
            Probability inside the interval.
        kind
            ``"response"``: the expected response, residual variation left out (binomial: the probability of success;
            categories: the probability of each). ``"link"``: the linear predictor. ``"predictive"``: a new response,
            residual variation included; new data need the columns of ``trials(...)`` and ``se(...)``.
        seed
            Of the residual variation; the fit's where None.
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

        Returns
        -------
        DataFrame
            estimate (posterior mean), sd, lower, upper: a row for each row of the data. For categories a row for each
            row of the data and category, column `category` first.

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
        >>> fit.predict(course.iloc[[0]]).round(0)["estimate"].item()
        73.0
        """
        check_level(level)
        check_option("kind", kind, ("response", "link", "predictive"))
        back = transformation_to_undo(self.design, self.family, back_transform, bias_adjust)
        if back is not None and (kind == "link" or (bias_adjust and kind != "response")):
            what = "back_transform=True" if kind == "link" else "bias_adjust=True"
            raise OptionError(f"{what} and kind={kind!r} ask for different scales", hint='Use kind="response".')
        adjust = back is not None and bias_adjust
        if weights is not None and not adjust:
            responses.refuse_weights(self, kind)
        frame = responses.fetch(self.design, newdata, weights)
        rows = self._told_rows(frame, new_levels)
        last = self._last("link" if kind == "predictive" else kind)
        if kind == "predictive":
            responses.refuse_categories(self, "intervals of new responses")
            facts = responses.row_facts(self.design, frame, weights, row_labels(newdata))
            rng = np.random.default_rng(self.seed if seed is None else seed)
            found = responses.new_responses(self, rows, facts, rng)
        else:
            found = self.stream(rows, kind)
        if back is not None:
            used = responses.used_weights(self.design, frame, weights, row_labels(newdata)) if bias_adjust else None
            found = self._taken_back(found, back, used, bias_adjust)
        index = self.design.frame.index if newdata is None else getattr(newdata, "index", None)
        usable = index if isinstance(index, pd.Index) and len(index) == len(rows) else None
        table = responses.summaries(found, len(rows), last, level)
        names = self.categories if kind == "response" else self._predicted if last else ()
        return responses.prediction_table(table, usable, names, "category")

    def _taken_back(
        self, found: Iterator[tuple[slice, Array]], back: Transformation, weights: Array | None, bias_adjust: bool
    ) -> Iterator[tuple[slice, Array]]:
        """Draws of the variable behind a transformed response, or of its mean, a block of rows at a time."""
        for at, values in found:
            if bias_adjust and back.affine is None:
                sigma = self.joint.auxiliary["sigma"][:, None]
                yield at, back.mean(values, sigma if weights is None else sigma / np.sqrt(weights[at]))
            else:
                yield at, back.inverse(values)

    @property
    def _predicted(self) -> tuple[str, ...]:
        return tuple(str(one.category) for one in self.joint.predictors)

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
            (nobs, n), a column for each draw; labels for categories.
        """
        values = self._simulated(n, seed)
        if self.categories:
            values = np.asarray(self.categories, dtype=object)[values.astype(np.intp)]
        return pd.DataFrame(values.T, index=self.design.frame.index)

    def _simulated(self, n: int | None, seed: int | None) -> Array:
        """(n, nobs) new responses; codes for categories."""
        rng = np.random.default_rng(seed)
        chosen = None if n is None else rng.choice(self.n_draws, n, replace=n > self.n_draws)
        count = self.n_draws if chosen is None else len(chosen)
        check_memory(count, self.nobs)
        found = responses.new_responses(self, self.design_for(), responses.row_facts(self.design), rng, chosen)
        return responses.together(found, count, self.nobs, ())

    def residual_sd(self, chosen: NDArray[np.intp] | slice = slice(None)) -> Array:
        """(n, D) residual standard deviations of the rows of a gaussian response, for the chosen draws."""
        check_option("family", self.family.name, ("gaussian",))
        design = self.design
        if design.known_sd is not None:
            return np.repeat(design.known_sd[:, None], self.joint.predictors[0].beta[chosen].shape[0], axis=1)
        scale = np.ones(self.nobs) if design.weights is None else design.weights**-0.5
        return scale[:, None] * self.joint.auxiliary["sigma"][chosen]
