"""What is fitted without each cluster: moderators of an approach, their model, predictions of what was left out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import kind, nearest, to_pandas
from mixedfx.errors import DataError, MixedfxWarning, ModelError, UnknownLevelWarning, check_option, outside
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.names import quote
from mixedfx.formula.parse import parse_formula
from mixedfx.meta.moderators.features import (
    Filling,
    columns_of,
    present,
    read_formula,
    refuse_missing,
    refuse_own_levels,
    terms_of,
)
from mixedfx.meta.moderators.metaforest import MetaForest, metaforest
from mixedfx.meta.moderators.screening import Blocks, passing
from mixedfx.meta.moderators.tuning import tune_metaforest
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.meta.multivariate.rma_mv import rma_mv
from mixedfx.meta.reading import kept

Selection = Literal["none", "once", "nested"]
Approach = Literal["regression", "forest"]
APPROACHES: tuple[Approach, ...] = ("regression", "forest")
FOREST = ("weights", "n_trees", "mtry", "min_node_size", "impute", "n_jobs", "seed")  # options that a user may give
PRESELECT = ("repeats", "kind", "cutoff")
GROWTH = ("weights", "mtry", "min_node_size")
TUNE = (*GROWTH, "folds")


@dataclass(frozen=True)
class Task:
    """What is fitted without each cluster.

    Attributes
    ----------
    formula
        Response, moderators, random terms.
    frame
        The rows used.
    vi, cluster
        Columns.
    selection, blocks, always, threshold, forest, preselect, impute, tune
        As in `mixedfx.explained_heterogeneity`.
    dropped
        Rows of the data that are not used: they lack an estimate, its variance or a level of a random term.
    once
        Approach -> moderators selected on all data.
    growth
        Options of forests that were tuned on all data.
    """

    formula: MixedFormula
    frame: pd.DataFrame
    vi: str
    cluster: str
    selection: Selection
    blocks: Blocks | None
    always: str | None
    threshold: float
    forest: Mapping[str, Any]
    preselect: Mapping[str, Any]
    impute: str | None = None
    dropped: int = 0
    tune: Mapping[str, Any] | None = None
    once: dict[str, tuple[str, ...]] = field(default_factory=dict)
    growth: dict[str, Any] = field(default_factory=dict)

    def moderators(self) -> tuple[str, ...]:
        """The terms of the fixed part but for the intercept."""
        return terms_of(self.formula.fixed)

    def filled(self, train: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows without a missing moderator: the medians and commonest levels of the training rows in their place."""
        if self.impute is None:
            return frame
        found = {}
        for name in columns_of(self.formula, frame.columns):
            column: Any = frame[name]
            if column.isna().any():
                known = _plain(train.loc[:, [name]])
                column = column.astype(np.float64) if known[name].dtype == np.float64 else column
                found[name] = column.fillna(Filling.of(known).values[name])
        return frame.assign(**found)

    def regression(self, frame: pd.DataFrame, terms: Sequence[str]) -> RmaMvFit:
        """The meta-regression on some of the moderators."""
        random = " + ".join(str(part) for part in self.formula.random)
        right = " + ".join(["1", *terms, random])
        return rma_mv(f"{self.formula.response} ~ {right}", frame, vi=self.vi)

    def grown(self, frame: pd.DataFrame, terms: Sequence[str], importance: bool = False) -> MetaForest:
        """The forest on some of the moderators."""
        options = {**self.forest, **self.growth}
        return metaforest(self.sum_of(terms), frame, vi=self.vi, cluster=self.cluster, importance=importance, **options)

    def sum_of(self, terms: Sequence[str]) -> str:
        """The formula of a forest."""
        return f"{self.formula.response} ~ {' + '.join(terms)}"

    def tuned(self, frame: pd.DataFrame, terms: Sequence[str]) -> MetaForest:
        """The forest on some of the moderators whose options predict clusters left out of these data best."""
        assert self.tune is not None
        held = {name: [value] for name, value in self.forest.items() if name in GROWTH}
        shared = {name: value for name, value in self.forest.items() if name not in GROWTH}
        return tune_metaforest(
            self.sum_of(terms), frame, vi=self.vi, cluster=self.cluster, **shared, **{**held, **self.tune}
        ).forest

    def choose_once(self, approaches: Sequence[Approach]) -> None:
        """Select moderators, and tune forests, on all data."""
        whole = self.filled(self.frame, self.frame)
        self.once.update({approach: self.chosen(approach, whole) for approach in approaches})
        if self.tune is not None and self.once.get("forest"):
            found = self.tuned(whole, self.once["forest"])
            best = {"weights": found.weights, "mtry": found.growth.mtry, "min_node_size": found.growth.min_node_size}
            self.growth.update(best)

    def chosen(self, approach: Approach, frame: pd.DataFrame) -> tuple[str, ...]:
        """The moderators that an approach selects on some of the data."""
        if approach == "regression":
            if self.blocks is None:
                return self.moderators()
            return passing(
                str(self.formula), frame, self.vi, self.cluster, self.blocks, self.always, self.threshold
            )  # fmt: skip
        found = self.grown(frame, self.moderators(), True).preselect(**self.preselect)
        return tuple(quote(name) for name in found.kept)

    def without(self, approach: Approach, rows: NDArray[np.bool_]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Predictions of a cluster's rows by a model without them.

        Raises
        ------
        DataError, ModelError
            Where there is no such model; it says without which cluster.
        """
        try:
            train = self.frame.loc[~rows]
            return self.predict(approach, self.filled(train, train), self.filled(train, self.frame.loc[rows]))
        except (DataError, ModelError) as error:
            out = [str(label) for label in self.frame.loc[rows, self.cluster].unique()]
            listed = ", ".join(out[:5]) + (", ..." if len(out) > 5 else "")
            raise type(error)(f"without {self.cluster} {listed}: {error.message}", hint=error.hint) from None

    def predict(
        self, approach: Approach, train: pd.DataFrame, test: pd.DataFrame
    ) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Predictions of the rows left out, and the moderators that made them."""
        terms = self.moderators() if self.selection == "none" else self.once.get(approach)
        if terms is None:
            terms = self.chosen(approach, train)
        if not terms:
            return np.full(len(test), float(self.regression(train, ()).beta[0])), ()
        if approach == "forest":
            anew = self.tune is not None and not self.growth
            return (self.tuned(train, terms) if anew else self.grown(train, terms)).predict(test), terms
        fit = self.regression(train, terms)
        known = _with_known_levels(self, train, test)
        return fit.predict(known)["estimate"].to_numpy(), terms


def check_forest(task: Task) -> None:
    """Refuse a formula that a forest cannot take, before anything is fitted.

    Raises
    ------
    ModelError
        Functions and products.
    """
    read_formula(f"{task.formula.response} ~ {' + '.join(task.moderators())}", task.frame.columns)


def read_task(
    formula: Any, data: Any, vi: str, cluster: str, selection: Selection, blocks: Any, always: Any, threshold: float,
    forest: Any, preselect: Any, seed: int | None, impute: str | None, tune: Any,
) -> Task:  # fmt: skip
    """The call as a task, rows without missing values.

    Raises
    ------
    DataError
        Missing moderators, by name, unless they are to be filled in.
    """
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    frame = to_pandas(kept(data))
    for name in (vi, cluster):
        if not isinstance(name, str) or name not in frame.columns:
            raise DataError(f"the data have no column {name!r}", hint="Name columns: vi='vi', cluster='study'.")
    if not parsed.random:
        raise ModelError(
            "the formula has no random terms, whose variances are explained", hint="Write (1 | study/esid)."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        whole = replace(parsed, fixed="1")
        used = rma_mv(whole, frame, vi=vi).design.rows.used
    dropped = len(frame) - len(used)
    frame = frame.iloc[used].reset_index(drop=True)
    for name, given, known in (("forest", forest, FOREST), ("preselect", preselect, PRESELECT), ("tune", tune, TUNE)):
        for key in given or {}:
            check_option(f"{name}: option", key, known)
    task = Task(
        parsed,
        frame,
        vi,
        cluster,
        selection,
        blocks,
        always,
        threshold,
        {"seed": seed, **(forest or {})},
        preselect or {},
        impute,
        dropped,
        tune,
    )
    if not task.moderators():
        raise ModelError("the formula has no moderators", hint="Write 'yi ~ x1 + x2 + (1 | study/esid)'.")
    names = columns_of(parsed, frame.columns)
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise DataError(f"the data have no column '{absent[0]}'", hint=nearest(absent[0], frame.columns))
    refuse_own_levels({name: frame[name] for name in _categories(task)}, frame[cluster], "cluster")
    if impute is None:
        refuse_missing(_plain(frame[list(names)]), 'Leave such rows or moderators out, or say impute="median".')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)
        task.regression(task.filled(frame, frame), task.moderators())
    return task


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Moderators as `mixedfx.meta.moderators.features` has them: numbers as they are, all else as objects."""
    numbers = {name: kind(present(frame, name)) == "number" for name in frame.columns}
    return pd.DataFrame(
        {name: frame[name].astype(np.float64 if numbers[name] else object) for name in frame.columns},
        index=frame.index,
    )


def say_single_levels(task: Task, parts: NDArray[np.intp], labels: Sequence[str], unseen: str) -> None:
    """Levels of a moderator that one part alone has: without it the regression has no coefficient for them.

    Raises
    ------
    DataError
        Where they are to be refused.
    """
    found = []
    for name in _categories(task):
        column = task.frame[name].dropna().astype(str)
        for level, own in column.groupby(column).groups.items():
            where = np.unique(parts[task.frame.index.get_indexer(own)])
            if len(where) < 2:
                found.append(f"'{level}' of {name} in {labels[where[0]]}")
    if not found:
        return
    listed = "; ".join(found[:10]) + (f"; and {len(found) - 10} more" if len(found) > 10 else "")
    what = task.cluster if len(labels) == task.frame[task.cluster].nunique() else "fold"
    if unseen == "refuse":
        raise DataError(
            f"one {what} alone has a level of a moderator, which a regression without it cannot predict: {listed}",
            hint="Put such levels together with others, or leave the moderator out.",
        )
    warnings.warn(
        f"one {what} alone has a level of a moderator; a regression without it predicts the level "
        f"whose coefficient is zero there, a forest none of those known: {listed}", UnknownLevelWarning, outside(),
    )  # fmt: skip


def _categories(task: Task) -> list[str]:
    """Moderators whose values are levels."""
    names = columns_of(task.formula, task.frame.columns)
    return [
        name
        for name in names
        if not pd.api.types.is_numeric_dtype(task.frame[name]) or f"C({quote(name)})" in task.formula.fixed
    ]


def _ordered(column: pd.Series) -> list[Any]:
    """The levels of a category in the order in which a design codes them."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [level for level in column.cat.categories if bool((column == level).any())]
    return sorted(column.unique())


def _with_known_levels(task: Task, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """The rows left out, levels that the others do not have replaced by one whose coefficient is zero without them.

    Coded as on all data, the column of such a level is empty in the others and drops out: it is predicted as the
    reference level. Where the reference level itself is missing, the columns of the other levels add up to the
    intercept and the last of them drops out: it is predicted as the last level.
    """
    changed = {}
    for name in _categories(task):
        known: Any = train[name]
        column: Any = test[name]
        whole: Any = task.frame[name]
        strange = ~column.isin(known.unique())
        if strange.any():
            levels = _ordered(whole)
            seen = [level for level in levels if bool((known == level).any())]
            changed[name] = column.mask(strange, levels[0] if levels[0] in seen else seen[-1])
    return test.assign(**changed) if changed else test
