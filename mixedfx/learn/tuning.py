r"""tune_cate: which learner, with which models and parameters, predicts effects best on held-out people.

Nobody's own effect is observed, so that effects are judged by losses whose expectation is smallest at the truth, given
nuisances that are estimated once, out of fold, and are the same for all candidates:

* R-loss (Nie and Wager 2021): mean of (y - m - (w - e) tau)^2, over the rows of arms 0 and k;
* DR-loss (Kennedy 2023): mean of (Gamma - tau)^2, Gamma doubly robust scores.

tau are out-of-fold predictions, on the same folds for all candidates. ``explained`` is 1 - loss / loss of the best
constant: zero or below for a candidate that ranks people no better than one effect for all. Losses of candidates are
compared on the same people: ``behind_se`` is the standard error of the difference to the best, clustered by groups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_count, check_option
from mixedfx.learn.cate import CateFit, cate
from mixedfx.learn.clusters import means
from mixedfx.learn.crossfit import take
from mixedfx.learn.folds import Target, make_folds
from mixedfx.learn.grids import PARTS, Candidate, read_spaces, suggested, with_parameters
from mixedfx.learn.policy import _shown
from mixedfx.learn.scores import Scores, dr_scores
from mixedfx.learn.trial import Trial, in_order, read_trial
from mixedfx.progress import Asked, Progress
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]


def tune_cate(
    candidates: Mapping[str, Any],
    X: Any,
    y: Any,
    w: Any,
    *,
    loss: Literal["R", "DR"] = "R",
    search: Literal["grid", "halving", "optuna"] = "grid",
    n_trials: int = 50,
    outcome: Any = None,
    propensity: Any = None,
    groups: Any = None,
    target: Target = "these groups",
    folds: int = 5,
    clip: float | None = None,
    seed: int | None = 0,
    n_jobs: int | None = None,
    progress: Asked = None,
) -> Tuned:
    """Choose learner, models and parameters by a loss on held-out people.

    Parameters
    ----------
    candidates
        Learner -> grid, as scikit-learn's ParameterGrid has it: lists of models for ``outcome``, ``propensity`` and
        ``effect``, and lists of their parameters, ``effect__max_depth``. Several grids are a list. For ``"optuna"``
        parameters may be its distributions too: ``optuna.distributions.IntDistribution(2, 8)``.
    X, y, w, groups, target, clip, seed, n_jobs
        As in `mixedfx.cate`.
    loss
        ``"R"`` or ``"DR"``.
    search
        ``"grid"``: every candidate on all rows. ``"halving"``: on a quarter of the rows, the better half of them on
        half of the rows, and the better half of those on all. ``"optuna"``: `n_trials` candidates, each suggested by
        the losses of those before (its tree-structured Parzen estimator); needs the package optuna.
    n_trials
        Suggestions of optuna. One that was suggested before is not fitted again.
    outcome, propensity
        Models (or known propensities) of the nuisances of the loss, as in `mixedfx.dr_scores`; known propensities are
        those of the candidates too.
    folds
        How many.
    progress
        True, False, None (where somebody looks) or a function that is told.

    Returns
    -------
    Tuned
        `table`, the best first; `best`, its fit.

    Raises
    ------
    OptionError
        An unknown learner or part; no candidates; distributions for a search that cannot draw from them.
    DataError
        As `mixedfx.cate`.
    MissingPackageError
        ``search="optuna"`` without optuna.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from sklearn.linear_model import LinearRegression, Ridge
    >>> data, truth = mx.datasets.simulate_mindset(1, n=3040)
    >>> X = data[["success_expect", "school_mindset"]]
    >>> grid = {"outcome": [LinearRegression()], "effect": [Ridge()], "effect__alpha": [1.0, 100.0]}
    >>> tuned = mx.tune_cate({"R": grid}, X, data["achievement_score"], data["intervention"],
    ...                      outcome=LinearRegression(), propensity=truth.propensity)
    >>> tuned.table[["learner", "rows"]].values.tolist()
    [['R', 3040], ['R', 3040]]
    """
    check_option("loss", loss, ("R", "DR"))
    check_option("search", search, ("grid", "halving", "optuna"))
    check_count("n_trials", n_trials)
    check_count("folds", folds, 2)
    spaces = read_spaces(candidates, drawn=search == "optuna")
    suggestions = suggested(spaces, n_trials, seed) if search == "optuna" else None
    trial = read_trial(X, y, w, groups)
    propensity = in_order(propensity, X, "propensity")
    split = make_folds(folds, trial.arm, trial.group, target, seed)
    own: dict[str, Any] = {
        "groups": trial.group, "target": target, "clip": clip, "n_jobs": n_jobs, "progress": False, "seed": seed
    }  # fmt: skip
    scores = dr_scores(trial.X, trial.y, trial.arm, outcome=outcome, propensity=propensity, folds=split, **own)
    known = propensity if propensity is not None and not hasattr(propensity, "fit") else None
    judge = Judge(loss, scores, _pooled(scores) if loss == "R" else None)
    race = _Race(trial, split, known, judge, own)
    if suggestions is not None:
        left = _by_suggestions(race, suggestions, n_trials, progress)
    else:
        asked = [candidate for space in spaces for candidate in space.candidates()]
        rounds = [len(trial)] if search == "grid" else [len(trial) // 4, len(trial) // 2, len(trial)]
        left = _by_rounds(race, asked, rounds, np.random.default_rng(seed).permutation(len(trial)), progress)
    return race.result(left)


@dataclass(frozen=True, eq=False, repr=False)
class Tuned(Shown):
    """Candidates and their losses.

    Attributes
    ----------
    table
        One row for each candidate, the best first: learner, its parameters, rows (it was judged on), loss, explained,
        seconds, behind and behind_se (difference to the best, of those judged on all rows).
    best
        The fit of the best.
    loss
        ``"R"`` or ``"DR"``.
    chosen
        Learner and parameters of the best.
    """

    table: pd.DataFrame
    best: CateFit
    loss: str
    chosen: tuple[str, Mapping[str, Any]]

    def content(self) -> SummaryContent:
        """The table."""
        facts = SummaryFacts((("Loss", f"{self.loss}, on held-out folds"), ("Candidates", str(len(self.table)))))
        return SummaryContent("Tuning of effects", (facts, _shown("Candidates, the best first", self.table)))


@dataclass(frozen=True, eq=False)
class Judge:
    """Losses of effects, given nuisances.

    Attributes
    ----------
    loss
        ``"R"`` or ``"DR"``.
    scores
        Doubly robust scores, with propensities.
    pooled
        (n, K - 1) expected outcomes in arms 0 and k together, for the R-loss.
    """

    loss: str
    scores: Scores
    pooled: Array | None

    def _parts(self, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        """Targets t and factors f (m, K - 1) of losses (t - f tau)^2; f is zero in rows that a loss leaves out."""
        trial = self.scores.trial
        if self.loss == "DR":
            target = np.asarray(self.scores.values).reshape(len(trial), -1)[rows]
            return target, np.ones_like(target)
        assert self.pooled is not None
        K, arm, e = len(trial.arms), trial.arm[rows], self.scores.e[rows]
        share = e[:, 1:] / (e[:, :1] + e[:, 1:])
        inside = (arm[:, None] == 0) | (arm[:, None] == np.arange(1, K))
        gap = np.where(inside, (arm[:, None] == np.arange(1, K)) - share, 0.0)
        return np.where(inside, trial.y[rows, None] - self.pooled[rows], 0.0), gap

    def losses(self, tau: Array, rows: NDArray[np.intp]) -> Array:
        """(m,) loss of each row."""
        target, factor = self._parts(rows)
        return ((target - factor * tau) ** 2).sum(axis=1)

    def constant(self, rows: NDArray[np.intp]) -> float:
        """Mean loss of the best constant effect of each arm."""
        target, factor = self._parts(rows)
        best = (factor * target).sum(axis=0) / (factor**2).sum(axis=0)
        return float(((target - factor * best) ** 2).sum(axis=1).mean())


def _pooled(scores: Scores) -> Array:
    """(n, K - 1) m = share mu_k + (1 - share) mu_0, from the nuisances that are there."""
    share = scores.e[:, 1:] / (scores.e[:, :1] + scores.e[:, 1:])
    return share * scores.mu[:, 1:] + (1 - share) * scores.mu[:, :1]


@dataclass(eq=False)
class _Race:
    """Candidates that were fitted so far, numbered, with what is known of each."""

    trial: Trial
    split: NDArray[np.intp]
    known: Any
    judge: Judge
    own: Mapping[str, Any]
    asked: dict[int, Candidate] = field(default_factory=dict)
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    losses: dict[int, Array] = field(default_factory=dict)
    fits: dict[int, CateFit] = field(default_factory=dict)

    def run(self, number: int, candidate: Candidate, rows: NDArray[np.intp]) -> float:
        """Mean loss of a candidate that is fitted to some rows."""
        learner, parameters = candidate
        began = time.perf_counter()
        fit = self._fit(learner, parameters, rows)
        each = self.judge.losses(fit.fitted, rows)
        self.results[number] = {
            "learner": learner, **_told(parameters), "rows": len(rows), "loss": each.mean(),
            "explained": 1 - each.mean() / self.judge.constant(rows), "seconds": time.perf_counter() - began,
        }  # fmt: skip
        self.asked[number], self.losses[number], self.fits[number] = candidate, each, fit
        return float(each.mean())

    def _fit(self, learner: str, parameters: Mapping[str, Any], rows: NDArray[np.intp]) -> CateFit:
        trial, models, known = self.trial, with_parameters(parameters), self.known
        if known is not None:
            n = len(trial)
            models["propensity"] = known if np.ndim(known) == 0 or len(known) != n else np.asarray(known)[rows]
        group = None if trial.group is None else trial.group[rows]
        folds = np.unique(self.split[rows], return_inverse=True)[1]
        options = {**self.own, "groups": group, "folds": folds}
        return cate(learner, take(trial.X, rows), trial.y[rows], trial.arm[rows], **models, **options)

    def result(self, left: Sequence[int]) -> Tuned:
        """The table, from the numbers of those that were judged on all rows, the best first."""
        for i in left:
            gap, V = means((self.losses[i] - self.losses[left[0]])[:, None], np.ones((len(self.trial), 1)),
                           self.trial.group)  # fmt: skip
            self.results[i] |= {"behind": gap[0], "behind_se": float(np.sqrt(V[0, 0]))}
        others = set(self.results) - set(left)
        ranked = [*left, *sorted(others, key=lambda i: (-self.results[i]["rows"], self.results[i]["loss"]))]
        table = pd.DataFrame([self.results[i] for i in ranked])
        measured = ["rows", "loss", "explained", "behind", "behind_se", "seconds"]
        parts = ("learner", *PARTS)
        parameters = sorted(
            table.columns.difference(measured), key=lambda name: (parts.index(name.partition("__")[0]), name)
        )
        return Tuned(
            table.reindex(columns=[*parameters, *measured]), self.fits[left[0]], self.judge.loss, self.asked[left[0]]
        )


def _by_rounds(
    race: _Race, asked: Sequence[Candidate], rounds: Sequence[int], order: NDArray[np.intp], progress: Asked
) -> list[int]:
    """Each round on more of the rows, in a random order, with the better half; numbers of the last round's."""
    left, done = list(range(len(asked))), 0
    total = sum(max(1, len(asked) // 2**r) for r in range(len(rounds)))
    with Progress(progress, "tuning", total, "fits") as report:
        for at, size in enumerate(rounds):
            rows = np.sort(order[:size])
            for i in left:
                race.run(i, asked[i], rows)
                done += 1
                report(done, note=asked[i][0])
            left = sorted(left, key=lambda i: race.results[i]["loss"])
            if at + 1 < len(rounds):
                left = left[: max(1, len(left) // 2)]
    return left


def _by_suggestions(
    race: _Race, suggestions: Iterator[tuple[Candidate, tuple[Any, ...], Any]], n_trials: int, progress: Asked
) -> list[int]:
    """Each suggestion on all rows, told what it lost; numbers of the different ones."""
    seen: dict[tuple[Any, ...], int] = {}
    rows = np.arange(len(race.trial))
    with Progress(progress, "tuning", n_trials, "suggestions") as report:
        for done, (candidate, key, tell) in enumerate(suggestions, start=1):
            if key not in seen:
                seen[key] = len(seen)
                race.run(seen[key], candidate, rows)
            tell(race.results[seen[key]]["loss"])
            report(done, note=candidate[0])
    return sorted(seen.values(), key=lambda i: race.results[i]["loss"])


def _told(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a table shows them."""
    return {name: type(v).__name__ if hasattr(v, "fit") else v for name, v in parameters.items()}
