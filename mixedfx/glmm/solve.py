"""Maximum likelihood estimates of a design under a family: start, optimise, certify, answer in the user's terms."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import IdentifiabilityWarning, IterativeSolverError, ModelError, OptionError, outside
from mixedfx.families.family import Family
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.control import DEFAULT, GlmmControl
from mixedfx.glmm.course import minimise
from mixedfx.glmm.evaluation import Evaluation
from mixedfx.glmm.hessian import covariance, free_parameters, hessian
from mixedfx.glmm.integration import (
    SETTLED,
    Criterion,
    check_quadrature,
    coarser,
    criterion_function,
    ladder,
    staying,
)
from mixedfx.glmm.joint import ModeJoint, mode_joint
from mixedfx.glmm.laplace_error import laplace_error
from mixedfx.glmm.model import Model, build_model
from mixedfx.glmm.pairs import PairLikelihood
from mixedfx.glmm.penalised import prior_deviance, prior_information
from mixedfx.inference.parameters import factors_of
from mixedfx.linalg import triangular
from mixedfx.results.monte_carlo import MonteCarlo
from mixedfx.results.optimization import Optimization, Outcome

Vector = NDArray[np.float64]

SHARES = (1.0, 0.3, 0.1, 0.01)  # of the standard deviations to begin with, tried in turn
HELD = 1e-12  # variance, as a share of the largest, of what is held
AGAIN = 0.1  # the share with which it is tried once more where Laplace's approximation had no maximum
ROUGH = 1e-3  # promised gain at which a coarser criterion is left
NOT_DETERMINED = (
    "the likelihood is flat in some direction of the parameters, or has no maximum there: standard errors of the fixed "
    "effects are those given the variances"
)


@dataclass(frozen=True, eq=False)
class GlmmSolution:
    """Estimates of one design under one family.

    Attributes
    ----------
    model
        The engine's view of the design.
    evaluation
        Criterion, gradient and modes at the estimate.
    optimization
        The course of the optimiser and its certificate.
    nAGQ
        Nodes of quadrature for each effect of a level; one is Laplace's approximation.
    settled
        What more nodes change the criterion by, where their number was sought; None where it was given.
    monte_carlo
        The errors of probes, of a solution by iteration; None of an exact one.
    """

    model: Model
    evaluation: Evaluation
    optimization: Optimization
    nAGQ: int = 1
    settled: float | None = None
    monte_carlo: MonteCarlo | None = None

    @property
    def design(self) -> Design:
        """What was fitted."""
        return self.model.design

    @property
    def iterative(self) -> bool:
        """Whether the crossed effects were solved for without a factor; see `mixedfx.glmm.iterative_solution`."""
        return self.monte_carlo is not None

    @property
    def criterion(self) -> float:
        """-2 log likelihood; of a maximum a posteriori estimate without the prior."""
        return self.evaluation.criterion - self.prior_deviance

    @cached_property
    def prior_deviance(self) -> float:
        """-2 log prior density of the coefficients; zero of a maximum likelihood estimate."""
        return prior_deviance(self.model, self.evaluation.mode.gamma)

    @property
    def psi(self) -> Vector:
        """(d,) the estimate in the engine's parameters (gamma, par, phi)."""
        return self.evaluation.psi

    @property
    def par(self) -> Vector:
        """(r,) parameters of the covariance factors."""
        return self.model.split(self.psi)[1]

    @cached_property
    def theta(self) -> Vector:
        """(r,) the same of the columns as given, as users read them."""
        return self.model.problem.natural_theta(self.evaluation.mode.T)

    @cached_property
    def factors(self) -> tuple[Vector, ...]:
        """For each random term the (k, k) factor T of the covariance T T' of a level's effects."""
        return tuple(factors_of(self.design, self.theta))

    @cached_property
    def auxiliary(self) -> dict[str, float]:
        """Name -> estimate of each auxiliary parameter of the family."""
        own = self.model.likelihood
        values = own.parameters.natural(self.model.split(self.psi)[2])
        return {name: float(x) for name, x in zip(own.names, values, strict=True)}

    @cached_property
    def beta(self) -> Vector:
        """(p,) fixed effects."""
        return self.model.beta(self.evaluation.mode.gamma)

    @cached_property
    def u(self) -> Vector:
        """(q,) conditional modes, ordered as the design orders them."""
        return self._given_rest.u

    @property
    def bases(self) -> tuple[Vector, ...]:
        """For each random term the triangle B of the columns its engine used."""
        return self.model.problem.bases

    @property
    def criterion_function(self) -> Criterion:
        """What was minimised."""
        return criterion_function(self.nAGQ)

    @cached_property
    def hessian(self) -> Vector:
        """(d, d) second derivatives of the criterion in psi; see `mixedfx.glmm.hessian`."""
        return hessian(self.model, self.evaluation, self.criterion_function)

    @cached_property
    def covariance(self) -> Vector | None:
        """(d, d) covariance of psi, zero for what is on the boundary; None where the criterion is flat."""
        return covariance(self.hessian, free_parameters(self.model, self.psi, self.evaluation.mode.eta))

    @cached_property
    def vcov(self) -> Vector:
        """(p, p) covariance of the fixed effects, that of the variances' estimation included."""
        p = len(self.beta)
        if not p:
            return np.zeros((0, 0))
        half = np.asarray(triangular.solve(self.model.problem.R, np.eye(p)))
        return half @ self._gamma_covariance @ half.T

    @cached_property
    def full_covariance(self) -> Vector:
        """(p + a, p + a) covariance of the fixed effects and the parameters of the family, as users read them.

        NaN for the latter where the criterion is flat.
        """
        p, r, a = self.model.sizes
        out = np.full((p + a, p + a), np.nan)
        out[:p, :p] = self.vcov
        if self.covariance is not None and a:
            own = self.model.likelihood.parameters
            turn = np.zeros((p + a, p + r + a))
            turn[:p, :p] = np.asarray(triangular.solve(self.model.problem.R, np.eye(p)))
            turn[p:, p + r :] = np.diag(own.slopes(self.model.split(self.psi)[2]))
            out = turn @ self.covariance @ turn.T
        return out

    @cached_property
    def _gamma_covariance(self) -> Vector:
        p = len(self.beta)
        if self.covariance is not None:
            return self.covariance[:p, :p]
        warnings.warn(NOT_DETERMINED, IdentifiabilityWarning, outside())
        return np.asarray(np.linalg.pinv(self._given_rest.evaluation.S + self._prior), dtype=np.float64)

    @property
    def _prior(self) -> Vector:
        return prior_information(self.model, self.evaluation.mode.gamma)

    @cached_property
    def _given_rest(self) -> ModeJoint:
        return mode_joint(self.model, self.evaluation.mode, self.criterion, self.par, None)

    @cached_property
    def joint(self) -> ModeJoint:
        """Covariances and draws of (beta, u), the covariance parameters at their estimates but for beta's own part."""
        precision = precision_of(self._gamma_covariance) if len(self.beta) else None
        return mode_joint(self.model, self.evaluation.mode, self.criterion, self.par, precision)

    @cached_property
    def laplace_error(self) -> float:
        """What -2 log L lacks by Laplace's approximation, to second order; NaN of quadrature and of pairs."""
        if not self.design.random:
            return 0.0
        if self.nAGQ > 1 or isinstance(self.model.likelihood, PairLikelihood):
            return float("nan")
        return laplace_error(self.model, self.evaluation.mode, self.par)

    @cached_property
    def eta(self) -> Vector:
        """(n,) linear predictors of the rows of the design, random effects at their modes."""
        out = np.empty(len(self.design.y))
        out[self.model.rows.order] = self.evaluation.mode.eta
        return out


