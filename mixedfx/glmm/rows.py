"""Rows of a fit under its family: means, residuals, and new responses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.row_facts import row_facts
from mixedfx.design.rows_used import new_dispersion_columns
from mixedfx.errors import OptionError, check_option
from mixedfx.families.family import Family
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.predictor import draw_effects, fitted_values

Vector = NDArray[np.float64]
DIFFERENCE = 1e-5  # of eta

ResidualKind = Literal["response", "pearson", "deviance", "working"]


def auxiliary_draws(
    solution: GlmmSolution, n: int = 1, columns: Vector | None = None, natural: Vector | None = None
) -> dict[str, Vector]:
    """What a family is asked with: name -> (n,) the estimate of each parameter, (n, K - 1) of thresholds.

    Parameters
    ----------
    solution
        The estimates.
    n
        How often they are repeated.
    columns
        (m, k) columns of the model of the dispersion in the rows that are asked about: its parameter is (n, m) then.
        None: it is that of rows where these are zero, which no mean depends on.
    natural
        (n, a) draws in the place of the estimates.
    """
    parameters = solution.model.likelihood.parameters
    if natural is None:
        natural = np.tile(parameters.natural(solution.model.split(solution.psi)[2]), (n, 1))
    spread = solution.design.dispersion
    if spread is not None:
        parameters = parameters.of_rows(np.zeros((1, len(spread.names))) if columns is None else columns)
    found = parameters.of_family(natural)
    return {name: np.ones(len(natural)) for name in solution.model.family.auxiliary} | found


def dispersion_columns(design: Design, frame: pd.DataFrame | None = None) -> Vector | None:
    """(m, k) columns of the model of the dispersion in the rows of the fit, or in new ones; None without a model."""
    if design.dispersion is None:
        return None
    return design.dispersion.columns if frame is None else new_dispersion_columns(design, frame)


def means(solution: GlmmSolution, eta: Vector) -> Vector:
    """(...) mean response; of binomial responses the probability of a success, (..., K) those of K categories."""
    family = solution.model.family
    flat = np.atleast_2d(eta)
    found = np.asarray(family.mean(flat, auxiliary_draws(solution, len(flat))))
    return found.reshape((*np.shape(eta), *found.shape[2:]))


def mean_slopes(solution: GlmmSolution, eta: Vector) -> Vector:
    """(n,) derivatives of the mean in eta: of the inverse link, or where the mean is another function differences."""
    if solution.model.family.mean_is_inverse_link:
        return solution.model.family.link.derivatives(eta, 1)[0]
    return (means(solution, eta + DIFFERENCE) - means(solution, eta - DIFFERENCE)) / (2.0 * DIFFERENCE)


def refuse_categories(family: Family, what: str, hint: str) -> None:
    """Refuse what an ordered response has none of.

    Raises
    ------
    OptionError
        With the way out.
    """
    if family.categories:
        raise OptionError(f"a {family.name} response is one of several categories and has no {what}", hint=hint)


def residual_values(design: Design, solution: GlmmSolution, kind: ResidualKind) -> Vector:
    """(n,) residuals around the fitted means; see `GlmerFit.residuals`."""
    check_option("kind", kind, ("response", "pearson", "deviance", "working"))
    refuse_categories(solution.model.family, f"{kind} residuals", "fit.quantile_residuals() has residuals of codes.")
    family, eta = solution.model.family, solution.eta[None]
    facts, auxiliary = row_facts(design), auxiliary_draws(solution, columns=dispersion_columns(design))
    share = design.y if design.trials is None else design.y / np.maximum(design.trials, 1)
    response = share - means(solution, solution.eta)
    if kind == "response":
        return response
    if kind == "working":
        return response / mean_slopes(solution, solution.eta)
    scale = family.dispersion(solution.auxiliary)
    if kind == "pearson":
        difference = design.y - family.mean(eta, auxiliary, facts)[0]
        return difference / np.sqrt(family.variance(eta, auxiliary, facts)[0] / scale)
    if not family.mean_is_inverse_link:
        raise OptionError(
            f"deviance residuals compare with a row's own mean, which no parameter of {family.name} gives it",
            hint="Ask kind='pearson', or fit.quantile_residuals().",
        )
    return np.sign(response) * np.sqrt(np.maximum(_unit_deviances(design, solution, share, scale), 0.0))


def _unit_deviances(design: Design, solution: GlmmSolution, share: Vector, scale: float) -> Vector:
    """(n,) twice the log density that the row would have with its own mean, less what it has, in units of the scale."""
    family, facts = solution.model.family, row_facts(design)
    auxiliary = auxiliary_draws(solution, columns=dispersion_columns(design))
    if family.location:  # its own mean may be none that the link leads to
        return (design.y - means(solution, solution.eta)) ** 2 * (1.0 if facts.weights is None else facts.weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = family.log_density(design.y, np.asarray(family.link.link(share))[None], auxiliary, facts)[0]
    return 2.0 * scale * (best - family.log_density(design.y, solution.eta[None], auxiliary, facts)[0])


def simulate_responses(design: Design, solution: GlmmSolution, n: int, rng: np.random.Generator, use_u: bool) -> Vector:
    """(n, rows) new responses, groups with their modes or with effects drawn from their population."""
    u = np.tile(solution.u, (n, 1)) if use_u else draw_effects(design, solution.factors, 1.0, n, rng)
    eta = fitted_values(design, solution.beta, u)
    auxiliary = auxiliary_draws(solution, n, dispersion_columns(design))
    return solution.model.likelihood.draw(rng, eta, auxiliary, row_facts(design))
