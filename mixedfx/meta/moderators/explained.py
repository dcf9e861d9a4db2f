r"""How much of the heterogeneity of effects moderators explain in studies that were not used to find out how.

Each cluster (study) is predicted by a model fitted without it. The predictions then are the only moderator of a
meta-regression of all estimates, a "super moderator" (Williams et al. 2022), and

    R2 = 1 - sum of its variance components / sum of those of the model without moderators.

Nothing keeps R2 from being negative: predictions of studies that were left out may be worse than one mean, and that is
what this number is there to show. A slope of the super moderator below one says that predictions differ too much; one
below zero, that they point the wrong way: then even a positive R2 explains nothing. R2 is a noisy number where studies
are few, and hard on predictions that are right within studies: the slope, which estimates within studies decide, then
carries the noise between studies with it, and adds to the variance there. The components by level (`components`) and
the squared error (`mse`) stand beside it.

The same clusters are left out for the meta-regression and for the forest, so that the two R2 compare the models alone.
Where moderators are selected on all data first (``selection="once"``), the studies left out have had their say in the
selection, and R2 is too high; ``"nested"`` selects anew without each cluster.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import (
    DataError,
    MixedfxWarning,
    ModelError,
    OptionError,
    check_count,
    check_level,
    check_option,
)
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.moderators.checkpoint import Checkpoint
from mixedfx.meta.moderators.left_out import (
    APPROACHES,
    Approach,
    Selection,
    Task,
    check_forest,
    read_task,
    say_single_levels,
)
from mixedfx.meta.moderators.screening import Blocks
from mixedfx.meta.moderators.tuning import cluster_folds
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

PREDICTION = "prediction"  # name of the super moderator's column


@dataclass(frozen=True, eq=False, repr=False)
class ExplainedHeterogeneity(Shown):
    """What two approaches explain of clusters they have not seen.

    Attributes
    ----------
    table
        approach, r2, conf_low, conf_high (NaN without bootstrap), slope and std_error of the super moderator, mse,
        moderators (their number; mean over clusters where they are selected anew), r2_in_sample (regression).
    components
        approach, group, term, and the variance component without (null) and with (super) the predictions: from which
        level they take variance away, and to which they add.
    predictions
        A row for each estimate: cluster, yi, and the prediction of each approach.
    kept
        Approach -> moderator -> share of the models that have it.
    selection
        How moderators were selected.
    cluster
        What was left out in turn.
    level
        Of the intervals.
    dropped
        Rows of the data that are not used, for want of an estimate, its variance or a level of a random term.
    """

    table: pd.DataFrame
    components: pd.DataFrame
    predictions: pd.DataFrame
    kept: dict[str, pd.Series]
    selection: Selection
    cluster: str
    level: float
    dropped: int = 0

    def content(self) -> SummaryContent:
        """What is shown."""
        words = {
            "none": "all moderators of the formula in every model",
            "once": "on all data: the clusters left out had their say, so that R2 is too high",
            "nested": f"anew without each {self.cluster}",
        }
        clusters = self.predictions[self.cluster].nunique()
        notes = []
        wrong = self.table.loc[self.table["slope"] < 0, "approach"].tolist()
        if wrong:
            note = f"slope below zero ({', '.join(wrong)}): predictions that point the wrong way explain nothing"
            notes.append(("Note", note))
        if self.dropped:
            notes.append(("Rows", f"{self.dropped:,} not used: they lack an estimate, its variance or a level"))
        facts = SummaryFacts(
            (("Predictions", f"of {clusters:,} levels of {self.cluster} by models fitted without them"),
             ("R2", "share by which the predictions as the only moderator reduce the variance of true effects; "
                    "negative where they add to it"),
             ("Selection", words[self.selection]), *notes)
        )  # fmt: skip
        shown = self.table.drop(columns=[c for c in self.table.columns if bool(self.table[c].isna().all())])
        blocks = (frame_table(shown, "By approach"), frame_table(self.components, "Variance components"), facts)
        return SummaryContent("Heterogeneity explained out of sample", blocks)


def explained_heterogeneity(
    formula: str | MixedFormula,
    data: Any,
    vi: str = "vi",
    *,
    cluster: str,
    approaches: Sequence[Approach] = APPROACHES,
    selection: Selection = "none",
    blocks: Blocks | None = None,
    always: str | None = None,
    threshold: float = 0.10,
    forest: Mapping[str, Any] | None = None,
    preselect: Mapping[str, Any] | None = None,
    tune: Mapping[str, Any] | None = None,
    unseen: Literal["reference", "refuse"] = "reference",
    impute: Literal["median"] | None = None,
    folds: int | None = None,
    bootstrap: int = 0,
    level: float = 0.95,
    seed: int | None = None,
    checkpoint: str | Path | None = None,
    progress: Asked = None,
) -> ExplainedHeterogeneity:
    """Compare how much of the heterogeneity meta-regression and a forest explain in clusters left out.

    Parameters
    ----------
    formula
        ``"yi ~ grade + weeks + (1 | study/esid)"``: moderators and the random terms of `mixedfx.rma_mv`. A forest takes
        the same moderators, which must then be columns without functions or products.
    data, vi
        Any data frame; the column of sampling variances.
    cluster
        Column whose levels are left out in turn, such as the study.
    approaches
        ``"regression"``, ``"forest"``.
    selection
        ``"none"``: all moderators. ``"once"``: those that `screen_moderators` (with `blocks`) and the preselection of a
        forest keep on all data. ``"nested"``: those that they keep without each cluster.
    blocks, always, threshold
        Of `screen_moderators`; without blocks the regression keeps all moderators.
    forest
        Options of `mixedfx.metaforest`, such as ``{"n_trees": 500, "n_jobs": 2}``.
    preselect
        Options of `MetaForest.preselect`, such as ``{"repeats": 100}``.
    tune
        Values to be tried by `mixedfx.tune_metaforest`, such as ``{"mtry": [3, 9, 27], "min_node_size": [5, 25]}``, and
        its `folds`: without each cluster, or once on all data with ``selection="once"``. None: no tuning.
    unseen
        Levels of a moderator that one cluster (or fold) alone has: with ``"reference"`` a regression without it
        predicts the level whose coefficient is zero there (the reference level, or the last one where the reference
        level is the one left out), with a warning; ``"refuse"``.
    impute
        ``"median"``: a missing moderator gets the median, or the commonest level, of the clusters that a model is
        fitted to, for both approaches alike. None: missing moderators are refused.
    folds
        Leave out the clusters in so many parts instead of one by one, which takes less time; None: each by itself.
    bootstrap
        Samples of the clusters with their predictions, for intervals of R2 and slope; the models are not fitted anew.
    level
        Of the intervals.
    seed
        Of forests and bootstrap.
    checkpoint
        A file in which predictions are kept, so that a run that was stopped goes on from there.
    progress
        As for other long work.

    Returns
    -------
    ExplainedHeterogeneity

    Raises
    ------
    DataError
        Fewer than three clusters; missing moderators, by name; with ``unseen="refuse"`` a level of a moderator that one
        cluster alone has.
    ModelError
        Moderators that are combinations of others without some cluster.

    Warns
    -----
    UnknownLevelWarning
        A level of a moderator that one cluster alone has.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(3)
    >>> data = pd.DataFrame({"study": np.repeat(np.arange(30), 2), "esid": np.arange(60), "vi": 0.02})
    >>> data["x"] = rng.normal(size=60)
    >>> data["yi"] = 0.3 * data["x"] + rng.normal(0, 0.2, 60)
    >>> found = mx.explained_heterogeneity("yi ~ x + (1 | study/esid)", data, cluster="study",
    ...                                    approaches=["regression"])
    >>> found.table[["approach", "r2", "slope"]].round(2)
         approach   r2  slope
    0  regression  ...
    """
    check_option("selection", selection, ("none", "once", "nested"))
    for approach in approaches:
        check_option("approaches", approach, APPROACHES)
    check_option("unseen", unseen, ("reference", "refuse"))
    check_option("impute", impute, (None, "median"))
    check_count("bootstrap", bootstrap, 0)
    check_level(level)
    task = read_task(
        formula, data, vi, cluster, selection, blocks, always, threshold, forest, preselect, seed, impute,
        tune,
    )  # fmt: skip
    if "forest" in approaches:
        check_forest(task)
    codes, labels = _parts(task, folds, seed)
    say_single_levels(task, codes, labels if folds else [f"{cluster} {label}" for label in labels], unseen)
    if selection == "once":
        with _quiet():
            task.choose_once(approaches)
    found = {approach: np.full(len(codes), np.nan) for approach in approaches}
    chosen: dict[str, list[tuple[str, ...]]] = {approach: [] for approach in approaches}
    saved = Checkpoint.at(checkpoint, task, seed, folds)
    with Progress(progress, "clusters left out", len(labels) * len(approaches), "models") as report, _quiet():
        pairs: list[tuple[int, Approach]] = [(x, a) for x in range(len(labels)) for a in approaches]
        for i, (label, approach) in enumerate(pairs):
            rows = codes == label
            predictions, terms = saved.get(approach, labels[label], partial(task.without, approach, rows))
            found[approach][rows] = predictions
            chosen[approach].append(terms)
            report(i + 1)
    return _answer(task, found, chosen, bootstrap, level, seed)


def _parts(task: Task, folds: int | None, seed: int | None) -> tuple[NDArray[np.intp], list[str]]:
    """(n,) which part of the clusters each row is of, and the names of the parts.

    Raises
    ------
    DataError
        Fewer than three clusters.
    OptionError
        More folds than clusters.
    """
    codes, found = pd.factorize(task.frame[task.cluster])
    if len(found) < 3:
        raise DataError(f"{len(found)} levels of '{task.cluster}' are too few to leave each out in turn")
    if folds is None:
        return codes, [str(label) for label in found]
    check_count("folds", folds, 2)
    if folds > len(found):
        raise OptionError(f"{folds} folds of {len(found)} levels of '{task.cluster}'", hint="Use fewer folds.")
    return cluster_folds(len(found), folds, seed)[codes], [f"fold {i + 1}" for i in range(folds)]


def _quiet() -> warnings.catch_warnings:  # pyright: ignore[reportMissingTypeArgument]
    """What single fits warn of (few levels, few effects) is not said once for every cluster."""
    return warnings.catch_warnings(action="ignore", category=MixedfxWarning)


def _variances(fit: RmaMvFit) -> pd.DataFrame:
    """The variance components: group, term, estimate."""
    table = fit.components
    return table.loc[table["term"].str.match("sigma2|tau2"), ["group", "term", "estimate"]].reset_index(drop=True)


def _share(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """1 - sum of the components after / before."""
    null = float(before["estimate"].to_numpy().sum())
    return 1.0 - float(after["estimate"].to_numpy().sum()) / null if null > 0.0 else np.nan


class _Super(NamedTuple):
    """R2, slope, its standard error, and the components without and with the predictions."""

    r2: float
    slope: float
    std_error: float
    null: pd.DataFrame
    with_predictions: pd.DataFrame


def _super(task: Task, frame: pd.DataFrame, predictions: NDArray[np.float64]) -> _Super:
    """The predictions as the only moderator."""
    null = _variances(task.regression(frame, ()))
    if np.ptp(predictions) == 0.0:
        return _Super(0.0, np.nan, np.nan, null, null)
    fit = task.regression(frame.assign(**{PREDICTION: predictions}), (PREDICTION,))
    found = _variances(fit)
    with np.errstate(invalid="ignore"):
        return _Super(_share(null, found), float(fit.beta[1]), float(np.sqrt(fit.covariance[1, 1])), null, found)


def _answer(
    task: Task, found: Mapping[str, NDArray[np.float64]], chosen: Mapping[str, list[tuple[str, ...]]], bootstrap: int,
    level: float, seed: int | None,
) -> ExplainedHeterogeneity:  # fmt: skip
    response = str(task.formula.response)
    y = task.frame[response.strip("`")].to_numpy(dtype=np.float64) if response.strip("`") in task.frame else np.nan
    rows, shares, parts = [], {}, []
    with _quiet():
        for approach, predictions in found.items():
            r2, slope, se, null, found_components = _super(task, task.frame, predictions)
            parts.append(null.rename(columns={"estimate": "null"}).assign(super=found_components["estimate"]))
            parts[-1].insert(0, "approach", approach)
            low, high = _interval(task, predictions, bootstrap, level, seed)
            inside = np.nan
            if approach == "regression" and task.selection == "none":
                whole = task.regression(task.filled(task.frame, task.frame), task.moderators())
                inside = _share(null, _variances(whole))
            number = float(np.mean([len(terms) for terms in chosen[approach]]))
            mse = float(np.mean((y - predictions) ** 2))
            rows.append((approach, r2, low, high, slope, se, mse, number, inside))
            names = task.moderators()
            shares[approach] = pd.Series(
                {name: np.mean([name in terms for terms in chosen[approach]]) for name in names}, name="share"
            ).sort_values(ascending=False, kind="stable")  # fmt: skip
    columns = ["approach", "r2", "conf_low", "conf_high", "slope", "std_error", "mse", "moderators", "r2_in_sample"]
    predictions = pd.DataFrame({task.cluster: task.frame[task.cluster], "yi": y, **found})
    return ExplainedHeterogeneity(
        pd.DataFrame(rows, columns=columns), pd.concat(parts, ignore_index=True), predictions, shares,
        task.selection, task.cluster, level, task.dropped,
    )  # fmt: skip


def _interval(
    task: Task, predictions: NDArray[np.float64], samples: int, level: float, seed: int | None
) -> tuple[float, float]:  # fmt: skip
    """Percentiles of R2 over bootstrap samples of the clusters, each with its predictions."""
    if not samples:
        return np.nan, np.nan
    codes, labels = pd.factorize(task.frame[task.cluster])
    rows = [np.flatnonzero(codes == c) for c in range(len(labels))]
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(samples):
        drawn = [rows[c] for c in rng.integers(len(rows), size=len(rows))]
        at = np.concatenate(drawn)
        frame = task.frame.iloc[at].reset_index(drop=True)
        copies = np.repeat(np.arange(len(drawn)), [len(r) for r in drawn])
        frame[task.cluster] = copies  # a cluster that is drawn twice is two clusters
        try:
            out.append(_super(task, frame, predictions[at]).r2)
        except (ModelError, OptionError, np.linalg.LinAlgError):
            continue
    if len(out) < 2:
        return np.nan, np.nan
    low, high = np.quantile(out, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
