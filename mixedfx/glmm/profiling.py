"""Profiles of a generalised linear mixed model: the search of `mixedfx.inference.profile` over constrained refits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.glmm.auxiliary import ByRow
from mixedfx.glmm.bootstrapping import parameters
from mixedfx.glmm.constrained import (
    Chart,
    Holder,
    angle_chart,
    auxiliary_chart,
    coefficient_chart,
    correlation_chart,
    limit_chart,
    sd_chart,
)
from mixedfx.glmm.penalised import refuse_penalised
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.held import Curve, WarmDeviance, ends, traced
from mixedfx.inference.parameters import Names, Parameter, choose
from mixedfx.inference.profile import Profile, Range, quantile
from mixedfx.inference.term_charts import correlation_start, term_chart
from mixedfx.linalg.threads import blas_threads
from mixedfx.progress import Asked

Vector = NDArray[np.float64]

FAR = 1e6  # shape, in multiples of its estimate or of one, that stands for an infinite one


def curve(design: Design, solution: GlmmSolution, parameter: Parameter) -> Curve:
    """What the search needs of one parameter."""
    model, psi = solution.model, solution.psi
    gamma, _, phi = model.split(psi)
    if parameter.kind == "beta":
        estimate = float(solution.beta[parameter.position])
        step = float(np.sqrt(solution.vcov[parameter.position, parameter.position]))
        return _curve(solution, parameter, coefficient_chart(model, parameter.position), estimate, psi,
                      Range(-np.inf, np.inf, step))  # fmt: skip
    if parameter.kind in ("sigma", "auxiliary"):
        parameters, at = model.likelihood.parameters, parameter.position
        estimate, slope = float(parameters.natural(phi)[at]), float(parameters.slopes(phi)[at])
        (low, high), endless = parameters.ranges[at], np.isfinite(parameters.ranges[at][0])
        high = FAR * max(estimate, 1.0) if endless and np.isinf(high) else high
        limits = Range(
            low, high, _auxiliary_step(solution, parameter) * slope, bool(endless), _ceiling(solution, at)
        )  # fmt: skip
        return _curve(solution, parameter, auxiliary_chart(model, parameter.position), estimate, psi, limits)
    assert parameter.component is not None
    plain = replace(model.problem, frames={})
    chart = term_chart(plain, solution.evaluation.mode.T, parameter.position, parameter.component)
    levels = design.random[parameter.position].n_levels
    start = np.concatenate([gamma, chart.start, phi])
    if parameter.kind == "sd":
        estimate = abs(float(chart.start[chart.first])) / chart.scale
        step = estimate / np.sqrt(2.0 * levels) if estimate > 0 else 0.2 * model.likelihood.start()[1] / chart.scale
        return _curve(solution, parameter, sd_chart(model, chart), estimate, start, Range(0.0, np.inf, step))
    estimate, at = correlation_start(chart)
    low, high = chart.limits
    if not np.isfinite(estimate) or (chart.correlation is None and at[chart.first] == 0.0):
        return Curve(np.nan, Range(low, high, 0.1), None)
    if chart.perfect:
        estimate = high if estimate > (low + high) / 2.0 else low
    step = max((high - estimate) * (estimate - low) / np.sqrt(levels), 0.01 / (1.0 + chart.lean**2))
    limits = Range(low, high, step)
    if chart.correlation is not None:
        return _curve(solution, parameter, angle_chart(model, chart), estimate, start, limits)
    return _warm(
        solution, parameter, correlation_chart(model, chart), estimate, np.concatenate([gamma, at, phi]), limits
    )  # fmt: skip


def _ceiling(solution: GlmmSolution, at: int) -> float:
    """What the criterion rises by at most where a coefficient of the dispersion is held, at any value.

    Where a family becomes a simpler one as its parameter goes to a limit (a negative binomial Poisson's, say), so does
    that of every row, if the intercept of its logarithm goes far enough, and the coefficient no longer matters.
    """
    model = solution.model
    places = model.likelihood.parameters.places()
    part, entries = next((part, one) for part, one in places if one.start <= at < one.stop)
    sign = model.family.noise.get(part.name)
    if not isinstance(part, ByRow) or at == entries.start or sign is None:
        return np.inf
    held = dict.fromkeys(range(entries.start, entries.stop), 0.0) | {entries.start: -sign * float(np.log(FAR))}
    chart = limit_chart(model, held)
    try:
        least = Holder(chart, solution.criterion_function).hold(0.0, chart.place(0.0)[0].T @ solution.psi)
    except np.linalg.LinAlgError:
        return np.inf
    return max(least.deviance - solution.criterion, 0.0)


def _auxiliary_step(solution: GlmmSolution, parameter: Parameter) -> float:
    """Standard error of the coordinate of a parameter of the family; a guess where the criterion is flat."""
    covariance, (p, r, _) = solution.covariance, solution.model.sizes
    at = p + r + parameter.position
    return 0.3 if covariance is None else float(np.clip(np.sqrt(covariance[at, at]), 0.01, 0.5))


def _curve(
    solution: GlmmSolution, parameter: Parameter, chart: Chart, estimate: float, psi: Vector, limits: Range
) -> Curve:  # fmt: skip
    """The free parameters of psi (d,) are what is left of it: the columns of A are orthonormal."""
    A, b = chart.place(estimate)
    return _warm(solution, parameter, chart, estimate, A.T @ (psi - b), limits)


def _warm(
    solution: GlmmSolution, parameter: Parameter, chart: Chart, estimate: float, x: Vector, limits: Range
) -> Curve:  # fmt: skip
    holder = Holder(chart, solution.criterion_function)
    return Curve(estimate, limits, WarmDeviance(holder.hold, solution.criterion, parameter.label, {estimate: x}))


def profile(
    design: Design, solution: GlmmSolution, parm: str | Sequence[str] | None, level: float, progress: Asked = None
) -> Profile:  # fmt: skip
    """Trace the profile of every parameter asked for; see `GlmerFit.profile`."""
    quantile(level)  # a level that is none is refused before the work
    refuse_penalised(solution.model, "profile")
    chosen = choose(parameters(design, solution), parm)
    with _threads(solution):
        return traced(chosen, lambda parameter: curve(design, solution, parameter), level, progress)


def profile_intervals(
    design: Design, solution: GlmmSolution, parm: str | Sequence[str] | None, level: float, names: Names
) -> pd.DataFrame:  # fmt: skip
    """Profile intervals: the ends where zeta reaches the quantile, or the boundary before it."""
    quantile(level)
    refuse_penalised(solution.model, 'confint("profile")')
    chosen = choose(parameters(design, solution), parm)
    with _threads(solution):
        return ends(chosen, lambda parameter: curve(design, solution, parameter), level, names)


def _threads(solution: GlmmSolution):
    coupling = solution.model.problem.coupling
    return blas_threads(0 if coupling is None else coupling.size)
