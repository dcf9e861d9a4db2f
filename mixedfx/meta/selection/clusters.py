r"""Normalisers of selection models in clusters: one integral for each cluster, whatever its size.

Estimate i of a cluster is y_i = mu_i + g + u_i + e_i with a shared effect g ~ N(0, b); given g estimates are
independent, N(mu_i + g, d_i), d_i = v_i + variance of u. What is seen of the cluster depends on how it is selected, the
*mechanism*:

    joint        prod w_i phi_i / E[prod w_i]: seen only if every estimate passes, otherwise made anew with another g
    conditional  int N(g; 0, b) prod [w_i phi(y_i | g) / A_i(g)] dg: estimates pass singly, and how many did says
                 nothing of g
    best         w(smallest p) prod phi_i / E[w(smallest p)]: the cluster is seen for its most significant estimate

If M estimates were made and n seen, g is tilted by A(g)^n (1 - A(g))^{M - n}. M = n gives "joint". If M is unknown with
prior 1 / M, then since sum_M C(M, n) A^n (1 - A)^{M - n} / M = 1 / n there is no tilt: "conditional", which is also
what estimates made anew until one passes give. A cluster of one estimate is taken as seen if that passes, under every
mechanism: its likelihood is w phi / E[w] of N(mu, b + d), so that without clusters all are the model of Vevea and
Hedges (1995).

Since estimates are independent given g, E[prod w_i] = int N(g) prod A_i(g) dg, and P(no p <= a_j) = int N(g) prod
S_ij(g) dg with S = P(p > a_j | g): one node costs as much as the cluster has estimates, where multivariate normal
probabilities of all 2^m corners have none. With g = m0 + s z the integrand is exp(-z^2 / 2) times products of normal
probabilities whose transitions have widths r = sqrt(min d) / s. Off the real line, at z + iy, it grows no faster than
exp(kappa y^2 / 2), kappa = 1 + c / r^2 with c the curvature of the products' logarithms. The trapezoid rule of step h
then errs by exp(-2 pi y / h + kappa y^2 / 2), at the best y by exp(-2 pi^2 / (h^2 kappa)) (Trefethen and Weideman 2014,
SIAM Review 56(3)): h is what makes that e^-28, for every r, where Gauss-Hermite rules of fixed order lose their digits
as r falls. How c depends on m and on max w / min w is a bound for one factor, and for their products was found by
comparing rules of h and h / 4 in thousands of clusters; fits check theirs. The range follows from min w^m <= prod A <=
max w^m.

Derivatives come from the same nodes: those of log int exp h(g) dg are expectations of the derivatives of h over the
nodes' shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.meta.measure import Array
from mixedfx.meta.selection.normalisers import ROOT_2PI, StepWeights

Index = NDArray[np.intp]
DIGITS = 28.0  # logs below the integral at which the error of the step is aimed
TAIL = 33.0  # logs below the largest term at which terms are left out: e^-33 is 5e-15
MOST = 2_000_000  # numbers in one array of nodes by estimates
FLOOR = 1e-12  # of b in the smallest variance: derivatives divide by b, and below it changes nothing


class Selected(NamedTuple):
    """What selection adds to the log likelihood, and derivatives by means, row variances, b and delta."""

    value: float
    by_mean: Array
    by_variance: Array
    by_shared: float
    by_delta: Array


@dataclass(frozen=True, eq=False)
class Shared:
    """Clusters in which estimates share an effect.

    Attributes
    ----------
    start
        (C + 1,) first row of each cluster and the number of rows; rows of a cluster lie together.
    """

    start: Index

    @property
    def sizes(self) -> Index:
        """(C,) rows of each cluster."""
        return np.diff(self.start)

    def rows(self, clusters: Index) -> Index:
        """Rows of some clusters."""
        sizes = self.sizes[clusters]
        return np.arange(sizes.sum()) + np.repeat(self.start[clusters] - np.cumsum(sizes) + sizes, sizes)


class Nodes(NamedTuple):
    """Trapezoid rule for some clusters of similar step: (N, C) z, (C,) logs of the step over sqrt(2 pi)."""

    clusters: Index
    z: Array
    log_step: Array


def trapezoid(sharpness: Array, sizes: Index, span: Array, growth: Array, fine: float = 1.0) -> Iterator[Nodes]:
    """Nodes for clusters, those of similar number together.

    Parameters
    ----------
    sharpness
        (C,) width of the sharpest factor in standard deviations of the shared effect.
    sizes
        (C,) estimates in each cluster.
    span
        (C,) log of the largest over the smallest value of what the normal density is multiplied with.
    growth
        (C,) what multiplies 1 / sharpness^2 in the growth of the integrand off the real line.
    fine
        How many times as many nodes.
    """
    step = np.sqrt(2 * np.pi**2 / (DIGITS * (1 + growth / sharpness**2)))
    reach = np.sqrt(2 * (TAIL + np.minimum(span, 1e4)))
    count = np.ceil(fine * reach / step).astype(np.intp)
    bucket = np.ceil(np.log2(count)).astype(np.intp)
    for b in np.unique(bucket):
        clusters = np.flatnonzero(bucket == b)
        most = int(count[clusters].max())
        pieces = int(np.ceil((2 * most + 1) * sizes[clusters].sum() / MOST))
        for part in np.array_split(clusters, min(pieces, len(clusters))):
            h = reach[part] / most
            yield Nodes(part, np.arange(-most, most + 1)[:, None] * h, np.log(h / ROOT_2PI))


def _bend(log_range: float) -> float:
    """An upper bound of A'' / A in units of 1 / d, for weights of this range."""
    return 0.3 * log_range + 0.08 * log_range**2


def _shares(logs: Array, log_step: Array) -> tuple[Array, Array]:
    """(C,) logs of the integrals of exp(logs), and the nodes' shares (N, C)."""
    top = logs.max(axis=0)
    terms = np.exp(logs - top)
    total = terms.sum(axis=0)
    return top + np.log(total) + log_step, terms / total


