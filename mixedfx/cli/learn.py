"""Learners as the command line words them: what is asked of a file, the answers, and what is written of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import mixedfx as mx
from mixedfx.design.labels import is_number
from mixedfx.effects.render import content
from mixedfx.errors import DataError, OptionError, check_level, check_option
from mixedfx.learn.folds import TARGETS
from mixedfx.learn.pseudo_outcomes import find_learner

if TYPE_CHECKING:
    from mixedfx.learn.calibrated import Calibration
    from mixedfx.learn.cate import CateFit
    from mixedfx.learn.scores import Scores
    from mixedfx.learn.targeting import Targeting
    from mixedfx.results.render import SummaryContent


@dataclass(frozen=True)
class Learning:
    """What is asked of the people of a file.

    Attributes
    ----------
    outcome, treatment
        Columns.
    groups
        Column of groups, such as schools.
    learner
        As in `mixedfx.cate`.
    propensity
        Column of known propensities, or a number; estimated where None.
    pool
        Right side of the model that scores are pooled by; by the groups where None.
    by
        Columns whose subgroups are shown; the groups where None.
    ignore
        Columns that are no covariates.
    share
        Of people who can be treated.
    target
        ``"these groups"`` or ``"new groups"``.
    folds, seed, level, clip
        As in `mixedfx.cate` and `mixedfx.pool_scores`.
    """

    outcome: str
    treatment: str
    groups: str | None = None
    learner: str = "R"
    propensity: str | None = None
    pool: str | None = None
    by: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    share: float = 0.3
    target: str = "these groups"
    folds: int = 5
    seed: int = 0
    level: float = 0.95
    clip: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises
        ------
        OptionError
            Options that do not exist.
        """
        find_learner(self.learner)
        check_option("target", self.target, TARGETS)
        check_level(self.level)
        if not 0 < self.share <= 1:
            raise OptionError(f"--share {self.share} is no share of people", hint="Use a number above 0 and up to 1.")

    def learn(self, frame: pd.DataFrame) -> Learnt:
        """Fit scores and effects.

        Raises
        ------
        DataError
            Columns that the file does not have.
        """
        known = self.propensity
        e: Any = None if known is None else float(known) if is_number(known) else known
        named = [self.outcome, self.treatment, self.groups, *self.by, *self.ignore, e if isinstance(e, str) else None]
        for column in named:
            if column is not None and column not in frame.columns:
                raise DataError(f"the data have no column {column!r}", hint=f"Columns: {', '.join(frame.columns)}.")
        if isinstance(e, str):
            e = frame[e].to_numpy()
        left = {self.outcome, self.treatment, *self.ignore, *([known] if isinstance(known, str) else [])}
        X = frame.drop(columns=[c for c in frame.columns if c in left]).copy()
        for column in X.columns:
            if not pd.api.types.is_numeric_dtype(X[column].dtype) or column == self.groups:
                X[column] = X[column].astype("category")
        own: dict[str, Any] = {
            "groups": None if self.groups is None else frame[self.groups], "propensity": e, "target": self.target,
            "folds": self.folds, "seed": self.seed, "clip": self.clip, "progress": False,
        }  # fmt: skip
        y, w = frame[self.outcome], frame[self.treatment]
        return Learnt(self, frame, mx.dr_scores(X, y, w, **own), mx.cate(self.learner, X, y, w, **own))


@dataclass(frozen=True, eq=False)
class Learnt:
    """What was learnt.

    Attributes
    ----------
    asked
        The question.
    frame
        The people.
    scores, fit
        Doubly robust scores, and effects.
    """

    asked: Learning
    frame: pd.DataFrame
    scores: Scores
    fit: CateFit

    @cached_property
    def pooled(self) -> Any:
        """Effects of subgroups by partial pooling; None where there is nothing to pool by."""
        asked = self.asked
        right = asked.pool or (None if asked.groups is None else f"1 + (1 | {asked.groups})")
        if right is None:
            return None
        by = list(asked.by) or asked.groups
        return mx.pool_scores(self.scores, right, self.frame, by=by, level=asked.level)

    @cached_property
    def targeting(self) -> Targeting:
        """Budget curve and RATE."""
        return mx.targeting(self.fit.out_of_fold, self.scores, level=self.asked.level, progress=False)

    @cached_property
    def calibration(self) -> Calibration:
        """Slope of scores on effects."""
        return mx.calibration(self.fit.out_of_fold, self.scores, level=self.asked.level)

    @cached_property
    def values(self) -> Any:
        """Values of policies."""
        share = self.asked.share
        best = mx.treat_best(self.fit.out_of_fold, share)
        policies = {
            f"best {share:.0%}": best,
            f"random {share:.0%}": np.full(len(best), share),
            "all": 1.0,
            "none": 0.0,
        }
        return mx.policy_value(policies, self.scores, level=self.asked.level)

    def pages(self) -> list[SummaryContent]:
        """What is shown, in reading order."""
        pages = [self.scores.content(), self.fit.content()]
        if self.pooled is not None:
            pages.append(content(self.pooled, max_rows=None))
        return [*pages, self.calibration.content(), self.values.content(), self.targeting.content()]

    def as_json(self, data: str) -> dict[str, Any]:
        """What is written."""
        return {
            "mixedfx": mx.__version__,
            "data": data,
            "learner": self.asked.learner,
            "target": self.asked.target,
            "rows": len(self.frame),
            "average": self.scores.average(self.asked.level),
            "overlap": self.scores.overlap.table,
            "effects": None if self.pooled is None else self.pooled.table,
            "calibration": self.calibration.table,
            "policies": self.values.table,
            "budgets": self.targeting.curve,
            "rate": self.targeting.rate,
        }
