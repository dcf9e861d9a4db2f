r"""What a bootstrap found: replicates of some statistics, their bias and standard error, and intervals.

With t the statistic on the data, t* on a replicate and q the quantiles of t* (Davison & Hinkley 1997, chapter 5):

* percentile: (q_{a/2}, q_{1-a/2});
* basic: (2 t - q_{1-a/2}, 2 t - q_{a/2}), from the quantiles of t* - t as if they were those of t - truth;
* normal: t - bias -+ z se, with the bias mean(t*) - t and the standard deviation of t*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_option
from mixedfx.inference.parameters import Names, Parameter, choose, interval_frame
from mixedfx.inference.profile import quantile
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent

Vector = NDArray[np.float64]
Interval = Literal["percentile", "basic", "normal"]
INTERVALS = ("percentile", "basic", "normal")


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Shown):
    """Replicates, as `LmerFit.bootstrap` returns them.

    Attributes
    ----------
    parameters
        The statistics, as parameters; a statistic of the user's own has only a name.
    estimate
        (m,) the statistics on the data.
    values
        (B, m) the statistics on the replicates that could be fitted. A correlation is NaN where an sd is zero.
    kind
        ``"parametric"``, ``"cluster"`` or ``"residual"``.
    failed
        Replicates left out because their fit broke down or was not certified.
    singular
        Replicates, among those kept, with a variance of zero or a correlation of one.
    """

    parameters: tuple[Parameter, ...]
    estimate: NDArray[np.float64]
    values: NDArray[np.float64]
    kind: str
    failed: int
    singular: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def replicates(self) -> pd.DataFrame:
        """(B, m) one row for each replicate."""
        return pd.DataFrame(self.values, columns=[p.label for p in self.parameters])

    def tidy(self) -> pd.DataFrame:
        """One row for each statistic: group, term, estimate, bias, std_error, and n, the replicates that have it."""
        with np.errstate(invalid="ignore"):
            n = np.isfinite(self.values).sum(axis=0)
            mean, sd = _moments(self.values)
        return pd.DataFrame(
            {
                "group": [p.group for p in self.parameters],
                "term": [p.term for p in self.parameters],
                "estimate": self.estimate,
                "bias": mean - self.estimate,
                "std_error": sd,
                "n": n,
            }
        )

    def confint(
        self,
        level: float = 0.95,
        interval: Interval = "percentile",
        parm: str | Sequence[str] | None = None,
        names: Names = "tidy",
    ) -> pd.DataFrame:
        """Bootstrap intervals.

        Parameters
        ----------
        level
            Confidence level.
        interval
            ``"percentile"``, ``"basic"`` or ``"normal"``, see `mixedfx.inference.bootstrap`.
        parm
            Statistics, None for all; see `mixedfx.inference.parameters.choose`.
        names
            ``"tidy"``, or ``"lme4"`` for its row names and columns.
        """
        check_option("interval", interval, INTERVALS)
        z = quantile(level)
        chosen = choose(self.parameters, parm)
        at = [self.parameters.index(p) for p in chosen]
        values, estimate = self.values[:, at], self.estimate[at]
        low, high = np.full(len(at), np.nan), np.full(len(at), np.nan)
        usable = np.isfinite(values).sum(axis=0) > 1
        if interval == "normal":
            mean, sd = _moments(values)
            low, high = 2 * estimate - mean - z * sd, 2 * estimate - mean + z * sd
        elif usable.any():
            tails = [(1 - level) / 2, (1 + level) / 2]
            low[usable], high[usable] = np.nanquantile(values[:, usable], tails, axis=0)
            if interval == "basic":
                low, high = 2 * estimate - high, 2 * estimate - low
        return interval_frame(chosen, estimate, low, high, level, names)

    def content(self) -> SummaryContent:
        """Estimates, biases and standard errors."""
        return SummaryContent(self._counts, (frame_table(self.tidy(), "", whole=".tidy()"),))

    @property
    def _counts(self) -> str:
        kind = self.kind.capitalize()
        return f"{kind} bootstrap: {len(self)} replicates, {self.failed} failed and left out, {self.singular} singular"


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, missing values left out."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, values, 0.0).sum(axis=0) / n
        square = np.where(there, values - mean, 0.0) ** 2
        return mean, np.sqrt(square.sum(axis=0) / (n - 1))


@dataclass(frozen=True)
class Found:
    """One block: (b, m) statistics, which fits are good, which are singular."""

    values: Vector
    good: NDArray[np.bool_]
    singular: NDArray[np.bool_]


def named_statistic(value: Any) -> tuple[Vector, tuple[Parameter, ...]]:
    """A statistic of the user's as numbers and names."""
    if isinstance(value, pd.Series):
        names, numbers = [str(i) for i in value.index], value.to_numpy(dtype=np.float64)
    else:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
        names = ["statistic"] if np.ndim(value) == 0 else [f"statistic[{i}]" for i in range(numbers.size)]
    if numbers.ndim != 1:
        raise OptionError("a statistic must return a number, a vector or a Series")
    return numbers, tuple(Parameter("beta", "", name, name, i) for i, name in enumerate(names))
