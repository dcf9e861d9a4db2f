"""Profiles of a fit: the search of `mixedfx.inference.profile` over the refits of `mixedfx.reml.constrained`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.inference.held import Curve, Held, WarmDeviance, ends, traced
from mixedfx.inference.parameters import Names, Parameter, choose, parameters_of
from mixedfx.inference.profile import Profile, Range, quantile
from mixedfx.inference.term_charts import correlation_start, term_chart
from mixedfx.linalg import triangular
from mixedfx.linalg.threads import blas_threads
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.problem import Problem
from mixedfx.progress import Asked
from mixedfx.reml.constrained import (
    hold_coefficient,
    hold_correlation,
    hold_sd,
    hold_sigma,
    sd_start,
)
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution
from mixedfx.reml.trust_region import minimise

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Optimum:
    """The ML fit that all profiles start from."""

    problem: Problem
    evaluation: Evaluation
    beta: Vector
    std_error: Vector
    levels: tuple[int, ...]

    @property
    def sigma(self) -> float:
        """ML estimate of sigma."""
        return float(np.sqrt(self.evaluation.sigma2))

    def curve(self, parameter: Parameter) -> Curve:
        """The profile deviance of one parameter."""
        par, lowest = self.evaluation.par, self.evaluation.criterion
        if parameter.kind == "beta":
            held = hold_coefficient(self.problem, parameter.position)
            estimate = float(self.beta[parameter.position])
            limits = Range(-np.inf, np.inf, float(self.std_error[parameter.position]))
            return Curve(estimate, limits, WarmDeviance(held.at, lowest, parameter.label, {estimate: par}))
        if parameter.kind == "sigma":
            limits = Range(0.0, np.inf, self.sigma / np.sqrt(2.0 * self.problem.n))

            def hold(value: float, start: Vector) -> Held:
                if value <= 0.0:
                    raise np.linalg.LinAlgError("sigma must be positive")
                return hold_sigma(self.problem, value, start)

            return Curve(self.sigma, limits, WarmDeviance(hold, lowest, "sigma", {self.sigma: par}))
        assert parameter.component is not None
        chart = term_chart(self.problem, self.evaluation.factorization.T, parameter.position, parameter.component)
        levels = self.levels[parameter.position]
        if parameter.kind == "sd":
            estimate = self.sigma * abs(float(chart.start[chart.first])) / chart.scale
            step = estimate / np.sqrt(2.0 * levels) if estimate > 0 else 0.2 * self.sigma / chart.scale
            at = sd_start(chart, self.sigma)
            warm = WarmDeviance(lambda c, x: hold_sd(chart, c, x), lowest, parameter.label, {estimate: at})
            return Curve(estimate, Range(0.0, np.inf, step), warm)
        estimate, at = correlation_start(chart)
        low, high = chart.limits
        if not np.isfinite(estimate) or (chart.correlation is None and at[chart.first] == 0.0):
            return Curve(np.nan, Range(low, high, 0.1), None)
        if chart.perfect:
            estimate = high if estimate > (low + high) / 2.0 else low
        step = max((high - estimate) * (estimate - low) / np.sqrt(levels), 0.01 / (1.0 + chart.lean**2))
        warm = WarmDeviance(lambda c, x: hold_correlation(chart, c, x), lowest, parameter.label, {estimate: at})
        return Curve(estimate, Range(low, high, step), warm)


@dataclass(frozen=True)
class PlainOptimum:
    """The same without random terms, in closed form.

    With r^2 the residual sum of squares and C = (X'WX)^-1,

        d(beta_j = c) - d-hat = n log(1 + (c - beta_j)^2 / (C_jj r^2)),
        d(sigma) - d-hat      = 2 n log(sigma / sigma-hat) + n (sigma-hat^2 / sigma^2 - 1);

    where sigma is known, (c - beta_j)^2 / (sigma^2 C_jj).
    """

    n: int
    beta: Vector
    std_error: Vector
    sigma: float
    known: bool = False

    def curve(self, parameter: Parameter) -> Curve:
        """The profile deviance of one parameter; standard errors and sigma are those of ML."""
        n, sigma = self.n, self.sigma
        if parameter.kind == "sigma":

            def by_sigma(value: float) -> tuple[float, float]:
                if value <= 0.0:
                    return np.inf, np.nan
                ratio = (sigma / value) ** 2
                return 2 * n * np.log(value / sigma) + n * (ratio - 1.0), 2 * n * (1.0 - ratio) / value

            return Curve(sigma, Range(0.0, np.inf, sigma / np.sqrt(2.0 * n)), by_sigma)
        estimate, se = float(self.beta[parameter.position]), float(self.std_error[parameter.position])

        def by_beta(value: float) -> tuple[float, float]:
            t = (value - estimate) / se
            if self.known:
                return t**2, 2.0 * t / se
            return n * float(np.log1p(t**2 / n)), 2.0 * t / se / (1.0 + t**2 / n)

        return Curve(estimate, Range(-np.inf, np.inf, se), by_beta)


def optimum(design: Design, solution: Solution, restricted: bool = False) -> Optimum | PlainOptimum:
    """The ML fit of the same model; a REML fit is refitted from its theta.

    `restricted`: the REML fit itself, whose profiles know of variances and correlations beside a known sigma only.
    """
    if design.dispersion is not None:
        raise ModelError(
            "profiles hold the ratios of residual standard deviations fixed, and dispersion= estimates them",
            hint="Use fit.bootstrap(), which estimates them anew, or the standard errors of fit.tidy().",
        )
    if isinstance(solution, LeastSquares):
        n, known = len(design.y), design.sigma is not None
        shrink = 1.0 if known else float(np.sqrt(solution.dof / n))  # from the divisor of REML to that of ML
        std_error = np.sqrt(np.diag(solution.vcov)) * shrink
        return PlainOptimum(n, solution.beta, std_error, solution.sigma * shrink, known)
    problem = replace(solution.problem, REML=restricted and solution.REML)
    same = problem.REML == solution.REML
    found = evaluate(problem, solution.par) if same else minimise(problem, solution.par)[0]
    p = problem.p
    beta = problem.shift + triangular.solve(problem.R, found.gamma)
    root = np.asarray(np.linalg.cholesky(found.S), dtype=np.float64)
    half = triangular.solve(problem.R, triangular.solve(root, np.eye(p), lower=True).T)
    std_error = np.sqrt(found.sigma2 * (half**2).sum(axis=1))
    return Optimum(problem, found, beta, std_error, tuple(t.n_levels for t in design.random))


def profile(
    design: Design, solution: Solution, parm: str | Sequence[str] | None, level: float, restricted: bool = False,
    progress: Asked = None,
) -> Profile:  # fmt: skip
    """Trace the profile of every parameter asked for; see `LmerFit.profile`, and `optimum` on `restricted`."""
    chosen = choose(parameters_of(design), parm)
    quantile(level)  # a level that is none is refused before the refit
    best = optimum(design, solution, restricted)
    with _threads(best):
        return traced(chosen, best.curve, level, progress)


def profile_intervals(
    design: Design, solution: Solution, parm: str | Sequence[str] | None, level: float, names: Names,
    restricted: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Profile intervals: the ends where zeta reaches the quantile, or the boundary before it."""
    chosen = choose(parameters_of(design), parm)
    quantile(level)
    best = optimum(design, solution, restricted)
    with _threads(best):
        return ends(chosen, best.curve, level, names)


def _threads(best: Optimum | PlainOptimum):
    coupling = None if isinstance(best, PlainOptimum) else best.problem.coupling
    return blas_threads(0 if coupling is None else coupling.size)
