"""dr_scores: doubly robust scores of people, whose averages over any group are effects in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, check_level, some_rows
from mixedfx.learn.clusters import means
from mixedfx.learn.crossfit import Plan, check_model, cross_fit, probabilities
from mixedfx.learn.folds import Target, folds_of
from mixedfx.learn.models import outcome_model, propensity_model
from mixedfx.learn.outcomes import outcome_plans
from mixedfx.learn.predicted import as_numbers
from mixedfx.learn.propensity import OverlapReport, checked, overlap, read_known
from mixedfx.learn.pseudo_outcomes import arm_scores
from mixedfx.learn.trial import Trial, in_order, read_trial
from mixedfx.progress import Asked
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts, SummaryTable

Array = NDArray[np.float64]


def dr_scores(
    X: Any,
    y: Any,
    w: Any,
    *,
    groups: Any = None,
    outcome: Any = None,
    propensity: Any = None,
    target: Target = "these groups",
    folds: int | Sequence[int] | NDArray[Any] = 5,
    clip: float | None = None,
    seed: int | None = 0,
    n_jobs: int | None = None,
    progress: Asked = None,
) -> Scores:
    """Doubly robust scores (augmented inverse propensity weighting), cross-fitted.

    The score of a person under arm k is mu_k + 1(w = k) (y - mu_k) / e_k, and of the effect of arm k the difference to
    that under the control. Averages of scores over people are unbiased for the average effect on them where either the
    outcome model or the propensities are right.

    Parameters
    ----------
    X, y, w, groups, target, folds, clip, seed, n_jobs, progress
        As in `mixedfx.cate`.
    outcome
        A regressor, or a classifier of zeros and ones, fitted to each arm, or to the arms together where it offers that
        (`mixedfx.MixedRegressor`); LightGBM with 100 trees of 7 leaves where None.
    propensity
        A classifier or known probabilities, as in `mixedfx.cate`; such a LightGBM where None.

    Returns
    -------
    Scores
        For `mixedfx.pool_scores`, `mixedfx.policy_value` and averages (`Scores.average`).

    Raises
    ------
    DataError, OptionError
        As `mixedfx.cate`.

    Warns
    -----
    OneArmWarning, OverlapWarning
        As `mixedfx.cate`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from sklearn.linear_model import LinearRegression
    >>> data, truth = mx.datasets.simulate_mindset(1, n=4000)
    >>> X = data[["success_expect", "school_mindset"]]
    >>> scores = mx.dr_scores(X, data["achievement_score"], data["intervention"], groups=data["schoolid"],
    ...                       outcome=LinearRegression(), propensity=truth.propensity)
    >>> scores.average()[["contrast", "n"]].to_numpy().tolist()
    [['1 - 0', 4000]]
    """
    trial = read_trial(X, y, w, groups)
    split = folds_of(in_order(folds, X, "folds"), trial.arm, trial.arms, trial.group, target, seed)
    first = outcome_model(outcome, trial.binary, small=True, seed=seed)
    second = propensity_model(propensity, small=True, seed=seed)
    check_model(first, "outcome")
    K, rows = len(trial.arms), np.arange(len(trial))
    plans = []
    if second is not None:
        check_model(second, "propensity", classes=True)
        plans = [Plan("propensity", second, trial.X, rows, trial.arm, partial(probabilities, K=K))]
    plans += outcome_plans("by arm", trial, first)
    known = read_known(in_order(propensity, X, "propensity"), len(trial), K) if second is None else None
    if known is not None:
        known = checked(known, trial.arm, clip, known=True)
    found = cross_fit(plans, split, n_jobs, progress)
    e = checked(found.pop(0), trial.arm, clip, known=False) if known is None else known
    return Scores(trial, np.column_stack(found), e, split, target)


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Shown):
    """Doubly robust scores of n people in K arms.

    Attributes
    ----------
    trial
        What was observed.
    mu
        (n, K) expected outcomes, out of fold.
    e
        (n, K) probabilities of the arms.
    folds
        (n,) numbers of folds.
    target
        Whom the outcome models are for.
    """

    trial: Trial
    mu: Array
    e: Array
    folds: NDArray[np.intp]
    target: Target = "these groups"

    def __len__(self) -> int:
        return len(self.trial)

    @property
    def arms(self) -> Array:
        """(n, K) scores of the mean outcome under each arm."""
        return arm_scores(self.trial.y, self.trial.arm, self.mu, self.e)

    @property
    def values(self) -> Array:
        """(n,) scores of the effect, (n, K - 1) of several."""
        found = self.arms[:, 1:] - self.arms[:, :1]
        return found[:, 0] if found.shape[1] == 1 else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype)

    def of(self, contrast: str | None = None) -> Array:
        """(n,) scores of one contrast, which may be left out where there is one."""
        names = self.trial.contrasts
        if contrast is None and len(names) == 1:
            return self.values
        if contrast is None:
            raise OptionError(
                f"scores are of {len(names)} effects", hint=f"Say which by contrast=. Contrasts: {', '.join(names)}."
            )
        if contrast not in names:
            raise OptionError(f"there is no contrast {contrast!r}", hint=f"Contrasts: {', '.join(names)}.")
        return np.asarray(self.values).reshape(len(self), -1)[:, names.index(contrast)]

    @property
    def overlap(self) -> OverlapReport:
        """How far the probabilities of the arms overlap."""
        return overlap(self.e, self.trial.arm, self.trial.arms)

    def average(self, level: float = 0.95) -> pd.DataFrame:
        """Average effects: contrast, n, estimate, std_error, lower, upper.

        Standard errors are clustered by the groups, where there are any. Each group's effect is then a draw from a
        population of such groups; intervals are normal.
        """
        from statistics import NormalDist

        check_level(level)
        values = np.asarray(self.values).reshape(len(self), -1)
        mean, V = means(values, np.ones((len(self), 1)), self.trial.group)
        se, z = np.sqrt(np.diag(V)), NormalDist().inv_cdf(0.5 + level / 2)
        table = {"contrast": list(self.trial.contrasts), "n": len(self), "estimate": mean, "std_error": se}
        return pd.DataFrame({**table, "lower": mean - z * se, "upper": mean + z * se})

    def content(self) -> SummaryContent:
        """Average effects, groups and overlap."""
        trial, table = self.trial, self.average()
        rows = tuple(
            (str(row["contrast"]), *(f"{row[c]:.4f}" for c in ("estimate", "std_error", "lower", "upper")))
            for _, row in table.iterrows()
        )
        header = ("contrast", "estimate", "std_error", "lower", "upper")
        errors = "of independent rows" if trial.groups is None else f"clustered by {len(trial.groups):,} groups"
        facts = SummaryFacts((("Rows", f"{len(self):,}"), ("Standard errors", errors)))
        averages = SummaryTable("Average effects", header, rows, "lrrrr")
        return SummaryContent("Doubly robust scores", (facts, averages, *self.overlap.content().blocks))


def read_scores(scores: Any, n: int | None, contrast: str | None = None) -> Array:
    """(n,) scores of one effect, from `Scores` or from elsewhere.

    Raises
    ------
    DataError
        Another length, or scores that are missing, by counts.
    """
    values = scores.of(contrast) if isinstance(scores, Scores) else as_numbers(scores, "scores")
    if values.ndim != 1:
        raise DataError(f"scores have shape {values.shape}", hint="Give those of one effect: one number for each row.")
    if n is not None and len(values) != n:
        raise DataError(f"there are {len(values)} scores and {n} rows of data", hint="One score for each row.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{len(bad)} scores are NaN or infinite: {some_rows(bad)}", hint="Leave these rows out.")
    return values
