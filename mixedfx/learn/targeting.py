r"""Ranking people by predicted effects: budget curves, targeting operator characteristic, RATE.

People are ordered by falling effect; delta_i are doubly robust scores of the effect and c_i weights (once each, or as
often as a bootstrap sample holds them). With S(q) the sum of c delta over the share q of people at the top, and C the
sum of c,

    value(q) = mean of Gamma_0 + S(q) / C,            gain(q) = S(q) / C - q S(1) / C,
    TOC(q) = S(q) / (q C) - S(1) / C,                 RATE = integral of alpha(q) TOC(q) dq over (0, 1],

alpha = 1: AUTOC; alpha = q: the Qini coefficient (Yadlowsky, Fleming, Shah, Brunskill and Wager 2025, JASA 120:38). The
integral is the sum over people of c_i / C at q = i's place. People with tied effects are treated in part, each with the
mean score of their tie. RATE is zero where ranking is no better than chance.

**Bands.** Clusters are drawn with replacement (rows where there are none), each sample with its own thresholds; the
ranking is that of the cross-fitted effects, given. The band of a curve is pointwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import (
    ConstantEffectsWarning,
    OptionError,
    check_count,
    check_level,
    check_option,
    check_seed,
    outside,
)
from mixedfx.learn import clusters
from mixedfx.learn.folds import cluster_codes
from mixedfx.learn.policy import _shown
from mixedfx.learn.predicted import alike, as_numbers, read_cross_fitted
from mixedfx.learn.scores import Scores, read_scores
from mixedfx.progress import Asked, Progress
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

BATCH = 50  # bootstrap samples at once


def targeting(
    cate: Any,
    scores: Any,
    shares: Sequence[float] | NDArray[Any] | None = None,
    *,
    baseline: Any = None,
    cluster: Any = None,
    contrast: str | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int | None = 0,
    cross_fitted: bool | None = None,
    benefit: Literal["higher", "lower"] = "higher",
    progress: Asked = None,
) -> Targeting:
    """What ranking people by predicted effects is worth: budget curve, TOC and RATE, with bands.

    Parameters
    ----------
    cate
        `Cate` that is cross-fitted, or (n,) effects with `cross_fitted=True`.
    scores
        `Scores`, or (n,) doubly robust scores of the effect.
    shares
        Budgets: shares of people who can be treated; 0.05, 0.1, ..., 1 where None.
    baseline
        (n,) scores of the outcome without treatment, which values are counted from; those of `Scores`, else zero.
    cluster
        (n,) clusters that are resampled; the groups of `Scores` where None.
    contrast
        Which effect, where scores (and effects) are of several.
    n_boot
        Bootstrap samples.
    level
        Probability that bands hold, at each share.
    seed
        Of the bootstrap.
    cross_fitted
        Of effects from elsewhere: whether no model has seen the outcome of the person it predicts.
    benefit
        ``"higher"`` outcomes are better, or ``"lower"``: then the most negative effects come first.
    progress
        True, False, None (where somebody looks) or a function that is told.

    Returns
    -------
    Targeting
        `curve`, `rate`, `plot`.

    Raises
    ------
    OptionError
        In-sample effects; shares that are none.
    DataError
        Scores or effects of another length, or NaN, by counts.

    Warns
    -----
    ConstantEffectsWarning
        Effects that are all alike, whose RATE is zero and has no p-value (NaN).

    Examples
    --------
    >>> import numpy as np
    >>> import mixedfx as mx
    >>> found = mx.targeting([3.0, 2.0, 1.0, 0.0], [4.0, 2.0, 0.0, -2.0], [0.25, 0.5], n_boot=10, cross_fitted=True)
    >>> found.curve[["share", "value", "uniform", "toc"]].values.tolist()
    [[0.25, 1.0, 0.25, 3.0], [0.5, 1.5, 0.5, 2.0]]
    >>> found.rate["estimate"].tolist()  # AUTOC (3 + 2 + 1 + 0) / 4; Qini (3/4 + 2/2 + 3/4) / 4
    [1.5, 0.625]
    """
    check_level(level)
    check_count("n_boot", n_boot, 2)
    check_seed(seed)
    check_option("benefit", benefit, ("higher", "lower"))
    at = np.linspace(0.05, 1, 20) if shares is None else as_numbers(shares, "shares")
    if at.ndim != 1 or not len(at) or not ((at > 0) & (at <= 1)).all():
        raise OptionError(f"shares={shares!r} are no shares of people", hint="Use numbers above 0 and up to 1.")
    delta = read_scores(scores, None, contrast)
    n, sign = len(delta), 1.0 if benefit == "higher" else -1.0
    tau = sign * read_cross_fitted(cate, n, cross_fitted, contrast)
    constant = alike(tau)
    if constant:
        tau = np.zeros(n)
        warnings.warn(
            "the effects are all alike: they rank nobody, RATE is zero and has no p-value",
            ConstantEffectsWarning,
            stacklevel=outside(),
        )
    if isinstance(scores, Scores):
        baseline = scores.arms[:, 0] if baseline is None else baseline
        cluster = scores.trial.group if cluster is None else cluster
    without = np.zeros(n) if baseline is None else read_scores(baseline, n)
    codes = cluster_codes(cluster, n)
    ranked = Ranked.of(tau, delta, without)
    estimates = ranked.curves(np.ones((1, n)), at)[:, 0], ranked.rates(np.ones((1, n)))[0]
    rng = np.random.default_rng(seed)
    G = n if codes is None else int(codes.max()) + 1
    curves, rates = np.empty((4, n_boot, len(at))), np.empty((n_boot, 2))
    with Progress(progress, "resampling clusters", n_boot, "samples") as report:
        for start in range(0, n_boot, BATCH):
            own = slice(start, min(start + BATCH, n_boot))
            counts = clusters.draws(own.stop - own.start, G, rng)
            weights = counts[:, ranked.order if codes is None else codes[ranked.order]]
            curves[:, own], rates[own] = ranked.curves(weights, at), ranked.rates(weights)
            report(own.stop)
    if constant:  # what is left is rounding
        estimates, rates = (estimates[0], np.zeros(2)), np.zeros((n_boot, 2))
    return Targeting(at, *estimates, curves, rates, level, n, G if codes is not None else None, sign)


@dataclass(frozen=True, eq=False)
class Ranked:
    """People in the order of their predicted effects.

    Attributes
    ----------
    order
        (n,) rows, the highest effect first.
    start
        Where each tie begins in this order.
    delta, without
        (n,) scores of the effect and of the outcome without treatment, in this order.
    """

    order: Codes
    start: Codes
    delta: Array
    without: Array

    @classmethod
    def of(cls, tau: Array, delta: Array, without: Array) -> Ranked:
        """Order the rows."""
        order = np.argsort(-tau, kind="stable")
        start = np.flatnonzero(np.r_[True, np.diff(tau[order]) != 0])
        return cls(order, start, delta[order], without[order])

    @property
    def tied(self) -> bool:
        """Whether any two people have the same effect."""
        return len(self.start) < len(self.order)

    def _sums(self, weights: Array) -> tuple[Array, Array]:
        """(B, T + 1) cumulated weights and scores at the ends of ties, from zero."""
        pair = []
        for values in (weights, weights * self.delta):
            ends = np.zeros((len(weights), len(self.start) + 1))
            own = np.add.reduceat(values, self.start, axis=1) if self.tied else values
            np.cumsum(own, axis=1, out=ends[:, 1:])
            pair.append(ends)
        return pair[0], pair[1]

    def curves(self, weights: Array, at: Array) -> Array:
        """(4, B, m) value, value of as many chosen at random, gain of the one over the other, TOC.

        `weights` (B, n) are those of people in the order of their effects.
        """
        C, S = self._sums(weights)
        total, whole = C[:, -1:], S[:, -1:]
        top = np.array([np.interp(at * c[-1], c, s) for c, s in zip(C, S, strict=True)])
        base = (weights @ self.without)[:, None] / total
        value, uniform = base + top / total, base + at * whole / total
        return np.stack([value, uniform, value - uniform, top / (at * total) - whole / total])

    def rates(self, weights: Array) -> Array:
        """(B, 2) AUTOC and Qini, from weights (B, n) of people in the order of their effects."""
        c, delta = weights, self.delta
        if self.tied:  # everybody in a tie has its mean score
            inside = np.repeat(np.arange(len(self.start)), np.diff(np.r_[self.start, c.shape[1]]))
            size = np.add.reduceat(c, self.start, axis=1)
            mean = np.add.reduceat(c * delta, self.start, axis=1) / np.where(size > 0, size, 1.0)
            delta = mean[:, inside]
        cumulated, scores = np.cumsum(c, axis=1), np.cumsum(c * delta, axis=1)
        total, whole = cumulated[:, -1:], scores[:, -1:]
        toc = scores / np.maximum(cumulated, 1e-300) - whole / total
        autoc = np.einsum("bn,bn->b", c, toc) / total[:, 0]
        toc *= cumulated
        return np.column_stack([autoc, np.einsum("bn,bn->b", c, toc) / total[:, 0] ** 2])


@dataclass(frozen=True, eq=False, repr=False)
class Targeting(Shown):
    """What a ranking is worth.

    Attributes
    ----------
    shares
        (m,) budgets.
    curves
        (4, m) value, uniform, gain, TOC.
    rates
        (2,) AUTOC and Qini.
    curve_draws, rate_draws
        (4, B, m) and (B, 2) of bootstrap samples.
    level
        Probability that bands hold.
    n, n_clusters
        People, and clusters that were resampled; None for rows.
    sign
        1 where higher outcomes are better, else -1: scores are of outcomes as they are.
    """

    shares: Array
    curves: Array
    rates: Array
    curve_draws: Array
    rate_draws: Array
    level: float
    n: int
    n_clusters: int | None
    sign: float = 1.0

    @property
    def curve(self) -> pd.DataFrame:
        """One row for each budget, with columns as follows.

        share; value (of treating the most promising) with lower and upper; uniform (of treating as many at random);
        gain (the one over the other) with gain_lower and gain_upper; toc with toc_lower and toc_upper.
        """
        tail = [0.5 - self.level / 2, 0.5 + self.level / 2]
        ends = np.quantile(self.curve_draws, tail, axis=1)  # (2, 4, m)
        value, uniform, gain, toc = self.curves
        return pd.DataFrame({
            "share": self.shares,
            "value": value, "lower": ends[0, 0], "upper": ends[1, 0], "uniform": uniform,
            "gain": gain, "gain_lower": ends[0, 2], "gain_upper": ends[1, 2],
            "toc": toc, "toc_lower": ends[0, 3], "toc_upper": ends[1, 3],
        })  # fmt: skip

    @property
    def rate(self) -> pd.DataFrame:
        """AUTOC and Qini: measure, estimate, std_error (of the bootstrap), lower, upper, p_value (of zero).

        Of constant effects, which rank nobody, all are zero and the p-value is NaN.
        """
        se = self.rate_draws.std(axis=0, ddof=1)
        z = NormalDist().inv_cdf(0.5 + self.level / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = [2 * NormalDist().cdf(-abs(r / s)) if s > 0 else np.nan for r, s in zip(self.rates, se, strict=True)]
        return pd.DataFrame({
            "measure": ["AUTOC", "Qini"], "estimate": self.rates, "std_error": se,
            "lower": self.rates - z * se, "upper": self.rates + z * se, "p_value": p,
        })  # fmt: skip

    def plot(self, kind: Literal["value", "gain", "toc"] = "value", ax: Axes | None = None) -> Picture:
        """Draw the budget curve, the gain over chance, or the targeting operator characteristic, with its band."""
        from mixedfx.plots.picture import Picture
        from mixedfx.plots.targeting import CURVES, budget_curve

        check_option("kind", kind, CURVES)
        return Picture(budget_curve(self.curve, kind, level=self.level, ax=ax))

    def content(self) -> SummaryContent:
        """RATE and some of the curve."""
        made = "rows" if self.n_clusters is None else f"{self.n_clusters:,} clusters"
        facts = SummaryFacts((
            ("People", f"{self.n:,}"),
            ("Bands", f"{self.level:.0%}, at each share, of {len(self.rate_draws):,} bootstrap samples of {made}"),
        ))  # fmt: skip
        tables = _shown("Rank-weighted average treatment effect", self.rate), _shown("Budgets", self.curve)
        return SummaryContent("Targeting by predicted effects", (facts, *tables))
