"""What to do about coefficients without a finite estimate (`mixedfx.inference.separation`): a prior, tried."""

from __future__ import annotations

import numpy as np

from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.glmm.penalised import coefficient_prior
from mixedfx.glmm.solve import GlmmSolution, solve
from mixedfx.priors.sets import default

MOST_SHOWN = 3  # columns whose estimates under the prior are printed
UNTRIED = 'mx.glmer(..., priors="default")'


def without_prior(columns: tuple[str, ...], solution: GlmmSolution) -> tuple[str, ...]:
    """The columns that no prior of a fit keeps finite."""
    prior = solution.model.prior
    return columns if prior is None else tuple(name for name in columns if name not in prior.proper)


def tried(design: Design, solution: GlmmSolution, columns: tuple[str, ...]) -> str:
    """What the default prior gives for the columns, fitted; a way out in words where it does not converge."""
    family = solution.model.family
    try:
        prior = coefficient_prior(design, family, default())
        found = solve(design, family, solution.nAGQ, prior=prior)
    except (ModelError, np.linalg.LinAlgError):
        return ""
    if not found.optimization.converged:
        return ""
    se = np.sqrt(np.diag(found.vcov))
    shown = [(name, j) for j, name in enumerate(design.fixed_names) if name in columns][:MOST_SHOWN]
    values = ", ".join(f"{name} {found.beta[j]:.2g} (standard error {se[j]:.2g})" for name, j in shown)
    return f'mx.glmer(..., priors="default"), which was tried and gives {values}'