def precision_of(covariance: Vector) -> Vector:
    """(p, p) inverse of the covariance of gamma; where that is none, or of something that is held, nearly so."""
    values, vectors = np.linalg.eigh(covariance)
    if values[0] > 0.0:
        return np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    return np.asarray((vectors / np.maximum(values, HELD * values[-1])) @ vectors.T, dtype=np.float64)


def solve(
    design: Design, family: Family, nAGQ: int | Literal["auto"] = 1, control: GlmmControl = DEFAULT,
    start: Vector | None = None, prior: CoefficientPrior | None = None,
) -> GlmmSolution:  # fmt: skip
    """Fit a design under a family by maximum likelihood, or with a prior of the coefficients.

    Parameters
    ----------
    design
        Response, X and any random terms.
    family
        Distribution of the response.
    nAGQ
        Nodes of quadrature; ``"auto"`` raises them until the criterion moves less than `SETTLED`.
    control
        Options of the optimiser.
    start
        (d,) starting psi; by default from moments, theta from `control` where it says one.
    prior
        Of the coefficients: the estimate is the maximum a posteriori.

    Raises
    ------
    ModelError
        If no parameters near the start give the response a density.
    OptionError
        A starting theta of another length.
    """
    model = replace(build_model(design, family), prior=prior)
    if not design.random or (nAGQ == "auto" and not model.problem.factors[0].blocks):
        nAGQ = 1
    if nAGQ != "auto" and nAGQ > 1:
        check_quadrature(model, nAGQ)
    if start is None:
        start = said_start(model, starting_point(model), control)
    return settle(model, start, control) if nAGQ == "auto" else solve_model(model, start, nAGQ, control)


