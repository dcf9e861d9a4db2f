"""Tests of the fixed effects of a fit: which degrees of freedom, by which covariance, of which hypothesis.

The numbers are those of `mixedfx.inference`; here they are asked about a design and its estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import IterativeSolverError, OptionError
from mixedfx.inference.degrees_of_freedom import Ddf, DegreesOfFreedom, check_criterion, find_ddf
from mixedfx.inference.hypotheses import (
    Constant,
    Reference,
    anova_table,
    hypothesis_table,
)
from mixedfx.inference.robust import RobustCovariance, robust_covariance
from mixedfx.inference.terms import term_contrasts
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution, residual_df
from mixedfx.reml.solve import RemlSolution

Vector = NDArray[np.float64]
Vcov = RobustCovariance | pd.DataFrame | NDArray[np.float64]
Ask = Callable[[], Reference]  # a reference that is worked out where it is needed


def reference(
    design: Design, solution: Solution, ddf: Ddf | None, vcov: Vcov | None = None
) -> Reference:  # fmt: skip
    """Covariance of the fixed effects and the degrees of freedom that go with it.

    Raises
    ------
    OptionError
        For Kenward and Roger's method after maximum likelihood, and for degrees of freedom that do not belong to the
        covariance given.
    """
    kind = find_ddf(ddf, unknown=True)
    residual = residual_df(design, solution)
    if vcov is not None:
        return _given(design, ddf, kind, vcov, residual)
    if kind.of_contrasts is None:
        return Constant(solution.vcov, kind.number(residual))
    check_criterion(ddf, solution.REML)
    if isinstance(solution, LeastSquares):  # exact
        return Constant(solution.vcov, residual)
    if solution.monte_carlo is not None:
        return _by_iteration(ddf, design, solution)
    return kind.of_contrasts(solution.problem, solution.par, design)


def _by_iteration(ddf: Ddf | None, design: Design, solution: RemlSolution) -> Reference:
    """The same of a fit without a factor."""
    from mixedfx.inference.iterative_df import satterthwaite_by_information
    from mixedfx.pls.stochastic import StochasticEvaluation

    if ddf != "satterthwaite":
        raise IterativeSolverError(
            f'ddf="{ddf}" needs the inverse of the crossed effects\' matrix, which an iterative fit does without',
            hint='Say ddf="satterthwaite" or ddf="normal", or fit with control={"solver": "direct"}.',
        )
    at = solution.joint.evaluation
    assert isinstance(at, StochasticEvaluation)
    return satterthwaite_by_information(solution.problem, at, design)


def ask(reference: Callable[..., Reference], ddf: Ddf | None, vcov: Vcov | None) -> Ask:
    """What works the reference out where a question comes to need it; an unknown name is refused at once."""
    find_ddf(ddf, unknown=True)
    return partial(reference, ddf, vcov)


def _given(design: Design, ddf: Ddf | None, kind: DegreesOfFreedom, vcov: Vcov, residual: float) -> Reference:
    if kind.own_covariance:
        raise OptionError(
            f'ddf="{ddf}" brings its own covariance, and vcov= gives another',
            hint='Leave vcov= out, or use ddf="satterthwaite" with fit.vcov_robust().',
        )
    p = len(design.fixed_names)
    if isinstance(vcov, RobustCovariance):
        if vcov.vcov.shape != (p, p):
            raise OptionError("vcov= comes from a fit with other coefficients")
        return vcov if kind.of_robust else Constant(vcov.vcov, kind.number(residual), vcov.single)
    if kind.of_contrasts is not None:
        raise OptionError(
            f"a covariance given as numbers has no {kind.words} degrees of freedom",
            hint='Say ddf="normal" or ddf="residual", or give what fit.vcov_robust() returns.',
        )
    if isinstance(vcov, pd.DataFrame):
        names = list(design.fixed_names)
        if set(vcov.columns) == set(names) == set(vcov.index):
            vcov = vcov.loc[names, names]
    matrix = np.asarray(vcov, dtype=np.float64)
    if matrix.shape != (p, p) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise OptionError(f"vcov= is not a symmetric ({p}, {p}) matrix of finite numbers")
    return Constant(matrix, kind.number(residual))


def robust(design: Design, solution: Solution, kind: str, cluster: Any) -> RobustCovariance:
    """Cluster-robust covariance of the fixed effects."""
    return robust_covariance(design, solution.factors, solution.sigma, solution.beta, solution.vcov, kind, cluster)


def linear_hypothesis(
    design: Design, solution: Solution, reference: Ask, hypothesis: Any, rhs: Any, joint: bool, level: float
) -> pd.DataFrame:  # fmt: skip
    """Table behind `LmerFit.test`."""
    return hypothesis_table(hypothesis, rhs, design.fixed_names, solution.beta, reference, joint, level)


def anova(
    design: Design, solution: Solution, reference: Ask, type: Literal["I", "II", "III", 1, 2, 3]
) -> pd.DataFrame:  # fmt: skip
    """Table behind `LmerFit.anova`."""
    roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
    return anova_table(term_contrasts(design, roman), solution.beta, solution.sigma, reference())
