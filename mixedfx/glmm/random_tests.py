r"""Tests of random terms: likelihood-ratio tests with the boundary's mixture, and by simulation.

As `mixedfx.reml.random_tests`, by maximum likelihood. The null distribution by simulation is a parametric bootstrap
here: it depends on the fixed effects and on what else the smaller model estimates, which are taken at their estimates.
Where Laplace's approximation is off, it is off in the simulated statistics alike, so that the simulated p value stays
right where the others do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, check_count, check_seed
from mixedfx.glmm.batch import can_batch
from mixedfx.glmm.penalised import refuse_penalised
from mixedfx.glmm.refits import begin, many, with_design, with_new_response, with_response
from mixedfx.glmm.rows import simulate_responses
from mixedfx.glmm.solve import GlmmSolution, solve_model
from mixedfx.inference.likelihood_ratio import chi_square_probability, mixture_probability
from mixedfx.inference.reductions import Reduction, reductions
from mixedfx.progress import Asked, Progress
from mixedfx.results.tables import aic

Vector = NDArray[np.float64]

TIE = 1e-6  # statistics that differ by less are equal: both fits are minimised to about 1e-8


def ranova(
    design: Design, solution: GlmmSolution, simulate: int = 0, seed: int | None = None, progress: Asked = None
) -> pd.DataFrame:
    """Likelihood-ratio test of each random term against the model without it; see `GlmerFit.ranova`.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if not design.random:
        raise ModelError("the fit has no random term to test")
    refuse_penalised(solution.model, "ranova")
    check_count("simulate", simulate, 0)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    rows = [whole_row(solution)]
    for reduction in reductions(design):
        small = with_design(replace(design, random=reduction.random), solution, None)
        rows.append(reduced_row(solution, small, reduction, simulate, rng, progress))
    return table_of(rows, [], simulate)


def whole_row(solution: GlmmSolution) -> list[Any]:
    """First line of the table: the fit as it is."""
    k, whole = len(solution.psi), solution.criterion
    return ["<none>", k, -whole / 2, aic(whole, k), *[np.nan] * 6]


def reduced_row(
    solution: GlmmSolution, small: GlmmSolution, reduction: Reduction, simulate: int, rng: np.random.Generator,
    progress: Asked,
) -> list[Any]:  # fmt: skip
    """Line of a random term, `small` being fitted without it."""
    df = reduction.variances + reduction.covariances
    k, statistic = len(solution.psi) - df, small.criterion - solution.criterion
    p_simulated = mc_error = np.nan
    if simulate:
        null = null_statistics(solution, small, int(simulate), rng, progress, reduction.label)
        p_simulated = (1 + int(np.sum(null >= statistic - TIE))) / (1 + len(null))
        mc_error = float(np.sqrt(p_simulated * (1 - p_simulated) / len(null))) if len(null) else np.nan
    return [
        reduction.label, k, -small.criterion / 2, aic(small.criterion, k), statistic, df,
        chi_square_probability(statistic, df),
        mixture_probability(statistic, reduction.variances, reduction.covariances), p_simulated, mc_error,
    ]  # fmt: skip


def table_of(rows: list[list[Any]], before: list[str], simulate: int) -> pd.DataFrame:
    """The table of such lines, other columns before them."""
    names = [*before, "term", "npar", "loglik", "aic", "lrt", "df", "p_value", "p_mixture", "p_simulated", "mc_error"]
    table = pd.DataFrame(rows, columns=names)
    return table if simulate else table.drop(columns=names[-2:])


def null_statistics(
    large: GlmmSolution, small: GlmmSolution, count: int, rng: np.random.Generator, progress: Asked = False,
    what: str = "",
) -> Vector:  # fmt: skip
    """(B,) statistics of responses simulated from the smaller model at its estimates; fits that broke down are out."""
    Y = simulate_responses(small.design, small, count, rng, use_u=False)
    with Progress(progress, f"without {what}", count, "simulated responses") as report:
        out = statistics_of(large, small, Y, report)
    return out[~np.isnan(out)]


def statistics_of(
    large: GlmmSolution, small: GlmmSolution, Y: Vector, told: Callable[[int], None] | None = None
) -> Vector:  # fmt: skip
    """(B,) statistics of responses (B, n); NaN where a fit broke down or was not certified."""
    out = np.full(len(Y), np.nan)
    if can_batch(large) and can_batch(small):
        below, above = many(small.design, small, Y.T), many(large.design, large, Y.T)
        difference = below.criterion - above.criterion
        good = below.converged & above.converged & (difference > -TIE)
        out[good] = np.maximum(difference[good], 0.0)
    left = np.flatnonzero(np.isnan(out))
    for done, b in enumerate(left):
        if told is not None:
            told(len(Y) - len(left) + done)
        try:
            under = with_new_response(small.design, small, Y[b])
            over = _above(large, under, Y[b])
        except (ModelError, np.linalg.LinAlgError):
            continue
        if under.optimization.converged and over.optimization.converged:
            out[b] = max(under.criterion - over.criterion, 0.0)
    if told is not None:
        told(len(Y))
    return out


def null_block(large: GlmmSolution, small: GlmmSolution, size: int, seeds: np.random.SeedSequence) -> Vector:
    """(size,) statistics of responses simulated from the smaller model; NaN where a fit broke down."""
    Y = simulate_responses(small.design, small, size, np.random.default_rng(seeds), use_u=False)
    return statistics_of(large, small, Y)


def _above(large: GlmmSolution, below: GlmmSolution, y: Vector) -> GlmmSolution:
    """The larger model, its covariance from the fit, the rest from the smaller model's estimates where it has it."""
    y = np.tile(y, len(large.design.y) // len(y))  # a stacked design has copies of the rows
    model = with_response(large.model, replace(large.design, y=y))
    gamma, par, _ = model.split(begin(model, large))
    under, _, phi = below.model.split(below.psi)
    if below.design.fixed_names == large.design.fixed_names:
        gamma = under
    return solve_model(model, np.concatenate([gamma, par, phi]), large.nAGQ)
