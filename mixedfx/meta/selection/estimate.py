"""From arrays to a fitted selection model: what a fit of estimates, alone or in clusters, asks of the numerics.

Nothing here knows of formulas or data frames: `fit_selection` takes estimates, moderators, sampling variances and codes
of clusters, so that models with and without clusters share it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError, ModelError
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.clusters import MECHANISMS, Shared
from mixedfx.meta.selection.intervals import Alternative, Empty, critical_values, intervals, without_empty
from mixedfx.meta.selection.likelihood import SelectionProblem
from mixedfx.meta.selection.maximum import Maximum, maximise
from mixedfx.meta.selection.normalisers import SmoothWeights, StepWeights
from mixedfx.meta.selection.weights import WeightFunction


@dataclass(frozen=True, eq=False)
class SelectionInput:
    """Estimates and the model of their selection.

    Attributes
    ----------
    y, offset
        (k,) estimates, and what is added to their linear predictor.
    X
        (k, p) moderators.
    v
        (k,) sampling variances.
    function
        Weight function.
    steps
        p values at which the weights of a step function change, or where those of a smooth one begin to fall.
    alternative
        Direction in which estimates are significant.
    codes
        (k,) cluster of each estimate, from 0; None where they are independent.
    mechanism
        How clusters are selected.
    tau2
        Heterogeneity, where it is known.
    empty
        Whether intervals without estimates may be merged.
    """

    y: Array
    offset: Array
    X: Array
    v: Array
    function: WeightFunction
    steps: tuple[float, ...]
    alternative: Alternative = "greater"
    codes: NDArray[np.intp] | None = None
    mechanism: str = "conditional"
    tau2: float | None = None
    empty: Empty = "refuse"

    @property
    def two_sided(self) -> bool:
        """Whether p values are two-sided."""
        return self.alternative == "two.sided"

    @property
    def sign(self) -> float:
        """-1 where small estimates are significant."""
        return -1.0 if self.alternative == "less" else 1.0

    @cached_property
    def z(self) -> Array:
        """(k,) estimates over their standard errors, in the direction in which they are significant."""
        return self.sign * self.y / np.sqrt(self.v)

    def counted(self, steps: tuple[float, ...]) -> Array:
        """How many weights there are of each interval: of estimates, or of the best ones of clusters."""
        cells = intervals(self.z, steps, self.two_sided)
        if self.codes is not None and self.mechanism == "best":
            best = np.full(int(self.codes.max()) + 1, len(steps))
            np.minimum.at(best, self.codes, cells)
            cells = best
        return np.bincount(cells, minlength=len(steps) + 1)


@dataclass(frozen=True, eq=False)
class SelectionEstimate:
    """A selection model at its maximum.

    Attributes
    ----------
    given
        What was fitted, its steps those that are left where intervals were merged.
    problem
        The likelihood, rows in the order of clusters.
    maximum
        Where it is largest.
    unselected
        The maximum without selection.
    known
        Parameters that are not estimated, NaN for the others.
    """

    given: SelectionInput
    problem: SelectionProblem
    maximum: Maximum
    unselected: Maximum
    known: Array

    @property
    def at_variances(self) -> slice:
        """Where the variances are among the parameters."""
        return slice(self.problem.p, self.problem.p + self.problem.spreads)

    @property
    def at_weights(self) -> slice:
        """Where the weights are."""
        return slice(self.problem.p + self.problem.spreads, self.problem.size)

    @property
    def df(self) -> int:
        """Parameters of selection that are estimated."""
        return int(np.isnan(self.known[self.at_weights]).sum())

    @property
    def lrt(self) -> float:
        """Likelihood-ratio statistic against no selection."""
        return max(0.0, 2 * (self.maximum.loglik - self.unselected.loglik))

    @property
    def p_value(self) -> float:
        """Its p value; that of the mixture with a point mass at 0 where no selection is a boundary of the model."""
        from scipy import special

        tail = float(special.chdtrc(self.df, self.lrt))
        if not self.given.function.boundary:
            return tail
        return tail / 2 if self.lrt > 1e-10 else 1.0


def fit_selection(given: SelectionInput) -> SelectionEstimate:
    """Fit a selection model, and the model without selection.

    Raises
    ------
    DataError
        An interval of p values without estimates that may not be merged.
    ModelError
        Fewer estimates than parameters; smooth weights in clusters; clusters that cannot be told from estimates.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.selection.estimate import SelectionInput, fit_selection
    >>> from mixedfx.meta.selection.weights import find_weight_function
    >>> y = np.array([0.62, 0.85, 0.10, -0.10, 0.33, 0.25, 0.70, 0.60, 0.05, 0.30, 0.45, 0.52])
    >>> v = np.array([0.04, 0.10, 0.09, 0.03, 0.02, 0.05, 0.10, 0.06, 0.06, 0.08, 0.03, 0.05])
    >>> step, X, codes = find_weight_function("stepfun"), np.ones((12, 1)), np.repeat(np.arange(6), 2)
    >>> fit = fit_selection(SelectionInput(y, 0 * y, X, v, step, (0.025,), codes=codes))
    >>> fit.maximum.theta.round(3)  # mean, variances between and within clusters, weights
    array([0.207, 0.024, 0.   , 1.   , 0.102])
    >>> round(fit.lrt, 3)
    5.127
    """
    _check(given)
    if not given.function.smooth:
        counts = given.counted(given.steps)
        what = "best estimate" if given.mechanism == "best" and given.codes is not None else "estimate"
        given = replace(given, steps=without_empty(given.steps, counts, given.empty, what))
    problem = _problem(given)
    room = len(given.y) - problem.p - problem.spreads
    weights = problem.size - problem.p - problem.spreads - (0 if given.function.smooth else 1)
    if room < weights:
        raise ModelError(
            f"{len(given.y)} estimates are too few for {problem.p} coefficient{'s' if problem.p > 1 else ''}, "
            f"heterogeneity and {weights} weight{'s' if weights > 1 else ''}",
            hint="Use fewer steps or moderators.",
        )
    variances = np.full(problem.spreads, np.nan if given.tau2 is None else given.tau2)
    scale = _scale(problem)
    base = np.concatenate([np.full(problem.p, np.nan), variances])
    unselected = maximise(problem.unselected, base, _starts(problem, variances), scale[: len(base)])
    null, tries, known = _weights(given)
    at = np.concatenate([base, known])
    starts = []
    for shrink, wider, delta in zip((1.0, 0.5, 1.0), (1.0, 1.5, 2.0), tries, strict=True):
        beta, spread = unselected.theta[: problem.p], unselected.theta[problem.p :]
        spread = np.where(np.isnan(variances), wider * np.maximum(spread, 0.1 * np.median(given.v)), spread)
        starts.append(np.concatenate([shrink * beta, spread, delta]))
    sizes = np.concatenate([scale, np.ones(len(null))])
    found = maximise(problem, at, starts, sizes)
    if found.loglik < unselected.loglik - 1e-8:
        found = maximise(problem, at, [np.concatenate([unselected.theta, null])], sizes)
    return SelectionEstimate(given, problem, found, unselected, at)


def _check(given: SelectionInput) -> None:
    if given.mechanism not in MECHANISMS:
        raise ModelError(
            f"there is no mechanism {given.mechanism!r}", hint="Use one of: " + ", ".join(MECHANISMS) + "."
        )
    if given.codes is None:
        return
    clusters = int(given.codes.max()) + 1
    if given.function.smooth:
        raise ModelError(
            f"the {given.function.title} weight function is for independent estimates, and these are in clusters",
            hint="Use type='stepfun', or leave cluster= out.",
        )
    if given.tau2 is not None:
        raise ModelError(
            "the heterogeneity is fixed, and clusters share a part of it that is estimated",
            hint="Leave tau2= out (or method='EE'), or cluster=.",
        )
    if clusters < 2:
        raise DataError(
            "all estimates are in one cluster, whose effect cannot be told from the mean",
            hint="Two clusters are the least; leave cluster= out otherwise.",
        )
    if clusters == len(given.y):
        raise DataError(
            "every estimate is a cluster of its own", hint="Leave cluster= out: the estimates are independent."
        )


def _problem(given: SelectionInput) -> SelectionProblem:
    """The likelihood, turned so that large estimates are significant, rows in the order of clusters."""
    order = np.arange(len(given.y)) if given.codes is None else np.argsort(given.codes, kind="stable")
    z, sd = given.z[order], np.sqrt(given.v[order])
    if given.function.smooth:
        begin = given.steps[0] if given.steps else 0.0
        weights = SmoothWeights(given.function, z, sd, given.two_sided, begin)
    else:
        cuts = critical_values(given.steps, given.two_sided)
        weights = StepWeights(cuts, intervals(z, given.steps, given.two_sided), sd, given.two_sided)
    shared = None
    if given.codes is not None:
        shared = Shared(np.concatenate([[0], np.cumsum(np.bincount(given.codes))]))
    s = given.sign
    return SelectionProblem(
        s * given.y[order],
        s * given.X[order],
        s * given.offset[order],
        given.v[order],
        weights,
        shared,
        given.mechanism,
    )


def _weights(given: SelectionInput) -> tuple[Array, list[Array], Array]:
    """Weights without selection, three to start from, and those that are known."""
    if given.function.smooth:
        null = np.array(given.function.null)
        if len(null) == 2:
            return null, [null, np.array([1.5, 0.5]), np.array([0.7, 1.2])], np.full(2, np.nan)
        return null, [np.array([x]) for x in (0.5, 3.0, 0.1)], np.full(1, np.nan)
    J = len(given.steps) + 1
    null, known = np.ones(J), np.concatenate([[1.0], np.full(J - 1, np.nan)])
    falling = np.concatenate([[1.0], np.linspace(0.6, 0.3, J - 1)])
    return (
        null,
        [falling, np.concatenate([[1.0], np.full(J - 1, 0.15)]), np.concatenate([[1.0], np.full(J - 1, 2.0)])],
        known,
    )


def _scale(problem: SelectionProblem) -> Array:
    """Sizes of coefficients and variances."""
    typical = float(np.median(problem.v))
    cross = problem.X.T @ (problem.X / (2 * problem.v)[:, None])
    return np.concatenate([np.sqrt(np.diag(np.linalg.inv(cross))), np.full(problem.spreads, typical)])


def _starts(problem: SelectionProblem, variances: Array) -> list[Array]:
    """Weighted least squares, with little heterogeneity and with much."""
    starts = []
    for share in (0.3, 3.0):
        spread = np.where(np.isnan(variances), share * float(np.median(problem.v)), variances)
        w = 1 / (problem.v + spread.sum())
        root = np.sqrt(w)[:, None]
        beta = np.linalg.lstsq(root * problem.X, root[:, 0] * (problem.y - problem.offset), rcond=None)[0]
        starts.append(np.concatenate([beta, spread]))
    return starts
