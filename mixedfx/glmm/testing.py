"""Wald tests of the fixed effects of a generalised linear mixed model: by which covariance, of which hypothesis.

There are no degrees of freedom: a single contrast is referred to the normal distribution, several to chi square. The
hypotheses of terms are those of `mixedfx.inference.terms`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_flag
from mixedfx.glmm.solve import GlmmSolution
from mixedfx.inference.hypotheses import Constant, Reference, hypothesis_table, wald_table, wald_terms
from mixedfx.inference.single_clusters import SingleClusters
from mixedfx.inference.terms import term_contrasts

Vector = NDArray[np.float64]
Ask = Callable[[], Reference]  # a reference that is worked out where it is needed


def reference(design: Design, solution: GlmmSolution, ddf: Any, vcov: Any) -> Reference:
    """Covariance of the fixed effects with infinite degrees of freedom.

    Parameters
    ----------
    design, solution
        What was fitted, and its estimates.
    ddf
        ``"normal"``, or None for unknown ones.
    vcov
        A covariance in the place of the fit's: what `GlmerFit.vcov_robust` returns, a (p, p) table or matrix.

    Raises
    ------
    OptionError
        Other degrees of freedom, or a covariance that is none of these coefficients.
    """
    check_ddf(ddf)
    df = np.inf if ddf == "normal" else np.nan
    if vcov is None:
        return Constant(solution.vcov, df)
    matrix, single = given_covariance(design.fixed_names, vcov)
    return Constant(matrix, df, single)


def check_ddf(ddf: Any) -> None:
    """Refuse degrees of freedom that are not infinite, or unknown (`OptionError`)."""
    if ddf not in ("normal", None):
        raise OptionError(
            f"ddf={ddf!r} is not known of a generalised linear mixed model: its tests are z and chi square",
            hint='Leave it out, or use ddf="normal".',
        )


def given_covariance(names: tuple[str, ...], vcov: Any) -> tuple[Vector, SingleClusters | None]:
    """A covariance as (p, p) numbers in the order of `names`, and what one cluster alone determines.

    Raises
    ------
    OptionError
        Numbers that are no covariance of these coefficients.
    """
    single = getattr(vcov, "single", None)
    table = vcov.table if hasattr(vcov, "n_clusters") else vcov
    if isinstance(table, pd.DataFrame):
        wanted = list(names)
        if set(table.columns) != set(wanted) or set(table.index) != set(wanted):
            raise OptionError("vcov= is of other coefficients", hint=f"Those of this fit are {', '.join(wanted)}.")
        table = table.loc[wanted, wanted]
    matrix, p = np.asarray(table, dtype=np.float64), len(names)
    if matrix.shape != (p, p) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise OptionError(f"vcov= is not a symmetric ({p}, {p}) matrix of finite numbers")
    return matrix, single


def linear_hypothesis(
    design: Design, solution: GlmmSolution, ask: Ask, hypothesis: Any, rhs: Any, joint: bool, level: float
) -> pd.DataFrame:  # fmt: skip
    """Table behind `GlmerFit.test`."""
    check_flag("joint", joint)
    if joint:
        return wald_table(hypothesis, rhs, design.fixed_names, solution.beta, ask)
    return hypothesis_table(hypothesis, rhs, design.fixed_names, solution.beta, ask, False, level)


def anova(design: Design, solution: GlmmSolution, ask: Ask, type: Literal["I", "II", "III", 1, 2, 3]) -> pd.DataFrame:
    """Table behind `GlmerFit.anova`."""
    roman: Any = {1: "I", 2: "II", 3: "III"}.get(type, type) if isinstance(type, int) else type
    return wald_terms(term_contrasts(design, roman), solution.beta, ask())
