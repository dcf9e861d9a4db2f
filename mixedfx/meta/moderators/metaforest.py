"""metaforest: a random forest of effect sizes that knows their precision and which of them belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, FewEffectsWarning, OptionError, check_count, check_option, check_seed, outside
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.moderators.features import Coding, Filling, read_coding, read_formula, refuse_missing
from mixedfx.meta.moderators.forest import Array, Forest, Growth, grow_forest
from mixedfx.meta.reading import kept, numbers, values
from mixedfx.meta.univariate.heterogeneity import find_estimator
from mixedfx.meta.univariate.weighted import Effects
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

if TYPE_CHECKING:
    from mixedfx.meta.moderators.partial import PartialDependence
    from mixedfx.meta.moderators.preselection import Kind, Preselection
    from mixedfx.plots.picture import Picture

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
        return replace(self, coding=coding, values=self.values[list(coding.names)])


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


@dataclass(frozen=True, eq=False, repr=False)
class MetaForest(Shown):
    """A forest of effect sizes.

    Attributes
    ----------
    data
        What it was grown on.
    forest
        Trees, out-of-bag predictions, importance.
    weights
        Kind of the weights of the draws.
    growth
        How the trees grew.
    tau2
        Variance of true effects around one mean, before the moderators.
    seed
        Of the draws.
    n_jobs
        Threads.
    """

    data: ForestData
    forest: Forest
    weights: Weights
    growth: Growth
    tau2: float
    seed: int | None
    n_jobs: int

    @cached_property
    def oob(self) -> pd.Series:
        """(n,) out-of-bag predictions by position in the data; NaN of what every tree has drawn."""
        return pd.Series(self.forest.predicted, index=self.data.used, name="predicted")

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        return np.isfinite(self.forest.predicted)

    @property
    def mse_oob(self) -> float:
        """Mean squared error of the out-of-bag predictions."""
        left = self.data.y[self._seen] - self.forest.predicted[self._seen]
        return float(np.mean(left**2))

    @property
    def r2_oob(self) -> float:
        """1 - mse_oob / variance of the effect sizes (divisor n - 1); negative where the mean predicts better."""
        return 1.0 - self.mse_oob / float(np.var(self.data.y, ddof=1))

    @cached_property
    def tau2_residual(self) -> float:
        """Variance of true effects that is left around the out-of-bag predictions."""
        return tau2_of((self.data.y - self.forest.predicted)[self._seen], self.data.vi[self._seen])

    @property
    def importance(self) -> pd.DataFrame:
        """Moderator and importance, the largest first."""
        table = pd.DataFrame({"moderator": self.data.coding.names, "importance": self.forest.importance})
        return table.sort_values("importance", ascending=False, ignore_index=True, kind="stable")

    def predict(self, data: Any) -> NDArray[np.float64]:
        """(m,) predicted effects of new rows.

        Raises
        ------
        DataError
            A moderator that is not there or is missing.
        """
        found = self.data.coding.values(kept(data))
        if self.data.filling is not None:
            found = self.data.filling.fill(found)
        refuse_missing(found)
        return self.forest.predict(self.data.coding.features(found))

    def keep(self, *moderators: str) -> MetaForest:
        """A forest with some of the moderators, grown the same way with the same seed."""
        return grown(self.data.keep(moderators), self.weights, self.growth, self.seed, self.n_jobs)

    def preselect(
        self, repeats: int = 100, kind: Kind = "recursive", cutoff: float | None = None, progress: Asked = None
    ) -> Preselection:
        """Which moderators keep a positive importance, over and over; see `mixedfx.meta.moderators.preselection`."""
        from mixedfx.meta.moderators.preselection import preselect

        return preselect(self, repeats, kind, cutoff, progress)

    def partial_dependence(
        self, *moderators: str, points: int = 40, rows: int | None = 500, level: float = 0.95
    ) -> PartialDependence:
        """Predictions along one moderator, or two, the others as they are in the data.

        Parameters
        ----------
        moderators
            One or two.
        points
            Values of a number at which predictions are made.
        rows
            Rows of the data that are averaged over, drawn at random where there are more; all where None.
        level
            Of the percentile band of the rows' predictions.
        """
        from mixedfx.meta.moderators.partial import partial_dependence

        return partial_dependence(self, moderators, points, rows, level)

    def plot(self, kind: Literal["importance", "partial", "convergence"] = "importance", **options: Any) -> Picture:
        """A picture: importance of the moderators, partial dependence of the most important, or error by trees."""
        from mixedfx.meta.moderators.pictures import plot

        return plot(self, kind, options)

    def content(self) -> SummaryContent:
        """What is shown."""
        n, clusters = len(self.data.y), len(self.data.labels)
        facts = [
            ("Estimates", f"{n:,}" + (f" in {clusters:,} clusters, drawn and left out together" * (clusters < n))),
            (
                "Trees",
                f"{self.growth.n_trees:,}; {self.growth.tried(self.data.X.shape[1])} of {self.data.X.shape[1]} columns "
                f"tried at a split; nodes of {self.growth.min_node_size} draws or fewer are not split",
            ),
            ("Weights", _WEIGHT_WORDS[self.weights]),
            ("Out of bag", f"R2 {self.r2_oob:.3f}, mean squared error {self.mse_oob:.4g}"),
            ("tau2", f"{self.tau2:.4g} around one mean, {self.tau2_residual:.4g} around the out-of-bag predictions"),
        ]
        if self.r2_oob < 0:
            facts.append(("Note", "the forest predicts clusters it has not seen worse than one mean for all does"))
        blocks: list[Any] = [SummaryFacts(tuple(facts))]
        if np.isfinite(self.forest.importance).all():
            blocks.append(frame_table(self.importance, "Permutation importance", whole=".importance"))
        return SummaryContent("Forest of effect sizes", tuple(blocks))


_WEIGHT_WORDS = {
    "random": "estimates are drawn in proportion to 1 / (v + tau2)",
    "fixed": "estimates are drawn in proportion to 1 / v",
    "uniform": "all estimates are drawn alike",
}


def metaforest(
    formula: str | MixedFormula,
    data: Any,
    vi: Any = "vi",
    cluster: Any = None,
    *,
    weights: Weights = "random",
    n_trees: int = 500,
    mtry: int | None = None,
    min_node_size: int = 5,
    importance: bool = True,
    impute: Literal["median"] | None = None,
    seed: int | None = None,
    n_jobs: int = 1,
    progress: Asked = None,
) -> MetaForest:
    """Grow a random forest that predicts effect sizes from moderators (MetaForest; Van Lissa 2020).

    Parameters
    ----------
    formula
        ``"yi ~ grade + weeks + C(design)"``: columns alone; ``.`` stands for all others.
    data
        Any data frame, such as `mixedfx.escalc` returns.
    vi
        Sampling variances: a column or values.
    cluster
        What belongs together, such as the study: a column or values. Clusters are drawn and left out as a whole, so
        that errors out of bag are those for studies that the forest has not seen.
    weights
        Of the bootstrap draws: ``"random"`` 1 / (v + tau2), ``"fixed"`` 1 / v, ``"uniform"``.
    n_trees, mtry, min_node_size
        Trees; columns tried at a split (the root of their number where None); a node of so many draws or fewer is
        not split.
    importance
        Whether permutation importance is found.
    impute
        ``"median"``: a missing moderator gets the median, or the commonest level.
    seed
        Of the draws.
    n_jobs
        Threads; the forest is the same for any number.
    progress
        As for other long work.

    Returns
    -------
    MetaForest

    Raises
    ------
    DataError
        Missing or constant moderators, by name; sampling variances that are not positive; one cluster.
    ModelError
        Functions, products or random terms in the formula.
    MissingPackageError
        Without scikit-learn (the extra ``learn``).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(1)
    >>> trials = pd.DataFrame({"study": np.repeat(np.arange(60), 3), "weeks": rng.integers(2, 30, 180), "vi": 0.04})
    >>> trials["noise"] = rng.normal(size=180)
    >>> trials["yi"] = np.where(trials["weeks"] > 12, 0.6, 0.1) + rng.normal(0, 0.3, 180)
    >>> forest = mx.metaforest("yi ~ weeks + noise", trials, cluster="study", n_trees=100, seed=1)
    >>> forest.importance["moderator"].tolist()
    ['weeks', 'noise']
    """
    check_option("weights", weights, WEIGHTS)
    check_option("impute", impute, (None, "median"))
    growth = checked_growth(n_trees, mtry, min_node_size)
    check_count("n_jobs", n_jobs)
    check_seed(seed)
    read = read_data(formula, data, vi, cluster, impute)
    return grown(read, weights, growth, seed, n_jobs, importance, progress)


def checked_growth(n_trees: int, mtry: int | None, min_node_size: int) -> Growth:
    """The options of growing trees, refused where they are no whole numbers."""
    check_count("n_trees", n_trees, 2)
    check_count("min_node_size", min_node_size)
    if mtry is not None:
        check_count("mtry", mtry)
    return Growth(n_trees, mtry, min_node_size)


def grown(
    data: ForestData, weights: Weights, growth: Growth, seed: int | None, n_jobs: int = 1, importance: bool = True,
    progress: Asked = None,
) -> MetaForest:  # fmt: skip
    """A forest on what was read."""
    tau2 = tau2_of(data.y, data.vi)
    w = draw_weights(weights, data.vi, tau2)
    with Progress(progress, "metaforest", growth.n_trees, "trees") as report:
        forest = grow_forest(
            data.X, data.y, w, data.clusters, growth, np.random.SeedSequence(seed),
            data.coding.columns if importance else None, n_jobs, report,
        )  # fmt: skip
    return MetaForest(data, forest, weights, growth, tau2, seed, n_jobs)


def read_data(formula: str | MixedFormula, data: Any, vi: Any, cluster: Any, impute: str | None) -> ForestData:
    """Effect sizes, variances, moderators and clusters of the rows that have the first two.

    Raises
    ------
    DataError
        See `metaforest`.
    """
    frame = kept(data)
    named = [name for name in (vi, cluster) if isinstance(name, str)]
    response, names, coded = read_formula(formula, [str(c) for c in frame.columns if c not in named])
    y, variances = (numbers(one, frame, frame.index, what) for one, what in ((response, "response"), (vi, "vi")))
    bad = np.flatnonzero(~(np.isnan(variances) | ((variances > 0) & np.isfinite(variances))))
    if len(bad):
        raise DataError(
            f"vi is a sampling variance, and {variances[bad[0]]:g} in row {bad[0]} (from 0) is not positive"
        )
    used = np.flatnonzero(~(np.isnan(y) | np.isnan(variances)))
    groups = np.arange(len(frame)).astype(object) if cluster is None else values(cluster, frame, frame.index, "cluster")
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
    filling = None
    if impute is not None:
        filling = Filling.of(found)
        found = filling.fill(found)
    refuse_missing(found)
    if len(labels) < 20:
        import warnings

        warnings.warn(
            f"{len(labels)} {'estimates' if cluster is None else 'clusters'} are few for a forest: its predictions "
            "will hardly differ from one mean", FewEffectsWarning, outside(),
        )  # fmt: skip
    return ForestData(
        y[used], variances[used], found, coding, codes.astype(np.intp), tuple(map(str, labels)), used, response, filling
    )
