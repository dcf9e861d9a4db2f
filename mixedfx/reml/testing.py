"""Tests of the fixed effects of a fit: which degrees of freedom, by which covariance, of which hypothesis.

The numbers are those of `mixedfx.inference`; here they are asked about a design and its estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_flag, check_option
from mixedfx.inference.hypotheses import (
    Constant,
    Reference,
    anova_table,
    check_testable,
    contrast_matrix,
    contrast_table,
    joint_table,
)
from mixedfx.inference.robust import RobustCovariance, robust_covariance
from mixedfx.inference.satterthwaite import satterthwaite
from mixedfx.inference.terms import term_contrasts
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution, residual_df
from mixedfx.results.tables import DegreesOfFreedom

Vector = NDArray[np.float64]
Vcov = RobustCovariance | pd.DataFrame | NDArray[np.float64]
Ask = Callable[[], Reference]  # a reference that is worked out where it is needed
DDF = ("satterthwaite", "kenward-roger", "residual", "normal", None)


def reference(
    design: Design, solution: Solution, ddf: DegreesOfFreedom | None, vcov: Vcov | None = None
) -> Reference:  # fmt: skip
    """Covariance of the fixed effects and the degrees of freedom that go with it.

    Raises
    ------
    OptionError
        For Kenward and Roger's method after maximum likelihood, and for degrees of freedom that do not belong to the
        covariance given.
    """
    check_option("ddf", ddf, DDF)
    residual = residual_df(design, solution)
    constants = {None: np.nan, "residual": residual, "normal": np.inf}
    if vcov is not None:
        return _given(design, ddf, vcov, constants)
    if ddf in constants:
        return Constant(solution.vcov, constants[ddf])
    if ddf == "kenward-roger" and not solution.REML:
        raise OptionError(
            'ddf="kenward-roger" is defined for REML, and this fit is by maximum likelihood',
            hint="Fit with REML=True, or use fit.update(REML=True).",
        )
    if isinstance(solution, LeastSquares):  # exact
        return Constant(solution.vcov, residual)
    if ddf == "satterthwaite":
        return satterthwaite(solution.problem, solution.par, design)
    from mixedfx.inference.kenward_roger import kenward_roger

    return kenward_roger(solution.problem, solution.par)


def _given(
    design: Design, ddf: DegreesOfFreedom | None, vcov: Vcov, constants: dict[DegreesOfFreedom | None, float]
) -> Reference:
    if ddf == "kenward-roger":
        raise OptionError(
            'ddf="kenward-roger" brings its own covariance, and vcov= gives another',
            hint='Leave vcov= out, or use ddf="satterthwaite" with fit.vcov_robust().',
        )
    p = len(design.fixed_names)
    if isinstance(vcov, RobustCovariance):
        if vcov.vcov.shape != (p, p):
            raise OptionError("vcov= comes from a fit with other coefficients")
        return vcov if ddf == "satterthwaite" else Constant(vcov.vcov, constants[ddf], vcov.single)
    if ddf == "satterthwaite":
        raise OptionError(
            "a covariance given as numbers has no Satterthwaite degrees of freedom",
            hint='Say ddf="normal" or ddf="residual", or give what fit.vcov_robust() returns.',
        )
    if isinstance(vcov, pd.DataFrame):
        names = list(design.fixed_names)
        if set(vcov.columns) == set(names) == set(vcov.index):
            vcov = vcov.loc[names, names]
    matrix = np.asarray(vcov, dtype=np.float64)
    if matrix.shape != (p, p) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise OptionError(f"vcov= is not a symmetric ({p}, {p}) matrix of finite numbers")
    return Constant(matrix, constants[ddf])


def robust(design: Design, solution: Solution, kind: str, cluster: Any) -> RobustCovariance:
    """Cluster-robust covariance of the fixed effects."""
    return robust_covariance(design, solution.factors, solution.sigma, solution.beta, solution.vcov, kind, cluster)


def linear_hypothesis(
    design: Design, solution: Solution, reference: Ask, hypothesis: Any, rhs: Any, joint: bool, level: float
) -> pd.DataFrame:  # fmt: skip
    """Table behind `LmerFit.test`."""
    check_flag("joint", joint)
    L, labels = contrast_matrix(hypothesis, design.fixed_names)
    values = np.asarray(rhs, dtype=np.float64)
    if values.ndim > 1 or values.size not in (1, len(L)):
        raise OptionError(f"rhs= has {values.size} values for {len(L)} contrasts")
    values = np.broadcast_to(values, (len(L),)).astype(np.float64)
    used = reference()
    if not joint:
        return contrast_table(labels, L, solution.beta, values, used, level)
    check_testable(L, values)
    return joint_table(labels, L, solution.beta, values, used)


def anova(
    design: Design, solution: Solution, reference: Ask, type: Literal["I", "II", "III", 1, 2, 3]
) -> pd.DataFrame:  # fmt: skip
    """Table behind `LmerFit.anova`."""
    roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
    return anova_table(term_contrasts(design, roman), solution.beta, solution.sigma, reference())
