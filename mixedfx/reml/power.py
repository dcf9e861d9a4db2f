"""Data sets simulated from a REML or ML fit in another design, fitted, and tested: what `mixedfx.power` counts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.degrees_of_freedom import check_criterion, find_ddf
from mixedfx.inference.predictor import draw_effects
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import Problem, build_problem
from mixedfx.reml.refit import cross_products, refit_problem, with_response
from mixedfx.reml.rows import simulate_responses
from mixedfx.reml.solution import Solution, residual_df
from mixedfx.reml.solve import RemlSolution
from mixedfx.reml.starting import off_boundary

if TYPE_CHECKING:
    from mixedfx.design.design import Design

Vector = NDArray[np.float64]


def study(design: Design, solution: Solution, beta: Vector, index: list[int], ddf: str) -> Study:
    """Tests of the coefficients `index` in a design, data simulated from a solution with coefficients beta (p,)."""
    assert isinstance(solution, RemlSolution)  # `power` refuses fits without random terms
    check_criterion(ddf, solution.REML)
    return Study(design, build_problem(design, solution.REML), solution, beta, index, ddf)


@dataclass(frozen=True)
class Study:
    """One design, and how data are simulated and tested in it; picklable."""

    design: Design
    problem: Problem
    solution: RemlSolution
    beta: Vector
    index: list[int]
    ddf: str

    def p_values(self, alpha: float, size: int, seeds: np.random.SeedSequence) -> Vector:
        """(size, effects) p values of simulated data sets; see `p_values`."""
        return p_values(self, alpha, size, seeds)


def p_values(study: Study, alpha: float, size: int, seeds: np.random.SeedSequence) -> Vector:
    """(size, effects) p values of simulated data sets; NaN where a fit broke down.

    Where the normal distribution does not reject at `alpha`, no t with the same standard error does: degrees of freedom
    that depend on the contrast, most of the work, are then left out, and the p value is that of the normal.
    """
    from scipy import special

    rng, design, solution = np.random.default_rng(seeds), study.design, study.solution
    u = draw_effects(design, solution.factors, solution.sigma, size, rng)
    Y = simulate_responses(design, study.beta, u, solution.sigma, rng).T
    out = np.full((size, len(study.index)), np.nan)
    names = tuple(map(str, range(len(solution.theta))))
    try:
        start = off_boundary(study.problem, study.problem.parameters(solution.theta))
        found = refit_problem(design, study.problem, Y, start, names)
        par, beta, good = found.par, found.beta, found.converged
    except np.linalg.LinAlgError:
        return out
    products = cross_products(design, study.problem, Y)
    kind = find_ddf(study.ddf)
    screened = kind.of_contrasts is not None and not kind.own_covariance
    for b in np.flatnonzero(good):
        one = with_response(study.problem, products, int(b))
        plain = _reference(study, one, par[b], "normal" if screened else study.ddf)
        t = beta[b, study.index] / np.sqrt(np.diag(plain[0])[study.index])
        needed = screened and np.any(2.0 * special.ndtr(-np.abs(t)) < alpha)
        df = _reference(study, one, par[b], study.ddf)[1] if needed else plain[1]
        tail = special.ndtr(-np.abs(t)) if df is None else special.stdtr(df, -np.abs(t))
        out[b] = 2.0 * tail
    return out


def _reference(study: Study, problem: Problem, par: Vector, ddf: str) -> tuple[Vector, Vector | None]:
    """Covariance of the fixed effects, and the df of each tested coefficient (None: normal)."""
    kind = find_ddf(ddf)
    if kind.of_contrasts is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a caveat of one simulated data set says nothing of the power
            found = kind.of_contrasts(problem, par, None)
        return found.vcov, found.t_df(np.eye(problem.p)[study.index])
    at = evaluate(problem, par, derivatives=False)
    vcov = Joint(study.design, problem, at).vcov
    df = kind.number(residual_df(study.design, study.solution))
    return vcov, None if np.isinf(df) else np.full(len(study.index), df)
