"""metacart: a tree that divides studies into groups with different mean effects, pruned by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_count, check_level, check_seed
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.moderators.cart import Array, Split, Variable, between, common_tau2, grow, leaves_of
from mixedfx.meta.moderators.features import Coding, Moderator, refuse_missing
from mixedfx.meta.moderators.forest_data import ForestData, read_data
from mixedfx.meta.moderators.preselection import shuffled
from mixedfx.meta.moderators.tuning import cluster_folds, divided
from mixedfx.meta.reading import kept
from mixedfx.progress import Asked, Progress
from mixedfx.results.frames import frame_table
from mixedfx.results.numbers import p_values
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

if TYPE_CHECKING:
    from mixedfx.plots.picture import Picture


@dataclass(frozen=True)
class Sizes:
    """Bounds of a tree.

    Attributes
    ----------
    max_splits, min_split, min_bucket
        As in `mixedfx.meta.moderators.cart.grow`.
    """

    max_splits: int
    min_split: int
    min_bucket: int


@dataclass(frozen=True, eq=False, repr=False)
class MetaCart(Shown):
    """A pruned tree.

    Attributes
    ----------
    data
        What it was grown on.
    grown
        All splits; the tree has the first `size` of them.
    size
        Number of splits kept.
    cross_validation
        splits, error (share of the squared deviations from the mean), se, chosen.
    permutations
        Q*_B of trees of as many splits on permuted data.
    rule
        Standard errors above the smallest error that a smaller tree may have.
    level
        Of the intervals.
    """

    data: ForestData
    grown: tuple[Split, ...]
    size: int
    cross_validation: pd.DataFrame
    permutations: Array
    rule: float
    level: float

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that were kept."""
        return self.grown[: self.size]

    @cached_property
    def leaf(self) -> NDArray[np.intp]:
        """(n,) leaf of each estimate."""
        return leaves_of(self.splits, [one.values for one in variables_of(self.data)], len(self.data.y))

    @cached_property
    def tau2(self) -> float:
        """Variance of true effects within leaves, one for all."""
        return common_tau2(self.data.y, self.data.vi, self.leaf)

    @property
    def Q(self) -> float:
        """Heterogeneity between the leaves, Q*_B."""
        return between(self.data.y, self.data.vi, self.leaf, self.tau2)[0]

    @property
    def p_value(self) -> float:
        """Share of permuted data whose tree divides as well; the chi square of Q*_B is far too small after a search."""
        if not len(self.permutations) or not self.size:
            return np.nan
        reached = int(np.sum(self.permutations >= self.Q * (1 - 1e-12)))
        return (1 + reached) / (1 + len(self.permutations))

    @cached_property
    def leaves(self) -> pd.DataFrame:
        """leaf, rule in words, k, clusters, estimate, std_error, conf_low, conf_high.

        With clusters standard errors are robust: sums of weighted residuals by cluster, times m / (m - 1), and t with
        m - 1 degrees of freedom. They take the tree as known.
        """
        from scipy.special import stdtrit

        _, mean, W = between(self.data.y, self.data.vi, self.leaf, self.tau2)
        w = 1.0 / (self.data.vi + self.tau2)
        rules, rows = self.rules, []
        for j in range(len(mean)):
            inside = self.leaf == j
            codes, own = np.unique(self.data.clusters[inside], return_inverse=True)
            m, k = len(codes), int(inside.sum())
            se, df = W[j] ** -0.5, np.inf
            if len(self.data.labels) < len(self.data.y):
                sums = np.bincount(own, (w * (self.data.y - mean[j]))[inside])
                se, df = (float(np.sqrt(m / (m - 1) * np.sum(sums**2)) / W[j]), m - 1.0) if m > 1 else (np.nan, np.nan)
            half = float(stdtrit(df, (1 + self.level) / 2)) * se
            rows.append((j, rules[j], k, m, mean[j], se, mean[j] - half, mean[j] + half))
        columns = ["leaf", "rule", "k", "clusters", "estimate", "std_error", "conf_low", "conf_high"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def rules(self) -> tuple[str, ...]:
        """Each leaf in words, what several splits say of one moderator put together."""
        paths: list[list[tuple[Split, bool]]] = [[]]
        for split in self.splits:
            before = paths[split.leaf]
            paths[split.leaf] = [*before, (split, True)]
            paths.append([*before, (split, False)])
        return tuple(rule_of(path, self.data.coding.moderators) for path in paths)

    def sides(self, split: Split) -> tuple[str, str]:
        """Both sides of a split in words."""
        one = self.data.coding.moderators[split.variable]
        if split.cut is not None:
            return f"{one.name} <= {split.cut:.4g}", f"{one.name} > {split.cut:.4g}"
        assert one.levels is not None
        left = [level for code, level in enumerate(one.levels) if code in split.left]
        right = [level for code, level in enumerate(one.levels) if code not in split.left]
        return f"{one.name} is {' or '.join(left)}", f"{one.name} is {' or '.join(right)}"

    def predict(self, data: Any) -> NDArray[np.float64]:
        """(m,) mean effects of the leaves that new rows fall into."""
        found = self.data.coding.values(kept(data))
        if self.data.filling is not None:
            found = self.data.filling.fill(found)
        refuse_missing(found)
        self.data.coding.warn_unknown(found, "fall into the right part of a split")
        columns = [one.values for one in coded(self.data.coding, found)]
        mean = between(self.data.y, self.data.vi, self.leaf, self.tau2)[1]
        return mean[leaves_of(self.splits, columns, len(found))]

    def plot(self, ax: Any = None) -> Picture:
        """The tree: rules, and the mean effect of each leaf with its interval."""
        from mixedfx.plots.picture import Picture
        from mixedfx.plots.tree import Branch, tree

        branches = [Branch(split.leaf, *self.sides(split)) for split in self.splits]
        return Picture(tree(branches, self.leaves, ylabel="mean effect", ax=ax))

    def content(self) -> SummaryContent:
        """What is shown."""
        n, clusters = len(self.data.y), len(self.data.labels)
        facts = [
            ("Estimates", f"{n:,}" + (f" in {clusters:,} clusters" if clusters < n else "")),
            ("Splits", f"{self.size} of {len(self.grown)} kept: the smallest tree within {self.rule:g} standard errors "
                       "of the smallest error on clusters left out"),
            ("tau2", f"{self.tau2:.4g} within leaves"),
        ]  # fmt: skip
        if self.size:
            facts.append(("Between", f"Q*_B {self.Q:.4g} on {self.size} df"))
            words = (
                f"p = {p_values([self.p_value])[0]} by {len(self.permutations):,} permutations"
                if len(self.permutations)
                else "not tested: the chi square of Q*_B is far too small after a search; give permutations="
            )
            facts.append(("Test", words))
        else:
            facts.append(("Found", "no division predicts clusters left out better than one mean"))
        blocks = (
            frame_table(self.leaves, "Leaves"), frame_table(self.cross_validation, "Cross-validation"),
            SummaryFacts(tuple(facts)),
        )  # fmt: skip
        return SummaryContent("Tree of effect sizes", blocks)


def metacart(
    formula: str | MixedFormula,
    data: Any,
    vi: Any = "vi",
    cluster: Any = None,
    *,
    max_splits: int = 5,
    min_split: int = 6,
    min_bucket: int = 3,
    folds: int = 10,
    c: float = 1.0,
    permutations: int = 0,
    level: float = 0.95,
    impute: Literal["median"] | None = None,
    seed: int | None = None,
    progress: Asked = None,
) -> MetaCart:
    """Divide studies into groups by their moderators (meta-CART with random effects; Li, Dusseldorp & Meulman 2017).

    Parameters
    ----------
    formula
        ``"yi ~ grade + weeks + C(design)"``, columns alone.
    data, vi, cluster, impute
        As for `mixedfx.metaforest`.
    max_splits, min_split, min_bucket
        At most so many splits; leaves with fewer estimates are not split; least estimates of a leaf.
    folds
        Of the cross-validation, by whole clusters.
    c
        The smallest tree is chosen whose error is at most c standard errors above the smallest.
    permutations
        Permutations of the moderators between clusters for the p value; each grows a tree.
    level
        Of the intervals of leaves, which take the tree as known.
    seed
        Of folds and permutations.
    progress
        As for other long work.

    Returns
    -------
    MetaCart

    Raises
    ------
    DataError
        As `mixedfx.metaforest`.
    OptionError
        More folds than clusters.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> rng = np.random.default_rng(5)
    >>> trials = pd.DataFrame({"weeks": rng.integers(2, 30, 60), "setting": rng.choice(["home", "school"], 60)})
    >>> trials["vi"] = 0.04
    >>> trials["yi"] = np.where(trials["weeks"] > 12, 0.7, 0.0) + rng.normal(0, 0.25, 60)
    >>> tree = mx.metacart("yi ~ weeks + setting", trials, seed=1)
    >>> tree.leaves["rule"].tolist()
    ['weeks <= 12.5', 'weeks > 12.5']
    """
    for name, value in (("max_splits", max_splits), ("min_split", min_split), ("min_bucket", min_bucket)):
        check_count(name, value)
    check_count("folds", folds, 2)
    check_count("permutations", permutations, 0)
    check_level(level)
    check_seed(seed)
    if not c >= 0.0:
        raise OptionError(f"c={c!r} is a number of standard errors, from 0")
    read = read_data(formula, data, vi, cluster, impute)
    if folds > len(read.labels):
        raise OptionError(f"{folds} folds of {len(read.labels)} clusters", hint="Use fewer folds.")
    sizes = Sizes(max_splits, min_split, min_bucket)
    grown = grow(read.y, read.vi, variables_of(read), max_splits, min_split, min_bucket)
    table = _cross_validated(read, sizes, folds, seed, len(grown))
    size = _chosen(table, len(grown), c)
    table["chosen"] = table["splits"] == size
    reached = permuted_Q(read, size, min_split, min_bucket, permutations if size else 0, seed, progress)
    return MetaCart(read, grown, size, table, reached, float(c), level)


def permuted_Q(
    data: ForestData, size: int, min_split: int, min_bucket: int, permutations: int, seed: int | None,
    progress: Asked = None,
) -> Array:  # fmt: skip
    """(P,) Q*_B of trees of `size` splits, moderators shuffled between clusters."""
    out, variables = np.empty(permutations), variables_of(data)
    rng = np.random.default_rng(seed)
    with Progress(progress, "permutations", permutations, "trees") as report:
        for i in range(permutations):
            rows = shuffled(data.clusters, rng)
            moved = [Variable(one.name, one.values[rows], one.levels) for one in variables]
            found = grow(data.y, data.vi, moved, size, min_split, min_bucket)
            out[i] = found[-1].Q if found else 0.0
            report(i + 1)
    return out


def rule_of(path: Sequence[tuple[Split, bool]], moderators: Sequence[Moderator]) -> str:
    """A way through the tree in words: for each split whether it goes left."""
    words = []
    for position in dict.fromkeys(split.variable for split, _ in path):
        one, own = moderators[position], [(split, left) for split, left in path if split.variable == position]
        if one.levels is None:
            above = max((split.cut for split, left in own if not left and split.cut is not None), default=None)
            up_to = min((split.cut for split, left in own if left and split.cut is not None), default=None)
            low = "" if above is None else f"{above:.4g} < "
            words.append(f"{one.name} > {above:.4g}" if up_to is None else f"{low}{one.name} <= {up_to:.4g}")
        else:
            kept = [c for c in range(len(one.levels)) if all((c in split.left) == left for split, left in own)]
            words.append(f"{one.name} is {' or '.join(one.levels[c] for c in kept)}")
    return " and ".join(words) or "all"


def variables_of(data: ForestData) -> list[Variable]:
    """The moderators as a tree sees them."""
    return coded(data.coding, data.values)


def coded(coding: Coding, values: pd.DataFrame) -> list[Variable]:
    """Numbers as they are, categories as codes of their levels; -1 for one that is not known."""
    out = []
    for one in coding.moderators:
        found = values[one.name].to_numpy()
        if one.levels is None:
            out.append(Variable(one.name, found.astype(np.float64), None))
        else:
            codes = pd.Categorical(found, categories=list(one.levels)).codes
            out.append(Variable(one.name, np.asarray(codes, dtype=np.float64), one.levels))
    return out


def _cross_validated(
    data: ForestData, sizes: Sizes, folds: int, seed: int | None, grown: int
) -> pd.DataFrame:  # fmt: skip
    """Errors of trees with 0, 1, ... splits on clusters left out, as a share of the deviations from the mean."""
    fold = cluster_folds(len(data.labels), folds, seed)[data.clusters]
    squares = np.empty((sizes.max_splits + 1, len(data.y)))
    for f in range(folds):
        train, test = divided(data, fold != f)
        y, v, inside = train.y, train.vi, variables_of(train)
        splits = grow(y, v, inside, sizes.max_splits, sizes.min_split, sizes.min_bucket)
        columns, outside = ([one.values for one in variables_of(part)] for part in (train, test))
        for size in range(sizes.max_splits + 1):
            used = splits[:size]
            leaf = leaves_of(used, columns, len(y))
            mean = between(y, v, leaf, common_tau2(y, v, leaf))[1]
            squares[size, fold == f] = (test.y - mean[leaves_of(used, outside, len(test.y))]) ** 2
    total = float(np.sum((data.y - data.y.mean()) ** 2))
    error = squares.sum(axis=1) / total
    se = np.sqrt(np.sum((squares - squares.mean(axis=1, keepdims=True)) ** 2, axis=1)) / total
    return pd.DataFrame({"splits": np.arange(sizes.max_splits + 1), "error": error, "se": se}).head(grown + 1)


def _chosen(table: pd.DataFrame, grown: int, c: float) -> int:
    """Number of splits of the smallest tree within c standard errors of the best."""
    error, se = (table[name].to_numpy()[: grown + 1] for name in ("error", "se"))
    best = int(error.argmin())
    return int(np.flatnonzero(error <= error[best] + c * se[best])[0])
