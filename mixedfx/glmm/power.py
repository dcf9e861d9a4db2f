"""Data sets simulated from a generalised linear mixed model in another design, fitted, and tested by z.

What `mixedfx.power` counts. Fits start at the estimates the data are simulated from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import ModelError
from mixedfx.glmm.model import build_model
from mixedfx.glmm.refits import off_boundary, with_response
from mixedfx.glmm.rows import auxiliary_draws, dispersion_columns
from mixedfx.glmm.solve import GlmmSolution, refused, solve_model
from mixedfx.glmm.testing import check_ddf
from mixedfx.inference.predictor import draw_effects, fitted_values

Vector = NDArray[np.float64]


def study(design: Design, solution: GlmmSolution, beta: Vector, index: list[int], ddf: str) -> Study:
    """Tests of the coefficients `index` in a design, data simulated from a solution with coefficients beta (p,)."""
    check_ddf(ddf)
    if solution.iterative:
        raise refused("simulated data are fitted")
    return Study(design, solution, beta, index)


@dataclass(frozen=True)
class Study:
    """One design, and how data are simulated and tested in it; picklable.

    Attributes
    ----------
    design
        Where the data are simulated.
    solution
        Where variances and parameters of the family come from.
    beta
        (p,) coefficients, the effects to be found among them.
    index
        Which coefficients are tested.
    """

    design: Design
    solution: GlmmSolution
    beta: Vector
    index: list[int]

    def p_values(self, alpha: float, size: int, seeds: np.random.SeedSequence) -> Vector:
        """(size, effects) p values of simulated data sets; NaN where a fit broke down."""
        from scipy import special

        rng, design, solution = np.random.default_rng(seeds), self.design, self.solution
        family = solution.model.family
        u = draw_effects(design, solution.factors, 1.0, size, rng)
        eta = fitted_values(design, self.beta, u)
        Y = family.draw(rng, eta, auxiliary_draws(solution, size, dispersion_columns(design)), row_facts(design))
        model = replace(build_model(design, family), prior=solution.model.prior)
        par = off_boundary(model.problem, model.problem.parameters(solution.theta))
        _, _, phi = solution.model.split(solution.psi)
        start: Vector = np.concatenate([model.problem.R @ self.beta, par, phi]).astype(np.float64)
        out = np.full((size, len(self.index)), np.nan)
        for b, y in enumerate(Y):
            try:
                found = solve_model(with_response(model, replace(design, y=y)), start, solution.nAGQ)
            except (ModelError, np.linalg.LinAlgError):
                continue
            if found.optimization.converged and found.covariance is not None:
                z = found.beta[self.index] / np.sqrt(np.diag(found.vcov)[self.index])
                out[b] = 2.0 * special.ndtr(-np.abs(z))
        return out
