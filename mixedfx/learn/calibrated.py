"""calibration: whether predicted effects are as different as they say.

The slope of a regression of delta on the predicted effect is 1 where effects are as different as they
are said to be, and below where predictions overfit; its error is cluster-robust. The mean effect beside it is the mean
of delta with the error of a clustered mean, and not that of the regression's intercept, which would leave out the
variation between clusters that the predictions explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_level
from mixedfx.learn import clusters
from mixedfx.learn.folds import cluster_codes
from mixedfx.learn.policy import _shown
from mixedfx.learn.predicted import alike, read_cross_fitted
from mixedfx.learn.scores import Scores, read_scores
from mixedfx.results.render import Shown, SummaryContent, SummaryTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture

Array = NDArray[np.float64]


def calibration(
    cate: Any,
    scores: Any,
    *,
    bins: int = 10,
    cluster: Any = None,
    contrast: str | None = None,
    level: float = 0.95,
    cross_fitted: bool | None = None,
) -> Calibration:
    """Whether predicted effects are as different as they say: the slope of doubly robust scores on them.

    Parameters
    ----------
    cate, scores, cluster, contrast, cross_fitted
        As in `mixedfx.targeting`.
    bins
        Groups of people of like predictions, for the picture.
    level
        Probability that intervals hold.

    Returns
    -------
    Calibration
        `table` (slope, and the mean effect), `bins`, `plot`.

    Raises
    ------
    OptionError
        In-sample effects, or effects that are all alike.
    DataError
        Scores or effects of another length, or NaN, by counts.

    Examples
    --------
    >>> import mixedfx as mx
    >>> found = mx.calibration([0.0, 1.0, 2.0, 3.0], [0.1, 0.4, 1.1, 1.4], bins=2, cross_fitted=True)
    >>> float(found.table["estimate"].iloc[0].round(3))  # effects differ half as much as they were said to
    0.46
    """
    check_level(level)
    check_count("bins", bins, 2)
    delta = read_scores(scores, None, contrast)
    tau = read_cross_fitted(cate, len(delta), cross_fitted, contrast)
    if isinstance(scores, Scores) and cluster is None:
        cluster = scores.trial.group
    if bins > len(tau):
        raise OptionError(f"{bins} bins of {len(tau)} people", hint="Use fewer.")
    codes = cluster_codes(cluster, len(delta))
    if alike(tau):
        raise OptionError("the effects are all alike: there is no slope", hint="Ask scores.average() for their level.")
    X = np.column_stack([np.ones(len(tau)), tau - tau.mean()])
    b, V = clusters.least_squares(X, delta, codes)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    (average,), M = clusters.means(delta[:, None], np.ones((len(tau), 1)), codes)
    found, se = np.array([b[1], average]), np.sqrt([V[1, 1], M[0, 0]])
    table = pd.DataFrame({
        "term": ["slope", "mean effect"], "estimate": found, "std_error": se, "lower": found - z * se,
        "upper": found + z * se, "predicted": [1.0, tau.mean()],
    })  # fmt: skip
    place = np.minimum((np.argsort(np.argsort(tau, kind="stable")) * bins) // len(tau), bins - 1)
    member = (place[:, None] == np.arange(bins)).astype(np.float64)
    mean, W = clusters.means(np.broadcast_to(delta[:, None], member.shape), member, codes)
    half = z * np.sqrt(np.diag(W))
    predicted = (member * tau[:, None]).sum(axis=0) / member.sum(axis=0)
    rows = {"n": member.sum(axis=0).astype(int), "predicted": predicted, "estimate": mean}
    return Calibration(table, pd.DataFrame({**rows, "lower": mean - half, "upper": mean + half}), level)


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Shown):
    """How predicted effects compare with scores.

    Attributes
    ----------
    table
        slope (1 where calibrated) and mean effect: term, estimate, std_error, lower, upper, predicted.
    bins
        People of like predictions, the lowest first: n, predicted (mean effect), estimate (mean score), lower, upper.
    level
        Probability that intervals hold.
    """

    table: pd.DataFrame
    bins: pd.DataFrame
    level: float

    @property
    def slope(self) -> float:
        """1 where effects are as different as they are said to be; below where predictions overfit."""
        return float(self.table["estimate"].iloc[0])

    def plot(self, ax: Axes | None = None) -> Picture:
        """Mean scores over mean predictions of people of like predictions, with the line of equality."""
        from mixedfx.plots.picture import Picture
        from mixedfx.plots.targeting import calibration_points

        return Picture(calibration_points(self.bins, level=self.level, ax=ax))

    def content(self) -> SummaryContent:
        """Slope and bins."""
        tables: tuple[SummaryTable, ...] = (_shown("", self.table), _shown("People of like predictions", self.bins))
        return SummaryContent("Calibration of predicted effects", tables)
