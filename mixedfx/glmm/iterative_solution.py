"""Estimates of a model that is solved by iteration: what follows from them by solves, and what is refused.

The covariance of the parameters is twice the inverse of the second derivatives, which are forward differences of the
score with the same probes: what two scores have in common of the probes' noise cancels. Random effects have their
covariance given the parameters by solves, draws by perturbing and solving (`mixedfx.pls.iterative_joint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.families.family import Family
from mixedfx.glmm.control import GlmmControl
from mixedfx.glmm.course import predicted_mode
from mixedfx.glmm.integration import Criterion
from mixedfx.glmm.iterative import minimise_by_probes, with_errors
from mixedfx.glmm.iterative_model import build_iterative_model
from mixedfx.glmm.joint import ModeJoint, mode_joint
from mixedfx.glmm.model import Model
from mixedfx.glmm.solve import (
    GlmmSolution,
    no_density,
    precision_of,
    refused,
    said_start,
    smaller_starts,
    starting_point,
)
from mixedfx.glmm.stochastic import StochasticEvaluation, evaluate_by_probes
from mixedfx.pls.factorization import Pair
from mixedfx.pls.iterative import BATCH
from mixedfx.pls.iterative_joint import IterativeJoint
from mixedfx.pls.iterative_solves import EXACT
from mixedfx.results.optimization import Optimization

Vector = NDArray[np.float64]

STEP = 0.02  # standard errors between scores that are subtracted
TIGHT = 1e-14  # decrement of their modes


@dataclass(frozen=True)
class IterativeModeJoint(ModeJoint, IterativeJoint):
    """The joint distribution of (beta, u) about a mode, by solves."""

    @cached_property
    def _solved(self) -> Pair:
        """A^{-1} Lambda'Z'W [Q, 0]."""
        at = self._at
        return at.solve(at.scale_transposed((self.problem.zw1, self.problem.zw2)), EXACT)


class IterativeGlmmSolution(GlmmSolution):
    """Estimates of one design under one family, by iteration."""

    @property
    def probed(self) -> StochasticEvaluation:
        """Score and mode at the estimate."""
        assert isinstance(self.evaluation, StochasticEvaluation)
        return self.evaluation

    @property
    def criterion_function(self) -> Criterion:
        """Refused: refits and profiles compare exact criteria."""
        raise refused("profiles and refits compare criteria that are exact,")

    @cached_property
    def hessian(self) -> Vector:
        """(d, d) second derivatives of the criterion in psi, by forward differences of the score."""
        model, at, d = self.model, self.probed, len(self.psi)
        base = evaluate_by_probes(model, at.psi, BATCH, at.mode.v, decrement=TIGHT)
        steps = STEP / np.sqrt(np.maximum(np.abs(np.diag(at.average)), 1e-8) / 2.0)
        out = np.empty((d, d))
        for i in range(d):
            psi = at.psi.copy()
            psi[i] += steps[i]
            moved = evaluate_by_probes(model, psi, BATCH, predicted_mode(model, base, psi), decrement=TIGHT)
            out[i] = (moved.gradient - base.gradient) / steps[i]
        return (out + out.T) / 2.0

    @cached_property
    def _given_rest(self) -> ModeJoint:
        return mode_joint(self.model, self.evaluation.mode, self.criterion, self.par, None, IterativeModeJoint)

    @cached_property
    def joint(self) -> ModeJoint:
        """Covariances and draws of (beta, u), the covariance parameters at their estimates but for beta's own part."""
        precision = precision_of(self._gamma_covariance) if len(self.beta) else None
        return mode_joint(self.model, self.evaluation.mode, self.criterion, self.par, precision, IterativeModeJoint)

    @cached_property
    def laplace_error(self) -> float:
        """Not known: its sums over pairs of rows take the inverse."""
        return float("nan")


def solve_by_probes(design: Design, family: Family, control: GlmmControl) -> IterativeGlmmSolution:
    """Fit a design by iteration.

    Raises
    ------
    ModelError
        If no parameters near the start give the response a density.
    OptionError
        A starting theta of another length.
    """
    model = build_iterative_model(design, family)
    start = said_start(model, starting_point(model), control)
    for _, psi in smaller_starts(model, start):
        try:
            found = minimise_by_probes(model, psi, control)
        except np.linalg.LinAlgError:
            continue
        model, at, course, errors = found
        return IterativeGlmmSolution(model, at, course, monte_carlo=errors)
    raise no_density(family)


def solution_at(model: Model, psi: Vector, probes: int, course: Optimization) -> IterativeGlmmSolution:
    """The solution whose parameters psi (d,) are known, by one evaluation."""
    at, errors = with_errors(model, evaluate_by_probes(model, psi, probes))
    return IterativeGlmmSolution(model, at, course, monte_carlo=errors)
