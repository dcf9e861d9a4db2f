r"""Parameters averaged over models: weighted draws of every model together, absent ones at their null value.

A draw of model m has weight (posterior probability of m) x (its weight within m). Where a model does not have a
parameter the draw has the value that the model says it has: 0 of mu, tau, rho, PET, PEESE and moderators that are left
out, 1 of weights. So spikes are values that many draws share, and a quantile of the mixture, the smallest value with at
least that much probability up to it, may be one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedfx.meta.averaging.given import Given, Index
from mixedfx.meta.averaging.members import Member
from mixedfx.meta.averaging.solve import Solved, sample
from mixedfx.meta.measure import Array
from mixedfx.priors.bias import Weights

FEWEST, MOST = 512, 4096  # draws of a model
TOTAL = 32768  # draws of a model of probability 1


@dataclass(frozen=True, eq=False)
class Pooled:
    """Weighted draws of all models.

    Attributes
    ----------
    model
        (N,) which model each is of.
    weights
        (N,) weights, sum 1.
    mu, tau, rho, pet, peese
        (N,) parameters.
    moderators
        (N, q) coefficients of the columns of the moderators.
    omega
        (N, L) weights of the intervals of one-sided p values between `edges`; L = 0 without weight functions.
    edges
        (L + 1,) one-sided p values, from 0 to 1.
    own
        Weights of the intervals of the model's own weight function, as a list of (draws, J) arrays by model.
    """

    model: Index
    weights: Array
    mu: Array
    tau: Array
    rho: Array
    pet: Array
    peese: Array
    moderators: Array
    omega: Array
    edges: Array
    own: tuple[Array, ...]

    @cached_property
    def first(self) -> Index:
        """First draw of each model."""
        return np.searchsorted(self.model, np.arange(len(self.own)))


def pooled(given: Given, found: Sequence[Member], solved: Sequence[Solved], posterior: Array) -> Pooled:
    """Draws of every model, in proportion to its probability but never few."""
    edges = _edges(found)
    middle = (edges[1:] + edges[:-1]) / 2
    parts = []
    for member, model, probability in zip(found, solved, posterior, strict=True):
        n = int(2 ** np.ceil(np.log2(np.clip(TOTAL * probability, FEWEST, MOST))))
        at = sample(given, model, n)
        nothing = np.zeros(len(at.mu))
        parts.append((
            at.weights * probability, at.mu, at.tau, at.rho, at.slope if member.kind == "PET" else nothing,
            at.slope if member.kind == "PEESE" else nothing, at.moderators, _on_edges(member, at.omega, middle),
        ))  # fmt: skip
    sizes = [len(part[0]) for part in parts]
    weights, mu, tau, rho, pet, peese, moderators, omega = (
        np.concatenate([part[i] for part in parts]) for i in range(8)
    )
    return Pooled(
        np.repeat(np.arange(len(parts)), sizes), weights, mu, tau, rho, pet, peese, moderators, omega, edges,
        tuple(_own(parts, found, middle)),
    )  # fmt: skip


def _own(parts: Sequence[tuple[Array, ...]], found: Sequence[Member], middle: Array) -> list[Array]:
    """Weights of each model's own intervals, from those on the common edges."""
    out = []
    for part, member in zip(parts, found, strict=True):
        if member.kind != "weights":
            out.append(np.ones((len(part[0]), 1)))
            continue
        weights: Weights = member.bias.prior
        classes = interval_of(weights, middle)
        first = [int(np.flatnonzero(classes == j)[0]) for j in range(len(weights.steps) + 1)]
        out.append(part[7][:, first])
    return out


def interval_of(weights: Weights, p: Array) -> Index:
    """Interval of one-sided p values under a weight function, 0 the most significant."""
    own = 2 * np.minimum(p, 1 - p) if weights.two_sided else p
    return np.sum(own[:, None] > np.array(weights.steps), axis=1).astype(np.intp)


def _edges(found: Sequence[Member]) -> Array:
    """One-sided p values at which some weight function of the ensemble changes."""
    steps: set[float] = set()
    for member in found:
        if member.kind == "weights":
            weights: Weights = member.bias.prior
            for step in weights.steps:
                steps |= {step / 2, 1 - step / 2} if weights.two_sided else {step}
    return np.array([0.0, *sorted({round(s, 12) for s in steps}), 1.0]) if steps else np.array([0.0])


def _on_edges(member: Member, omega: Array, middle: Array) -> Array:
    if member.kind != "weights":
        return np.ones((len(omega), len(middle)))
    return np.column_stack([np.ones(len(omega)), omega])[:, interval_of(member.bias.prior, middle)]


def quantiles(values: Array, weights: Array, q: Sequence[float]) -> Array:
    """Smallest values with at least the probabilities q up to them.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.averaging.pooled import quantiles
    >>> quantiles(np.array([0.0, 0.0, 3.0, 1.0]), np.array([0.3, 0.3, 0.2, 0.2]), [0.5, 0.75, 0.99])
    array([0., 1., 3.])
    """
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    at = np.searchsorted(sums, np.asarray(q) * sums[-1] * (1 - 1e-14))
    return values[order][np.minimum(at, len(values) - 1)]


def described(values: Array, weights: Array, level: float) -> list[float]:
    """Mean, median, and ends of the central interval of weighted values."""
    total = weights.sum()
    if not total > 0:
        return [np.nan] * 4
    tail = (1 - level) / 2
    low, median, high = quantiles(values, weights, (tail, 0.5, 1 - tail))
    return [float(values @ weights / total), float(median), float(low), float(high)]