def said_start(model: Model, start: Vector, control: GlmmControl) -> Vector:
    """The start psi (d,), with theta of `control` where it says one."""
    if control.start is None:
        return start
    p, r, _ = model.sizes
    if len(control.start) != r:
        raise OptionError(
            f"start= has {len(control.start)} numbers, and theta has {r}",
            hint="Give fit.theta of a fit of the same random part.",
        )
    out: Vector = start.copy()
    out[p : p + r] = model.problem.parameters(np.array(control.start))
    return out


def settle(model: Model, start: Vector, control: GlmmControl = DEFAULT) -> GlmmSolution:
    """Optimise from psi (d,) with more and more nodes, until more move the criterion by less than `SETTLED`."""
    first, *rest = ladder(model.problem)
    found, moved = solve_model(model, start, first, control), np.inf
    for nodes in rest:
        at = criterion_function(nodes)(found.model, found.psi, found.evaluation.mode.v, False)
        moved = abs(at.criterion - found.criterion)
        if moved < SETTLED:
            break
        model, at, course = minimise(found.model, found.psi, staying(criterion_function(nodes)), control)
        steps = (*found.optimization.steps, *course.steps)
        found = GlmmSolution(model, at, replace(course, steps=steps), nodes)
    return replace(found, settled=float(moved))


def solve_model(model: Model, start: Vector, nAGQ: int = 1, control: GlmmControl = DEFAULT) -> GlmmSolution:
    """Optimise from psi (d,)."""
    if model.problem.iterative:
        raise refused("this refits the model")
    flat = None
    for share, psi in smaller_starts(model, start):
        if flat is not None and share != AGAIN:
            continue
        try:
            solution = GlmmSolution(*_minimised(model, psi, nAGQ, control), nAGQ)
        except np.linalg.LinAlgError:
            continue
        if solution.optimization.outcome is not Outcome.FLAT:
            return solution
        flat = flat or solution
    if flat is not None:
        return flat
    raise no_density(model.family)


def smaller_starts(model: Model, start: Vector) -> Iterator[tuple[float, Vector]]:
    """The start psi (d,), then with smaller and smaller effects, and the shares that these are.

    Smaller effects keep closer to the mean, where every link has densities, and modes are one.
    """
    gamma, par, phi = model.split(start)
    T = model.problem.matrices(par)
    for share in SHARES:
        smaller = par if share == 1.0 else model.problem.lower([share * one for one in T])
        yield share, np.concatenate([gamma, smaller, phi])


def refused(what: str, way: str = "") -> IterativeSolverError:
    """The error of a question that an iterative fit does not answer."""
    return IterativeSolverError(
        f"{what} by the factor of all crossed effects, which an iterative fit does without",
        hint=f'{way}Fit with control={{"solver": "direct"}} where memory allows.',
    )


def no_density(family: Family) -> ModelError:
    """The error where no start has a mode."""
    return ModelError(
        f"no parameters were found that give every response a density under {family!r}",
        hint=f"The {family.link.name} link may lead to means that the family cannot have; another link may not.",
    )


def _minimised(
    model: Model, psi: Vector, nAGQ: int, control: GlmmControl
) -> tuple[Model, Evaluation, Optimization]:  # fmt: skip
    """The minimum, sought by a coarser criterion first where there is one."""
    coarse = coarser(model.problem, nAGQ)
    if coarse is None:
        return minimise(model, psi, criterion_function(nAGQ), control)
    model, found, before = minimise(model, psi, coarse, replace(control, tolerance=max(control.tolerance, ROUGH)))
    model, found, course = minimise(model, found.psi, staying(criterion_function(nAGQ)), control)
    return model, found, replace(course, steps=(*before.steps, *course.steps))


def starting_point(model: Model) -> Vector:
    """(d,) psi: the mean response, equal standard deviations of moderate size, auxiliary parameters from moments."""
    centre, sd, phi = model.likelihood.start()
    gamma = (centre - model.offset) @ model.Q / max(len(model.offset), 1)  # Q'Q / n is the identity
    problem = model.problem
    T = [sd * np.eye(group.k) for group in problem.factors]
    return np.concatenate([np.asarray(gamma, dtype=np.float64), problem.lower(T), phi])
