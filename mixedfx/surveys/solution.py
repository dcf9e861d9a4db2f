"""All that is estimated of a weighted fit: parameters, their covariance by the sample, random effects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.progress import Asked
from mixedfx.results.optimization import Optimization
from mixedfx.surveys.components import component_jacobians, component_values, term_factors, thetas
from mixedfx.surveys.estimates import Estimates, Solved, replicated, solve_all
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.linearised import Sampled, linearised
from mixedfx.surveys.modes import Modes, modes
from mixedfx.surveys.options import SamplingWeights
from mixedfx.surveys.replication import ReplicateWeights
from mixedfx.surveys.weights import SampleWeights

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """Covariance of the estimates by the sample.

    Attributes
    ----------
    beta
        (p, p) covariance of the coefficients.
    variances, roots
        (m,) standard errors of variances and covariances, and of standard deviations and correlations, as `varcorr`
        lists them; NaN where a variance is estimated at zero or a correlation at one.
    df
        Degrees of freedom.
    words
        What these rest on.
    """

    beta: Array
    variances: Array
    roots: Array
    df: float
    words: str


@dataclass(frozen=True, eq=False)
class WeightedSolution:
    """Estimates of one design with sampling weights.

    Attributes
    ----------
    solved
        Rows, cross-products and estimates.
    factors
        For each random term its (k, k) factor T.
    theta
        (r,) parameters as users read them.
    asked
        What the user said of the sample.
    weights
        Conditional and overall weights.
    sample
        How units were drawn; None beside replicates.
    spread
        Covariance of the estimates.
    replicates, refits
        Replicate weights and the estimates by them; None where the covariance is linearised.
    optimization
        The course of the optimiser and its certificate.
    modes
        Random effects.
    """

    solved: Solved
    factors: tuple[Array, ...]
    theta: Array
    asked: SamplingWeights
    weights: SampleWeights
    sample: Sampled | None
    spread: Spread
    replicates: ReplicateWeights | None
    refits: Estimates | None
    optimization: Optimization
    modes: Modes

    @property
    def beta(self) -> Array:
        """(p,) coefficients."""
        return self.solved.estimates.beta[0]

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(self.solved.estimates.sigma[0])

    @property
    def criterion(self) -> float:
        """-2 log pseudo likelihood."""
        return float(self.solved.estimates.criterion[0])

    @property
    def certified(self) -> NDArray[np.bool_] | None:
        """(R,) which refits are certified; None where there are none."""
        return None if self.refits is None else self.refits.converged

    @property
    def bases(self) -> tuple[Array, ...]:
        """For each random term the triangle of the columns used."""
        return self.solved.problem.bases


def solve_sample(
    design: Design, nesting: Nesting, asked: SamplingWeights, weights: SampleWeights, sample: Sampled | None,
    replicates: ReplicateWeights | None, progress: Asked = None, Y: Array | None = None,
) -> list[WeightedSolution]:  # fmt: skip
    """Fit a design by pseudo maximum likelihood, with the covariance that the sample says.

    Parameters
    ----------
    design, nesting
        What is fitted, and its levels.
    asked, weights
        What the user said, and what became of it.
    sample
        Strata and primary sampling units; None beside replicates.
    replicates
        Replicate weights; None for linearised standard errors.
    progress
        Of the refits.
    Y
        (n, M) responses instead of that of the design.

    Returns
    -------
    list
        M solutions.
    """
    every = solve_all(design, nesting, weights.conditional, Y)
    refits = None if replicates is None else replicated(every.problem, weights, replicates, every.estimates, progress)
    found = []
    for m in range(len(every.estimates.beta)):
        solved = every.one(m)
        own = None
        if replicates is not None and refits is not None:
            own = refits.take(slice(m * replicates.count, (m + 1) * replicates.count))
        course = solved.maximum.course(partial(_natural, solved, design), m)
        found.append(solution_of(design, solved, course, asked, weights, sample, replicates, own))
    return found


def solution_of(
    design: Design, solved: Solved, course: Optimization, asked: SamplingWeights, weights: SampleWeights,
    sample: Sampled | None, replicates: ReplicateWeights | None, refits: Estimates | None,
) -> WeightedSolution:  # fmt: skip
    """All that follows from the estimates of one response."""
    one = solved.estimates
    sigma, par = float(one.sigma[0]), solved.problem.in_order(one.par)[0]
    if replicates is None or refits is None:
        assert sample is not None
        spread = _linearised(design, solved, par, sample)
    else:
        spread = _by_replicates(design, solved, par, replicates, refits)
    effects = modes(design, solved.problem, solved.given, one.used[0], one.gamma[0], sigma, one.beta[0], spread.beta)
    return WeightedSolution(
        solved, term_factors(design, par), thetas(design, par), asked, weights, sample, spread, replicates, refits,
        course, effects,
    )  # fmt: skip


def _natural(solved: Solved, design: Design, par: Array) -> Array:
    """Theta of parameters (F, r) of the optimiser, as users read it."""
    return thetas(design, solved.problem.in_order(solved.problem.natural(par)))


def _linearised(design: Design, solved: Solved, par: Array, sample: Sampled) -> Spread:
    one = solved.estimates
    p, sigma = len(one.beta[0]), float(one.sigma[0])
    found = linearised(solved.problem, solved.given, one.par[0], one.gamma[0], sigma, sample)
    V = found.vcov[p:, p:]
    order = np.append(solved.problem.in_order(np.arange(len(par))), len(par))
    V = V[np.ix_(order, order)]
    return Spread(found.vcov[:p, :p], *through(V, component_jacobians(design, par, sigma)), sample.df, sample.words)


def through(V: Array, jacobians: tuple[Array, Array]) -> tuple[Array, Array]:
    """Standard errors through derivatives; NaN where a parameter that counts is held."""
    held = np.isnan(np.diag(V))
    out = []
    for J in jacobians:
        touched = (np.abs(np.where(np.isnan(J), 1.0, J))[:, held] > 0).any(axis=1) | np.isnan(J).any(axis=1)
        square = np.einsum("ma,ab,mb->m", np.nan_to_num(J), np.nan_to_num(V), np.nan_to_num(J))
        zero = (J[:, ~held] == 0).all(axis=1)  # a variance at zero
        out.append(np.where(touched | zero, np.nan, np.sqrt(np.clip(square, 0.0, None))))
    return out[0], out[1]


def _by_replicates(
    design: Design, solved: Solved, par: Array, replicates: ReplicateWeights, refits: Estimates
) -> Spread:  # fmt: skip
    one = solved.estimates
    sigma = float(one.sigma[0])
    full = component_values(design, par, np.asarray(sigma))
    every = component_values(design, solved.problem.in_order(refits.par), refits.sigma)
    ses = []
    for whole, parts in zip(full, every, strict=True):
        with np.errstate(invalid="ignore"):
            ses.append(np.sqrt((replicates.scales[:, None] * (parts - whole) ** 2).sum(axis=0)))
    beta = replicates.covariance(one.beta[0], refits.beta)
    return Spread(beta, ses[0], ses[1], replicates.df, replicates.words)
