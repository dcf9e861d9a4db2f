r"""Log likelihood of a selection model and its gradient, with and without clusters.

Parameters, in this order: beta (p); the variance of effects that clusters share, where there are clusters; the variance
of effects of single estimates; delta. Without selection the estimates of a cluster are normal with variance D + b 11',
D = diag(d), whose log density is, with e = y - X beta, A = sum 1/d, B = sum e/d, C = sum e^2/d and q = 1 + b A,

    -1/2 [m log 2 pi + sum log d + log q + C - b B^2 / q],

with derivatives (e - g)/d by the means, g = b B / q the mean of the shared effect, ((e - g)^2 + b / q) / 2 d^2 - 1 / 2d
by d, and (B^2 / q^2 - A / q) / 2 by b. What selection adds is that of `mixedfx.meta.selection.clusters`, and of single
estimates log w - log E[w] with E[w] of N(mean, d + b).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.meta.measure import Array
from mixedfx.meta.selection.clusters import Shared, selected
from mixedfx.meta.selection.normalisers import SmoothWeights, StepWeights

LOG_2PI = float(np.log(2 * np.pi))
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SelectionProblem:
    """What is fitted, turned so that large estimates are significant.

    Attributes
    ----------
    y
        (k,) estimates.
    X
        (k, p) moderators.
    offset
        (k,) what is added to X beta.
    v
        (k,) sampling variances.
    weights
        Weight function; None of the model without selection.
    shared
        Clusters, whose rows lie together; None where estimates are independent.
    mechanism
        What selection is of, in clusters.
    """

    y: Array
    X: Array
    offset: Array
    v: Array
    weights: StepWeights | SmoothWeights | None
    shared: Shared | None = None
    mechanism: str = "conditional"

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.X.shape[1]

    @property
    def spreads(self) -> int:
        """Number of variances."""
        return 1 if self.shared is None else 2

    @property
    def size(self) -> int:
        """Number of all parameters, also of those that are known."""
        return self.p + self.spreads + (0 if self.weights is None else self.weights.size)

    @property
    def unselected(self) -> SelectionProblem:
        """The same without selection."""
        return replace(self, weights=None)

    @cached_property
    def groups(self) -> Shared:
        """Clusters; each estimate its own where there are none."""
        return Shared(np.arange(len(self.y) + 1)) if self.shared is None else self.shared

    @cached_property
    def _parts(self) -> tuple[Index, Index, Shared]:
        """Rows that are alone in their cluster, the other rows, and the clusters of these."""
        sizes = self.groups.sizes
        alone, many = np.flatnonzero(sizes == 1), np.flatnonzero(sizes > 1)
        inside = Shared(np.concatenate([[0], np.cumsum(sizes[many])]))
        return self.groups.start[alone], self.groups.rows(many) if len(many) else np.zeros(0, dtype=np.intp), inside

    @cached_property
    def _weights_of_parts(self) -> tuple[StepWeights | SmoothWeights | None, StepWeights | None]:
        """Weights of the rows that are alone, and of the others."""
        alone, many, _ = self._parts
        if isinstance(self.weights, StepWeights):
            return self.weights.rows(alone), self.weights.rows(many)
        return self.weights, None


def loglik(problem: SelectionProblem, theta: Array, fine: float = 1.0) -> tuple[float, Array]:
    """Log likelihood at all parameters, and its gradient.

    Parameters
    ----------
    problem
        What is fitted.
    theta
        (size,) parameters.
    fine
        How many times as many nodes of integrals over clusters.
    """
    p, spreads = problem.p, problem.spreads
    b = 0.0 if problem.shared is None else float(theta[p])
    delta = theta[p + spreads :]
    mean = problem.X @ theta[:p] + problem.offset
    e, d = problem.y - mean, problem.v + theta[p + spreads - 1]
    value, by_mean, by_variance, by_shared = _normal(problem.groups, e, d, b)
    by_delta = np.zeros(len(delta))
    alone, many, shared = problem._parts
    single, grouped = problem._weights_of_parts
    if single is not None and len(alone):
        logs, slopes = single.observed(delta)
        A = single.normaliser(mean[alone], d[alone] + b, delta)
        value += float(logs.sum() - A.log_value.sum())
        by_mean[alone] -= A.by_mean
        by_variance[alone] -= A.by_variance
        by_shared -= float(A.by_variance.sum())
        by_delta = by_delta + (slopes - A.by_delta).sum(axis=1)
    if grouped is not None and len(many):
        part = selected(problem.mechanism, grouped, shared, e[many], mean[many], d[many], b, delta, fine)
        value += part.value
        by_mean[many] += part.by_mean
        by_variance[many] += part.by_variance
        by_shared += part.by_shared
        by_delta = by_delta + part.by_delta
    by_spread = [by_variance.sum()] if problem.shared is None else [by_shared, by_variance.sum()]
    return value, np.concatenate([problem.X.T @ by_mean, by_spread, by_delta])


def _normal(groups: Shared, e: Array, d: Array, b: float) -> tuple[float, Array, Array, float]:
    """Log density without selection, and derivatives by means, row variances and b."""
    first, owner = groups.start[:-1], np.repeat(np.arange(len(groups.sizes)), groups.sizes)
    w = 1 / d
    A, B = np.add.reduceat(w, first), np.add.reduceat(e * w, first)
    q = 1 + b * A
    value = -0.5 * float(
        len(e) * LOG_2PI - np.log(w).sum() + np.log(q).sum() + (e * e * w).sum() - (b * B * B / q).sum()
    )
    rest = e - (b * B / q)[owner]
    by_variance = 0.5 * w * w * (rest**2 + (b / q)[owner]) - 0.5 * w
    return value, rest * w, by_variance, 0.5 * float(np.sum((B / q) ** 2 - A / q))
