"""All that is estimated of a weighted generalised fit: parameters, their covariance by the sample, random effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.progress import Asked
from mixedfx.results.optimization import Optimization, Step
from mixedfx.surveys.components import component_jacobians, component_values, term_factors, thetas
from mixedfx.surveys.generalised.effects import effects_at
from mixedfx.surveys.generalised.estimates import (
    GeneralRefits,
    natural_at,
    replicated,
    solve_full,
)
from mixedfx.surveys.generalised.maximum import At, GeneralMaximum
from mixedfx.surveys.generalised.problem import GeneralProblem, general_problem
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.linearised import Sampled, sandwich
from mixedfx.surveys.modes import Modes
from mixedfx.surveys.options import SamplingWeights
from mixedfx.surveys.replication import ReplicateWeights
from mixedfx.surveys.solution import Spread, through
from mixedfx.surveys.weights import SampleWeights

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GeneralSpread(Spread):
    """Covariance of the estimates by the sample.

    Attributes
    ----------
    auxiliary
        (a,) standard errors of the family's parameters; NaN of one at the end of its range.
    """

    auxiliary: Array


@dataclass(frozen=True, eq=False)
class GeneralSolution:
    """Estimates of one design with sampling weights.

    Attributes
    ----------
    problem, maximum
        Rows, and where the optimiser stopped.
    nAGQ, change
        Nodes for each effect, and by how much more of them change the criterion at a mean weight of one.
    beta
        (p,) coefficients.
    factors
        For each random term its (k, k) factor T: the covariance of a level's effects is T T'.
    theta
        (r,) parameters as users read them.
    auxiliary
        Parameter of the family -> estimate.
    asked, weights
        What the user said of the sample, and the weights.
    sample
        How units were drawn; None beside replicates.
    spread
        Covariance of the estimates.
    replicates, refits
        Replicate weights and estimates by them; None where the covariance is linearised.
    optimization
        The course of the optimiser and its certificate.
    modes
        Random effects.
    """

    problem: GeneralProblem
    maximum: GeneralMaximum
    nAGQ: int
    change: float
    beta: Array
    factors: tuple[Array, ...]
    theta: Array
    auxiliary: dict[str, float]
    asked: SamplingWeights
    weights: SampleWeights
    sample: Sampled | None
    spread: GeneralSpread
    replicates: ReplicateWeights | None
    refits: GeneralRefits | None
    optimization: Optimization
    modes: Modes

    @property
    def family(self) -> Family:
        """Distribution of the response."""
        return self.problem.responses.family

    @property
    def sigma(self) -> float:
        """Root of the factor of the variance function; 1 where a family has none."""
        return float(np.sqrt(self.family.dispersion(self.auxiliary)))

    @property
    def criterion(self) -> float:
        """-2 log pseudo likelihood."""
        return self.maximum.at.criterion

    @property
    def certified(self) -> NDArray[np.bool_] | None:
        """(R,) which refits are certified; None where there are none."""
        return None if self.refits is None else self.refits.converged

    @property
    def bases(self) -> tuple[Array, ...]:
        """For each random term the triangle of the columns used."""
        return self.problem.bases


def solve_general(
    design: Design, family: Family, nAGQ: int | Literal["auto"] | None, nesting: Nesting, asked: SamplingWeights,
    weights: SampleWeights, sample: Sampled | None, replicates: ReplicateWeights | None, progress: Asked = None,
) -> GeneralSolution:  # fmt: skip
    """Fit a design by pseudo maximum likelihood, with the covariance that the sample says.

    Parameters
    ----------
    design, family, nesting
        What is fitted, and its levels.
    nAGQ
        Nodes for each effect; the usual number where None.
    asked, weights, sample, replicates, progress
        As in `mixedfx.surveys.solution.solve_sample`.
    """
    problem = general_problem(design, nesting, family)
    found, count, change = solve_full(problem, weights.conditional, nAGQ)
    refits = None if replicates is None else replicated(problem, weights, replicates, found, count, progress)
    course = _course(design, problem, found)
    return solution_at(design, problem, found, count, change, course, asked, weights, sample, replicates, refits)


def solution_at(
    design: Design, problem: GeneralProblem, found: GeneralMaximum, count: int, change: float, course: Optimization,
    asked: SamplingWeights, weights: SampleWeights, sample: Sampled | None, replicates: ReplicateWeights | None,
    refits: GeneralRefits | None,
) -> GeneralSolution:  # fmt: skip
    """All that follows from estimates."""
    natural = natural_at(problem, found.at, count)
    gamma, theta, phi = problem.split(natural.psi)
    beta, par = problem.beta(gamma), problem.in_order(theta)
    if replicates is None or refits is None:
        assert sample is not None
        spread = _linearised(design, problem, natural, par, sample)
    else:
        spread = _by_replicates(design, problem, beta, par, phi, replicates, refits)
    names = problem.responses.names
    own = problem.responses.natural(phi).tolist()
    values = dict(problem.responses.family.held) | dict(zip(names, own, strict=True))
    effects = effects_at(design, problem, natural, weights.conditional, beta, spread.beta)
    return GeneralSolution(
        problem, found, count, change, beta, term_factors(design, par), thetas(design, par), values, asked, weights,
        sample, spread, replicates, refits, course, effects,
    )  # fmt: skip


def _course(design: Design, problem: GeneralProblem, found: GeneralMaximum) -> Optimization:
    """The steps, parameters as users read them."""
    par = np.array([step[0] for step in found.steps])
    theta = thetas(design, problem.in_order(problem.natural(par)))
    steps = tuple(Step(row, *step[1:]) for row, step in zip(theta, found.steps, strict=True))
    return Optimization(steps, found.outcome, found.gradient, found.curvature)


def _linearised(design: Design, problem: GeneralProblem, at: At, par: Array, sample: Sampled) -> GeneralSpread:
    p, r = problem.p, problem.n_parameters
    theta, phi = problem.split(at.psi)[1:]
    limits = problem.responses.limits(phi)
    held = [name in limits for name in problem.responses.names]
    scores = at.found.scores * at.weights[:, None]
    vcov, _ = sandwich(problem, theta, at.found.hessian, scores, sample, held)
    order = p + np.concatenate([problem.in_order(np.arange(r)), np.arange(r, r + len(held))]).astype(np.intp)
    V = vcov[np.ix_(order, order)]
    variances, roots = through(V, _jacobians(design, problem, par, phi))
    slope = problem.responses.slope(phi)
    own = np.abs(slope) * np.sqrt(np.diag(V)[r:])
    return GeneralSpread(vcov[:p, :p], variances, roots, sample.df, sample.words, own)


def has_residual(problem: GeneralProblem) -> bool:
    """Whether `varcorr` lists a residual standard deviation, last."""
    return problem.responses.family.normal and problem.responses.names[:1] == ("sigma",)


def _jacobians(design: Design, problem: GeneralProblem, par: Array, phi: Array) -> tuple[Array, Array]:
    """Derivatives of what `varcorr` lists in the parameters of the terms and phi."""
    a, found = len(phi), []
    for J in component_jacobians(design, par, 1.0):
        found.append(np.concatenate([J[:-1, :-1], np.zeros((len(J) - 1, a))], axis=1))
    if has_residual(problem):
        sigma, r = float(np.exp(phi[0])), len(par)
        for i, slope in enumerate((2.0 * sigma**2, sigma)):
            row = np.zeros((1, r + a))
            row[0, r] = slope
            found[i] = np.concatenate([found[i], row])
    return found[0], found[1]


def _by_replicates(
    design: Design, problem: GeneralProblem, beta: Array, par: Array, phi: Array, replicates: ReplicateWeights,
    refits: GeneralRefits,
) -> GeneralSpread:  # fmt: skip
    ok = np.isfinite(refits.beta).all(axis=1)
    kept = replace(replicates, scales=replicates.scales[ok])
    names = problem.responses.names
    full = _listed(design, problem, par[None], phi[None])
    every = _listed(design, problem, problem.in_order(refits.par[ok]), refits.phi[ok])
    ses = []
    for whole, own in zip(full, every, strict=True):
        with np.errstate(invalid="ignore"):
            ses.append(np.sqrt((kept.scales[:, None] * (own - whole) ** 2).sum(axis=0)))
    return GeneralSpread(
        kept.covariance(beta, refits.beta[ok]), ses[0], ses[1], replicates.df, replicates.words, ses[2][: len(names)]
    )


def _listed(design: Design, problem: GeneralProblem, par: Array, phi: Array) -> tuple[Array, Array, Array]:
    """(F, m) variances, (F, m) standard deviations and correlations, (F, a) parameters of the family."""
    variances, roots = (part[..., :-1] for part in component_values(design, par, np.ones(len(par))))
    own = np.array([problem.responses.natural(one) for one in phi]).reshape(len(phi), -1)
    if has_residual(problem):
        variances = np.concatenate([variances, own[:, :1] ** 2], axis=1)
        roots = np.concatenate([roots, own[:, :1]], axis=1)
    return variances, roots, own
