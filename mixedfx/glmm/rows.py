"""Rows of a fit under its family: means, residuals, and new responses."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import check_option
from mixedfx.families.family import Family
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.predictor import draw_effects, fitted_values

Vector = NDArray[np.float64]
ResidualKind = Literal["response", "pearson", "deviance", "working"]


def auxiliary_draws(solution: GlmmSolution, n: int = 1) -> dict[str, Vector]:
    """Name -> (n,) the estimate of each auxiliary parameter of the family, again and again."""
    found = dict.fromkeys(solution.model.family.auxiliary, 1.0) | solution.auxiliary
    return {name: np.full(n, value) for name, value in found.items()}


def means(solution: GlmmSolution, eta: Vector) -> Vector:
    """(...) mean response; of binomial responses the probability of a success."""
    family = solution.model.family
    flat = np.atleast_2d(eta)
    return np.asarray(family.mean(flat, auxiliary_draws(solution, len(flat)))).reshape(np.shape(eta))


def unit_scale(family: Family, auxiliary: dict[str, float]) -> float:
    """The factor of the variance that R's generalised linear models leave out of residuals: sigma^2, 1 / shape."""
    if family.name == "gamma":
        return 1.0 / auxiliary["shape"]
    return auxiliary.get("sigma", 1.0) ** 2


def residual_values(design: Design, solution: GlmmSolution, kind: ResidualKind) -> Vector:
    """(n,) residuals around the fitted means; see `GlmerFit.residuals`."""
    check_option("kind", kind, ("response", "pearson", "deviance", "working"))
    family, eta = solution.model.family, solution.eta[None]
    facts, auxiliary = row_facts(design), auxiliary_draws(solution)
    share = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
    response = share - means(solution, solution.eta)
    if kind == "response":
        return response
    if kind == "working":
        return response / family.link.derivatives(solution.eta, 1)[0]
    scale = unit_scale(family, solution.auxiliary)
    if kind == "pearson":
        difference = design.y - family.mean(eta, auxiliary, facts)[0]
        return difference / np.sqrt(family.variance(eta, auxiliary, facts)[0] / scale)
    return np.sign(response) * np.sqrt(np.maximum(_unit_deviances(design, solution, share, scale), 0.0))


def _unit_deviances(design: Design, solution: GlmmSolution, share: Vector, scale: float) -> Vector:
    """(n,) twice the log density that the row would have with its own mean, less what it has, in units of the scale."""
    family, facts, auxiliary = solution.model.family, row_facts(design), auxiliary_draws(solution)
    if family.location:  # its own mean may be none that the link leads to
        return (design.y - means(solution, solution.eta)) ** 2 * (1.0 if facts.weights is None else facts.weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = family.log_density(design.y, np.asarray(family.link.link(share))[None], auxiliary, facts)[0]
    return 2.0 * scale * (best - family.log_density(design.y, solution.eta[None], auxiliary, facts)[0])


def simulate_responses(design: Design, solution: GlmmSolution, n: int, rng: np.random.Generator, use_u: bool) -> Vector:
    """(n, rows) new responses, groups with their modes or with effects drawn from their population."""
    u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(design, solution.factors, 1.0, n, rng)
    eta = fitted_values(design, solution.beta, u)
    return solution.model.family.draw(rng, eta, auxiliary_draws(solution, n), row_facts(design))