class _Chunk(NamedTuple):
    """Clusters that are integrated together: their rows, the cluster of each row, where clusters start."""

    rows: Index
    owner: Index
    start: Index


def _chunk(shared: Shared, clusters: Index) -> _Chunk:
    sizes = shared.sizes[clusters]
    return _Chunk(
        shared.rows(clusters), np.repeat(np.arange(len(clusters)), sizes), np.concatenate([[0], np.cumsum(sizes)[:-1]])
    )


def _log_range(delta: Array) -> float:
    return float(np.log(delta.max() / delta.min()))


def _joint(
    steps: StepWeights, shared: Shared, residual: Array, mean: Array, variance: Array, b: float, delta: Array,
    fine: float,
) -> Selected:  # fmt: skip
    """Sum log w - log E[prod w]."""
    spread = np.sqrt(b)
    logs, by_delta = steps.observed(delta)
    value, by_shared, by_delta = float(logs.sum()), 0.0, by_delta.sum(axis=1)
    by_mean, by_variance = np.zeros(len(mean)), np.zeros(len(mean))
    m, log_range = shared.sizes, _log_range(delta)
    sharp = np.sqrt(np.minimum.reduceat(variance, shared.start[:-1])) / spread
    for nodes in trapezoid(
        sharp, m, m * log_range, 1 + np.minimum(1.5 * m, 8 * np.log(m)) * _bend(log_range) + 2 * np.log(m), fine
    ):
        rows, owner, start = _chunk(shared, nodes.clusters)
        A = steps.rows(rows).normaliser(mean[rows] + spread * nodes.z[:, owner], variance[rows], delta)
        total, share = _shares(np.add.reduceat(A.log_value, start, axis=1) - 0.5 * nodes.z**2, nodes.log_step)
        value -= float(total.sum())
        each = share[:, owner]
        by_mean[rows] = -np.sum(each * A.by_mean, axis=0)
        by_variance[rows] = -np.sum(each * A.by_variance, axis=0)
        by_shared -= float(np.sum(each * nodes.z[:, owner] * A.by_mean)) / (2 * spread)
        by_delta = by_delta - np.sum(each * A.by_delta, axis=(1, 2))
    return Selected(value, by_mean, by_variance, by_shared, by_delta)


def _conditional(
    steps: StepWeights, shared: Shared, residual: Array, mean: Array, variance: Array, b: float, delta: Array,
    fine: float,
) -> Selected:  # fmt: skip
    """Sum log w + log E[1 / prod A | y], the expectation over g given y without selection, N(m0, s^2).

    Its derivatives are those of the whole less those of the part without selection, both expectations of complete-data
    scores: at g, of log N(g; 0, b) prod phi(y_i; mu_i + g, d_i) / A_i. With g = sqrt(b) z, dlog/db = g S / 2b for S
    the derivative by g of all that is not the prior.
    """
    first = shared.start[:-1]
    precision, tilt = np.add.reduceat(1 / variance, first), np.add.reduceat(residual / variance, first)
    s2 = b / (1 + b * precision)
    centre, spread = s2 * tilt, np.sqrt(s2)
    logs, by_delta = steps.observed(delta)
    value, by_shared, by_delta = float(logs.sum()), 0.0, by_delta.sum(axis=1)
    by_mean, by_variance = np.zeros(len(mean)), np.zeros(len(mean))
    m, log_range = shared.sizes, _log_range(delta)
    sharp = np.sqrt(np.minimum.reduceat(variance, first)) / spread
    for nodes in trapezoid(sharp, m, m * log_range, 2 + 2 * m * _bend(log_range), fine):
        c = nodes.clusters
        rows, owner, start = _chunk(shared, c)
        g = centre[c] + spread[c] * nodes.z
        d = variance[rows]
        A = steps.rows(rows).normaliser(mean[rows] + g[:, owner], d, delta)
        total, share = _shares(-np.add.reduceat(A.log_value, start, axis=1) - 0.5 * nodes.z**2, nodes.log_step)
        value += float(total.sum())
        each = share[:, owner]
        # moments of g under the nodes' shares, less those without selection
        first_moment = np.sum(share * g, axis=0) - centre[c]
        second_moment = np.sum(share * (g * g), axis=0) - (centre[c] ** 2 + s2[c])
        slope = np.sum(each * A.by_mean, axis=0)
        by_mean[rows] = -first_moment[owner] / d - slope
        by_variance[rows] = second_moment[owner] / (2 * d**2) - residual[rows] * first_moment[owner] / d**2
        by_variance[rows] -= np.sum(each * A.by_variance, axis=0)
        score = tilt[c] * first_moment - precision[c] * second_moment
        score = score - np.add.reduceat(np.sum(each * g[:, owner] * A.by_mean, axis=0), start)
        by_shared += float(score.sum()) / (2 * b)
        by_delta = by_delta - np.sum(each * A.by_delta, axis=(1, 2))
    return Selected(value, by_mean, by_variance, by_shared, by_delta)


