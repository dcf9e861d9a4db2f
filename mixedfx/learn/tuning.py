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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_option
from mixedfx.learn.cate import CateFit, cate
from mixedfx.learn.clusters import means
from mixedfx.learn.crossfit import take
from mixedfx.learn.folds import Target, make_folds
from mixedfx.learn.packages import package
from mixedfx.learn.policy import _shown
from mixedfx.learn.pseudo_outcomes import find_learner
from mixedfx.learn.scores import Scores, dr_scores
from mixedfx.learn.trial import Trial, read_trial
from mixedfx.progress import Asked, Progress
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]
PARTS = ("outcome", "propensity", "effect")


def tune_cate(
    candidates: Mapping[str, Any],
    X: Any,
    y: Any,
    w: Any,
    *,
    loss: Literal["R", "DR"] = "R",
    search: Literal["grid", "halving"] = "grid",
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
        ``effect``, and lists of their parameters, ``effect__max_depth``. Several grids are a list.
    X, y, w, groups, target, clip, seed, n_jobs
        As in `mixedfx.cate`.
    loss
        ``"R"`` or ``"DR"``.
    search
        ``"grid"``: every candidate on all rows. ``"halving"``: on a quarter of the rows, the better half of them on
        half of the rows, and the better half of those on all.
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
        An unknown learner or part; no candidates.
    DataError
        As `mixedfx.cate`.

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
    check_option("search", search, ("grid", "halving"))
    trial = read_trial(X, y, w, groups)
    split = make_folds(folds, trial.arm, trial.group, target, seed)
    asked = _candidates(candidates)
    own: dict[str, Any] = {
        "groups": trial.group, "target": target, "clip": clip, "n_jobs": n_jobs, "progress": False
    }  # fmt: skip
    scores = dr_scores(
        trial.X, trial.y, trial.arm, outcome=outcome, propensity=propensity, folds=split, seed=seed, **own
    )
    known = propensity if propensity is not None and not hasattr(propensity, "fit") else None
    judge = Judge(loss, scores, _pooled(scores) if loss == "R" else None)
    order = np.random.default_rng(seed).permutation(len(trial))
    rounds = [len(trial)] if search == "grid" else [len(trial) // 4, len(trial) // 2, len(trial)]
    left, done = list(range(len(asked))), 0
    results: dict[int, dict[str, Any]] = {}
    losses: dict[int, Array] = {}
    fits: dict[int, CateFit] = {}
    total = sum(max(1, len(asked) // 2**r) for r in range(len(rounds)))
    with Progress(progress, "tuning", total, "fits") as report:
        for at, size in enumerate(rounds):
            rows = np.sort(order[:size])
            for i in left:
                learner, parameters = asked[i]
                began = time.perf_counter()
                fit = _fit(learner, parameters, trial, rows, known, split, seed, own)
                each = judge.losses(fit.fitted, rows)
                results[i] = {
                    "learner": learner, **_told(parameters), "rows": size, "loss": each.mean(),
                    "explained": 1 - each.mean() / judge.constant(rows), "seconds": time.perf_counter() - began,
                }  # fmt: skip
                losses[i], fits[i] = each, fit
                done += 1
                report(done, note=learner)
            left = sorted(left, key=lambda i: results[i]["loss"])
            if at + 1 < len(rounds):
                left = left[: max(1, len(left) // 2)]
    for i in left:
        gap, V = means((losses[i] - losses[left[0]])[:, None], np.ones((len(trial), 1)), trial.group)
        results[i] |= {"behind": gap[0], "behind_se": float(np.sqrt(V[0, 0]))}
    ranked = [*left, *sorted(set(results) - set(left), key=lambda i: (-results[i]["rows"], results[i]["loss"]))]
    table = pd.DataFrame([results[i] for i in ranked])
    return Tuned(table, fits[left[0]], loss, asked[left[0]])


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


def _candidates(given: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every learner with every combination of its grid."""
    out = []
    for learner, grids in given.items():
        find_learner(learner)
        try:
            grid = list(package("sklearn.model_selection").ParameterGrid(grids))
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"{learner}: the grid is none: {error}",
                hint='Give lists, of one value too: {"effect": [model], "effect__max_depth": [2, 4]}.',
            ) from None
        for parameters in grid:
            for name in parameters:
                if name.partition("__")[0] not in PARTS:
                    raise OptionError(f"{learner}: there is no part {name!r}", hint=f"Parts: {', '.join(PARTS)}.")
            _with_parameters(parameters)
            out.append((learner, parameters))
    if not out:
        raise OptionError("there are no candidates", hint='Give {"R": {"effect": [...]}}.')
    return out


def _fit(
    learner: str, parameters: Mapping[str, Any], trial: Trial, rows: NDArray[np.intp], known: Any,
    split: NDArray[np.intp], seed: int | None, own: Mapping[str, Any],
) -> CateFit:  # fmt: skip
    """Fit one candidate to some rows."""
    models = _with_parameters(parameters)
    if known is not None:
        models["propensity"] = known if np.ndim(known) == 0 or len(known) != len(trial) else np.asarray(known)[rows]
    group = None if trial.group is None else trial.group[rows]
    folds = np.unique(split[rows], return_inverse=True)[1]
    options = {**own, "groups": group}
    return cate(
        learner, take(trial.X, rows), trial.y[rows], trial.arm[rows], folds=folds, seed=seed, **models, **options
    )


def _with_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Models of the parts with their parameters set.

    Raises
    ------
    OptionError
        Parameters without a model, or of which it has none.
    """
    models = {name: value for name, value in parameters.items() if name in PARTS}
    for name, value in parameters.items():
        part, _, key = name.partition("__")
        if not key:
            continue
        model: Any = models.get(part)
        if not hasattr(model, "set_params"):
            raise OptionError(f"{name} needs a model", hint=f'Give one: "{part}": [model].')
        if key not in model.get_params():
            raise OptionError(
                f"{type(model).__name__} has no parameter {key!r} ({name})",
                hint=f"Parameters: {', '.join(sorted(model.get_params()))}.",
            )
        models[part] = package("sklearn.base").clone(model).set_params(**{key: value})
    return models


def _told(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a table shows them."""
    return {name: type(v).__name__ if hasattr(v, "fit") else v for name, v in parameters.items()}
