r"""Quantile residuals of a generalised linear mixed model, and tests of it against data simulated from it.

**Quantile residuals.** Modes follow the data, and residuals about them vary less than they should; residuals from
groups with new effects do not see what happens within groups. With one draw of the effects from their conditional
distribution, effects and responses together are a draw from the model, so that residuals given these effects are
uniform, independent of each other and of the linear predictor (Waagepetersen 2006, Statistics in Medicine 25:1913).

**Dispersion.** The statistic is the sum of squared Pearson residuals about the modes of (beta, u), theta and auxiliary
parameters held. Modes follow the data, so that the sum is less than the number of rows by an amount that nobody knows;
the sum divided by rows less parameters, as it is often computed, therefore says underdispersion where there is none.
Here the modes of every simulated response are found anew, in the same way as those of the data: observed and simulated
sums are then alike, but for theta, which was estimated from the data.

**Zeros.** The number of zeros of the data against that of simulated data, groups with new effects.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.row_facts import row_facts
from mixedfx.errors import ModelError, check_count, check_option, check_seed
from mixedfx.glmm.model import Model
from mixedfx.glmm.modes import find_mode
from mixedfx.glmm.refits import with_response
from mixedfx.glmm.rows import auxiliary_draws, dispersion_columns, simulate_responses
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.predictor import fitted_values
from mixedfx.inference.quantile_residuals import normal_scores, uniform_residuals
from mixedfx.inference.simulated_test import SimulatedTest
from mixedfx.progress import Asked, Progress

Array = NDArray[np.float64]

AT_ONCE = 2**23  # simulated numbers held at once


def quantile_residuals(
    design: Design, solution: GlmmSolution, n: int, seed: int | None, groups: str, scale: str
) -> tuple[Array, Array]:  # fmt: skip
    """(m,) residuals, and (m,) the linear predictors that they stand by; see `GlmerFit.quantile_residuals`."""
    check_count("n", n)
    check_seed(seed)
    check_option("groups", groups, ("drawn", "new", "fitted"))
    check_option("scale", scale, ("normal", "uniform"))
    rng = np.random.default_rng(seed)
    beta, u = solution.beta, 0.0 * solution.u if groups == "new" else solution.u
    if groups == "drawn":
        beta, u = (one[0] for one in solution.joint.draw(1, rng))
    eta = fitted_values(design, beta, u)
    y, done = design.y, 0
    below, equal = np.zeros(len(y)), np.zeros(len(y))
    while done < n:
        count = min(n - done, max(1, AT_ONCE // len(y)))
        if groups == "new":
            drawn = simulate_responses(design, solution, count, rng, False)
        else:
            auxiliary = auxiliary_draws(solution, count, dispersion_columns(design))
            drawn = solution.model.likelihood.draw(rng, np.tile(eta, (count, 1)), auxiliary, row_facts(design))
        below += (drawn < y).sum(axis=0)
        equal += (drawn == y).sum(axis=0)
        done += count
    found = uniform_residuals(y, below, equal, n, rng)
    return (found if scale == "uniform" else normal_scores(found)), eta


def dispersion_test(
    design: Design, solution: GlmmSolution, n: int, seed: int | None, progress: Asked = None
) -> SimulatedTest:  # fmt: skip
    """Whether responses vary as the family says; see `GlmerFit.dispersion_test`.

    Raises
    ------
    ModelError
        For yes/no responses, whose mean says how much they vary.
    """
    check_count("n", n)
    check_seed(seed)
    if solution.model.family.categories:
        raise ModelError(
            "an ordered response is one of several categories and has no dispersion to be tested",
            hint="fit.quantile_residuals() shows what the model misses.",
        )
    if solution.model.family.outcome == "binary":
        raise ModelError(
            "a yes/no response has the variance that its mean says, whatever the model: nothing can be tested",
            hint="Add up the rows of one group to successes of trials, and test that model.",
        )
    model = solution.model
    rng = np.random.default_rng(seed)
    drawn = simulate_responses(design, solution, n, rng, False)
    sums = np.empty(n)
    with Progress(progress, "dispersion of simulated responses", n, "responses") as report:
        for b in report.over(range(n)):
            sums[b] = _pearson_sum(model, solution, drawn[b])
    sums = sums[np.isfinite(sums)]
    observed = _pearson_sum(model, solution, design.y)
    return SimulatedTest("Test of dispersion", "sum of squared Pearson residuals about the modes", observed, sums)


def _pearson_sum(model: Model, solution: GlmmSolution, y: Array) -> float:
    """Sum of squared Pearson residuals about the modes of (beta, u) given one response; NaN where there are none."""
    own, at = with_response(model, replace(model.design, y=y)), solution.evaluation.mode
    try:
        mode = find_mode(own, at.gamma, at.T, at.phi, None, True)
    except np.linalg.LinAlgError:
        return float("nan")
    return float((own.likelihood.pearson(mode.eta, at.phi) ** 2).sum())


def zero_inflation_test(design: Design, solution: GlmmSolution, n: int, seed: int | None) -> SimulatedTest:
    """Whether there are as many zeros as the model says; see `GlmerFit.zero_inflation_test`.

    Raises
    ------
    ModelError
        For responses that are no counts.
    """
    check_count("n", n)
    check_seed(seed)
    family = solution.model.family
    if family.outcome not in ("count", "trials"):
        raise ModelError(
            f"zeros are counted in counts; a response of the {family.name} family has none to count",
            hint="Ask for the dispersion: fit.dispersion_test().",
        )
    rng, sums, done = np.random.default_rng(seed), np.empty(n), 0
    rows = len(solution.model.likelihood.y)  # of the data, of which a stacked design has copies
    while done < n:
        count = min(n - done, max(1, AT_ONCE // len(design.y)))
        drawn = simulate_responses(design, solution, count, rng, False)
        sums[done : done + count] = (drawn[:, :rows] == 0).sum(axis=1)
        done += count
    return SimulatedTest("Test of zero inflation", "number of zeros", float((design.y[:rows] == 0).sum()), sums)