def _best(
    steps: StepWeights, shared: Shared, residual: Array, mean: Array, variance: Array, b: float, delta: Array,
    fine: float,
) -> Selected:  # fmt: skip
    """Sum log w(best) - log E[w(best)], E[w(best) | g] = delta_1 + sum_j (delta_{j+1} - delta_j) prod_i S_ij(g)."""
    spread = np.sqrt(b)
    best = np.minimum.reduceat(steps.cells, shared.start[:-1])
    at = np.bincount(best, minlength=steps.size)
    value, by_shared, by_delta = float(at @ np.log(delta)), 0.0, at / delta
    by_mean, by_variance = np.zeros(len(mean)), np.zeros(len(mean))
    m, log_range = shared.sizes, _log_range(delta)
    sharp = np.sqrt(np.minimum.reduceat(variance, shared.start[:-1])) / spread
    for nodes in trapezoid(sharp, m, np.full(len(m), log_range), 1 + 2 * (np.log(m) + log_range), fine):
        rows, owner, start = _chunk(shared, nodes.clusters)
        S = _survival(steps.rows(rows), mean[rows] + spread * nodes.z[:, owner], variance[rows])
        U = np.exp(np.add.reduceat(S.log_value, start, axis=2))  # (J - 1, N, C)
        cells = -np.diff(U, axis=0, prepend=1.0, append=0.0)
        weight = np.tensordot(delta, cells, 1)
        total, share = _shares(np.log(weight) - 0.5 * nodes.z**2, nodes.log_step)
        value -= float(total.sum())
        part = share / weight
        each = (np.diff(delta)[:, None, None] * U * part)[:, :, owner]
        slope = np.sum(each * S.by_mean, axis=0)
        by_mean[rows] = -slope.sum(axis=0)
        by_variance[rows] = -np.sum(each * S.by_variance, axis=(0, 1))
        by_shared -= float(np.sum(slope * nodes.z[:, owner])) / (2 * spread)
        by_delta = by_delta - np.sum(cells * part, axis=(1, 2))
    return Selected(value, by_mean, by_variance, by_shared, by_delta)


class _Survival(NamedTuple):
    """log P(p > a_j), (J - 1, N, k), and derivatives."""

    log_value: Array
    by_mean: Array
    by_variance: Array


def _survival(steps: StepWeights, mean: Array, variance: Array) -> _Survival:
    s = np.sqrt(variance)
    logs, by_mean, by_variance = [], [], []
    for cut in steps.cuts:
        upper = (cut * steps.sd - mean) / s
        value = special.log_ndtr(upper)
        up = np.exp(-0.5 * upper * upper - value) / (ROOT_2PI * s)
        slope, slope_v = -up, -0.5 * upper * up / s
        if steps.two_sided:
            lower = (-cut * steps.sd - mean) / s
            both = np.maximum(-np.expm1(special.log_ndtr(lower) - value), 1e-300)
            down = np.exp(-0.5 * lower * lower - value) / (ROOT_2PI * s)
            slope, slope_v = (slope + down) / both, (slope_v + 0.5 * lower * down / s) / both
            value = value + np.log(both)
        logs.append(value)
        by_mean.append(slope)
        by_variance.append(slope_v)
    return _Survival(np.stack(logs), np.stack(by_mean), np.stack(by_variance))


Mechanism = Callable[[StepWeights, Shared, Array, Array, Array, float, Array, float], Selected]
MECHANISMS: dict[str, Mechanism] = {"conditional": _conditional, "joint": _joint, "best": _best}


def selected(
    mechanism: str, steps: StepWeights, shared: Shared, residual: Array, mean: Array, variance: Array, b: float,
    delta: Array, fine: float = 1.0,
) -> Selected:  # fmt: skip
    """What selection by a mechanism adds to the log likelihood of clusters of two or more estimates.

    Parameters
    ----------
    mechanism
        ``"conditional"``, ``"joint"`` or ``"best"``.
    steps
        Weights of the estimates.
    shared
        Their clusters.
    residual, mean, variance
        (k,) estimates less their means, means, and variances given the shared effect.
    b
        Variance of the shared effect.
    delta
        (J,) weights of the intervals.
    fine
        How many times as many nodes.
    """
    return MECHANISMS[mechanism](
        steps, shared, residual, mean, variance, max(b, FLOOR * float(variance.min())), delta, fine
    )
