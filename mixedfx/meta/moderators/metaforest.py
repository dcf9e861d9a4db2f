"""metaforest: a random forest of effect sizes that knows their precision and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import check_count, check_option, check_seed
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.moderators.features import refuse_missing
from mixedfx.meta.moderators.forest_data import WEIGHTS, Weights, read_data
from mixedfx.meta.moderators.grown import GrownForest, checked_growth, grown
from mixedfx.meta.moderators.partial import PartialDependence, partial_dependence
from mixedfx.meta.moderators.preselection import Kind, Preselection, preselect
from mixedfx.meta.reading import kept
from mixedfx.progress import Asked

if TYPE_CHECKING:
    from mixedfx.plots.picture import Picture


@dataclass(frozen=True, eq=False, repr=False)
class MetaForest(GrownForest):
    """A forest of effect sizes, as `mixedfx.metaforest` returns it.

    Its attributes are those of `mixedfx.meta.moderators.grown.GrownForest`.
    """

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
        return MetaForest(**grown(self.data.keep(moderators), self.weights, self.growth, self.seed, self.n_jobs))

    def preselect(
        self, repeats: int = 100, kind: Kind = "recursive", cutoff: float | None = None, progress: Asked = None
    ) -> Preselection:
        """Which moderators keep a positive importance, over and over; see `mixedfx.meta.moderators.preselection`."""
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
        return partial_dependence(self, moderators, points, rows, level)

    def plot(self, kind: Literal["importance", "partial", "convergence"] = "importance", **options: Any) -> Picture:
        """A picture: importance of the moderators, partial dependence of the most important, or error by trees."""
        from mixedfx.meta.moderators.pictures import plot

        return plot(self, kind, options)


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
    return MetaForest(**grown(read, weights, growth, seed, n_jobs, importance, progress))
