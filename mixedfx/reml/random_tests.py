r"""Tests of random terms: likelihood-ratio tests with the boundary's mixture, and by simulation.

Both models have the same fixed part, so that their REML (or ML) criteria can be compared without refitting. The null
distribution of the statistic, whatever variances go at once, is found by simulation from the smaller model: responses
are drawn at its estimates, both models are fitted to each, and the statistics are counted (the restricted
likelihood-ratio test of Crainiceanu & Ruppert 2004 does this through a spectral decomposition, for one variance). The
fixed effects do not matter to REML, and where no other variance is left the distribution has no unknown parameter, so
that the simulation is exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, check_count, check_seed
from mixedfx.inference.likelihood_ratio import chi_square_probability, mixture_probability
from mixedfx.inference.predictor import draw_effects
from mixedfx.inference.reductions import reductions
from mixedfx.progress import Asked, Progress
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.refit import refit_problem
from mixedfx.reml.rows import simulate_responses
from mixedfx.reml.solution import Solution, n_parameters, solve_design
from mixedfx.reml.solve import RemlSolution
from mixedfx.reml.starting import off_boundary
from mixedfx.results.tables import aic, theta_names

Vector = NDArray[np.float64]

TIE = 1e-6  # statistics that differ by less are equal: both fits are minimised to about 1e-8
CHUNK = 2**24  # numbers of simulated responses held at once


def ranova(
    design: Design, solution: Solution, simulate: int = 0, seed: int | None = None, progress: Asked = None
) -> pd.DataFrame:
    """Likelihood-ratio test of each random term against the model without it.

    Parameters
    ----------
    design, solution
        A fit with random terms, REML or ML.
    simulate
        Number of responses to simulate from each smaller model for the null distribution of the statistic; 0 for none.
        With a single grouping factor refits are batched and 1,000 take about a second.
    seed
        Seed of the simulation.
    progress
        Whether to show how many are done: True, False, or None, which shows it on a terminal and in a notebook after a
        second. Or a function, called with each `mixedfx.progress.Report`.

    Returns
    -------
    DataFrame
        term (``<none>`` is the fit itself), npar, loglik, aic, lrt, df, p_value (chi square: too large, since a
        variance cannot be negative), p_mixture (half and half of chi square with df - 1 and df; NaN where several
        variances go at once, for which no simple mixture holds); with ``simulate`` also p_simulated = (1 + count) /
        (1 + B) and mc_error, its standard error.

    Raises
    ------
    ModelError
        For a fit without random terms.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> print(fit.ranova()[["term", "npar", "lrt", "df"]].round(2).to_string(index=False))
               term  npar    lrt  df
             <none>     5    NaN NaN
    (1 | professor)     4 155.64 1.0
    """
    if isinstance(solution, LeastSquares):
        raise ModelError("the fit has no random term to test")
    check_count("simulate", simulate, 0)
    check_seed(seed)
    k = n_parameters(design, solution)
    rng = np.random.default_rng(seed)
    whole = solution.criterion
    rows = [["<none>", k, -whole / 2, aic(whole, k), *[np.nan] * 6]]
    for reduction in reductions(design):
        smaller = replace(design, random=reduction.random)
        small = solve_design(smaller, solution.REML)
        df = reduction.variances + reduction.covariances
        statistic = small.criterion - whole
        row = [
            reduction.label, k - df, -small.criterion / 2, aic(small.criterion, k - df), statistic, df,
            chi_square_probability(statistic, df),
            mixture_probability(statistic, reduction.variances, reduction.covariances), np.nan, np.nan,
        ]  # fmt: skip
        if simulate:
            null = null_statistics(design, solution, smaller, small, int(simulate), rng, progress, reduction.label)
            row[-2] = (1 + int(np.sum(null >= statistic - TIE))) / (1 + len(null))
            row[-1] = float(np.sqrt(row[-2] * (1 - row[-2]) / len(null)))
        rows.append(row)
    names = ["term", "npar", "loglik", "aic", "lrt", "df", "p_value", "p_mixture", "p_simulated", "mc_error"]
    table = pd.DataFrame(rows, columns=names)
    return table if simulate else table.drop(columns=names[-2:])


def null_statistics(
    large: Design, fitted: RemlSolution, small: Design, null: Solution, count: int,
    rng: np.random.Generator, progress: Asked = False, what: str = "",
) -> Vector:  # fmt: skip
    """(B,) statistics of responses simulated from the smaller model at its estimates."""
    out = []
    step = max(1, CHUNK // len(large.y))
    names, start = theta_names(large.random), off_boundary(fitted.problem, fitted.par)
    with Progress(progress, f"without {what}", count, "simulated responses") as report:
        for begin in range(0, count, step):
            B = min(step, count - begin)
            u = draw_effects(small, null.factors, null.sigma, B, rng)
            Y = simulate_responses(small, null.beta, u, null.sigma, rng).T

            def told(done: int, begin: int = begin) -> None:
                report(begin + done)

            above = refit_problem(large, fitted.problem, Y, start, names, told).criterion
            out.append(_criteria(small, null, Y) - above)
    return np.maximum(np.concatenate(out), 0.0)


def null_block(
    large: tuple[Design, Solution], small: tuple[Design, Solution], size: int, seeds: np.random.SeedSequence
) -> Vector:  # fmt: skip
    """(size,) statistics of responses simulated from the smaller model, each model a design and its estimates."""
    rng = np.random.default_rng(seeds)
    u = draw_effects(small[0], small[1].factors, small[1].sigma, size, rng)
    Y = simulate_responses(small[0], small[1].beta, u, small[1].sigma, rng).T
    found = [_certified(design, solution, Y) for design, solution in (small, large)]
    return np.maximum(found[0] - found[1], 0.0)


def _certified(design: Design, solution: Solution, Y: Vector) -> Vector:
    """(B,) criteria of the columns of Y (n, B); NaN where the optimum was not certified."""
    if not isinstance(solution, RemlSolution):
        return _criteria(design, solution, Y)
    start = off_boundary(solution.problem, solution.par)
    found = refit_problem(design, solution.problem, Y, start, theta_names(design.random))
    return np.where(found.converged, found.criterion, np.nan)


def _criteria(small: Design, null: Solution, Y: Vector) -> Vector:
    """(B,) criteria of the smaller model for the columns of Y (n, B)."""
    if isinstance(null, RemlSolution):
        start = off_boundary(null.problem, null.par)
        return refit_problem(small, null.problem, Y, start, theta_names(small.random)).criterion
    if small.dispersion is not None:
        return np.array([solve_design(replace(small, y=y), null.REML).criterion for y in Y.T])
    X, Y = small.precision.whiten(small.X), small.precision.whiten(Y - small.offset[:, None])
    Q = np.linalg.qr(X)[0]
    residual = np.einsum("nb,nb->b", Y, Y) - np.einsum("pb,pb->b", Q.T @ Y, Q.T @ Y)
    # the criterion of `least_squares`, which moves with the response through r^2 only
    if small.sigma is not None:
        at = small.y - small.offset - small.X @ null.beta
        return null.criterion + (residual - float(np.sum(small.precision.whiten(at) ** 2))) / small.sigma**2
    return null.criterion + null.dof * np.log(residual / (null.dof * null.sigma**2))
