"""What forests and trees are grown on: effect sizes, their precision, moderators, and what belongs together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import to_pandas
from mixedfx.errors import DataError, FewEffectsWarning, OptionError, outside
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.moderators.features import (
    Coding,
    Filling,
    read_coding,
    read_formula,
    refuse_missing,
    refuse_own_levels,
)
from mixedfx.meta.moderators.forest import Array
from mixedfx.meta.reading import kept, numbers, values
from mixedfx.meta.univariate.heterogeneity import find_estimator
from mixedfx.meta.univariate.weighted import Effects

Weights = Literal["random", "fixed", "uniform"]
WEIGHTS: tuple[Weights, ...] = ("random", "fixed", "uniform")


@dataclass(frozen=True, eq=False)
class ForestData:
    """What forests are grown on.

    Attributes
    ----------
    y, vi
        (n,) effect sizes and their sampling variances.
    values
        (n, m) moderators as they were, filled in where that was asked for.
    coding
        What turns them into features.
    clusters
        (n,) codes of what belongs together.
    labels
        Cluster -> its label.
    used
        (n,) positions of the rows in the data.
    response
        What y is called.
    filling
        What stood in for missing moderators; None where that was not asked for.
    raw
        The moderators before, from which parts of the data are filled in by themselves; None as well.
    """

    y: Array
    vi: Array
    values: pd.DataFrame
    coding: Coding
    clusters: NDArray[np.intp]
    labels: tuple[str, ...]
    used: NDArray[np.intp]
    response: str
    filling: Filling | None
    raw: pd.DataFrame | None = None

    @cached_property
    def X(self) -> Array:
        """(n, c) features."""
        return self.coding.features(self.values)

    def keep(self, names: Sequence[str]) -> ForestData:
        """The same with some of the moderators."""
        unknown = [name for name in names if name not in self.coding.names]
        if unknown or not names:
            raise OptionError(
                f"{unknown[0]!r} is no moderator of the forest" if unknown else "no moderators are left",
                hint=f"Moderators: {', '.join(self.coding.names)}.",
            )
        coding = Coding(tuple(one for one in self.coding.moderators if one.name in names))
        names = list(coding.names)
        return replace(
            self, coding=coding, values=self.values[names], raw=None if self.raw is None else self.raw[names]
        )


def tau2_of(y: Array, vi: Array) -> float:
    """REML estimate of the variance of true effects around one mean; DerSimonian and Laird's where there is none."""
    effects = Effects(y[None], vi[None], np.full((len(y), 1), len(y) ** -0.5))
    for method in ("REML", "DL"):
        tau2, found = find_estimator(method).estimate(effects, None)
        if found[0]:
            return float(tau2[0])
    return 0.0


def draw_weights(kind: Weights, vi: Array, tau2: float) -> Array:
    """(n,) weights of the draws."""
    if kind == "uniform":
        return np.ones(len(vi))
    return 1.0 / (vi + (tau2 if kind == "random" else 0.0))


def read_data(formula: str | MixedFormula, data: Any, vi: Any, cluster: Any, impute: str | None) -> ForestData:
    """Effect sizes, variances, moderators and clusters of the rows that have the first two.

    Raises
    ------
    DataError
        See `metaforest`.
    """
    given = kept(data)
    frame, index = to_pandas(given), given.index
    named = [one if isinstance(one, str) else getattr(one, "name", None) for one in (vi, cluster)]
    response, names, coded = read_formula(formula, [str(c) for c in frame.columns if c not in named])
    y, variances = (numbers(one, frame, index, what) for one, what in ((response, "response"), (vi, "vi")))
    bad = np.flatnonzero(~(np.isnan(variances) | ((variances > 0) & np.isfinite(variances))))
    if len(bad):
        raise DataError(
            f"vi is a sampling variance, and {variances[bad[0]]:g} in row {bad[0]} (from 0) is not positive"
        )
    used = np.flatnonzero(~(np.isnan(y) | np.isnan(variances)))
    groups = np.arange(len(frame)).astype(object) if cluster is None else values(cluster, frame, index, "cluster")
    absent = used[[pd.isna(one) for one in groups[used]]] if cluster is not None else used[:0]
    if len(absent):
        raise DataError(f"the cluster of row {absent[0]} (from 0) is missing, and of {len(absent) - 1} more")
    codes, labels = pd.factorize(groups[used])
    if len(labels) < 2:
        raise DataError(
            f"{len(labels)} {'estimate' if cluster is None else 'cluster'} cannot be split into drawn and left out",
            hint="A forest needs several studies.",
        )
    chosen = frame.iloc[used]
    coding = read_coding(chosen, names, coded)
    found = coding.values(chosen)
    levels = {one.name: found[one.name] for one in coding.moderators if one.levels is not None}
    refuse_own_levels(levels, codes, "estimate" if cluster is None else "cluster")
    filling = raw = None
    if impute is not None:
        filling, raw = Filling.of(found), found
        found = filling.fill(found)
    refuse_missing(found)
    if len(labels) < 20:
        warnings.warn(
            f"{len(labels)} {'estimates' if cluster is None else 'clusters'} are few for a forest: its predictions "
            "will hardly differ from one mean", FewEffectsWarning, outside(),
        )  # fmt: skip
    return ForestData(
        y[used],
        variances[used],
        found,
        coding,
        codes.astype(np.intp),
        tuple(map(str, labels)),
        used,
        response,
        filling,
        raw,
    )
