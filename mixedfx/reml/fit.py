"""LmerFit: a linear mixed model fitted by REML or ML. State only; the work is done by functions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ConvergenceWarning, ModelError, SingularFitWarning, check_flag
from mixedfx.reml.call import Call, changed
from mixedfx.reml.diagnostics import LmerDiagnostics
from mixedfx.reml.solution import solve_design

if TYPE_CHECKING:
    from mixedfx.reml.refit import Refits


@dataclass(frozen=True, eq=False, repr=False)
class LmerFit(LmerDiagnostics):
    """A fitted linear mixed model, as `mixedfx.lmer` returns it.

    Attributes
    ----------
    design
        What was fitted: response, fixed-effects matrix, random terms, rows used.
    solution
        The estimates, as the solver left them; `LeastSquares` where the formula has no random term.
    call
        What the fit was made from, by reference, for `update`.

    Examples
    --------
    >>> import mixedfx as mx
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> fit
    <LmerFit score ~ 1 + style + (1 | professor): REML criterion 2760.01, 375 rows, professor 15>
    >>> fit.ranef["professor"].head(2).round(2)
               Intercept
    professor
    A               6.06
    B             -11.83
    """

    def refit(self, y: NDArray[np.float64]) -> LmerFit:
        """The same model fitted to another response, (n,) values for the rows of the design; see `refits` for many.

        A pandas Series is aligned by its index: that of the data, or the number of each row, as `simulate` has it.
        """
        from mixedfx.reml.refit import refit

        return refit(self, y)

    def refits(self, Y: NDArray[np.float64] | pd.DataFrame) -> Refits:
        """Estimates for each column of `Y` (n, B), reusing the design and its cross-products; see `Refits`."""
        from mixedfx.reml.refit import refits

        return refits(self, Y)

    def update(self, formula: str | None = None, data: Any = None, **changes: Any) -> LmerFit:
        """Fit again with some arguments of `mixedfx.lmer` changed.

        Parameters
        ----------
        formula
            A change such as ``". ~ . + x - (1 | g)"``, where a dot stands for what was there; None keeps the formula.
        data
            New data; None keeps the data of the fit, which are held by reference.
        **changes
            REML, weights, offset, na, contrasts, env.
        """
        from mixedfx.design.build import build_design

        call = changed(self.call, self.design.formula, formula, data, changes)
        check_flag("REML", call.REML)
        return fit_design(build_design(**call.of_design), call)

    def __repr__(self) -> str:
        kind = f"{'REML criterion' if self.REML else '-2 log L'} {self.criterion:.2f}"
        groups = "".join(f", {label} {n}" for label, n in self.ngroups.items())
        return f"<LmerFit {self.formula}: {kind}, {self.nobs} rows{groups}>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_design(design: Design, call: Call) -> LmerFit:
    """Fit the design that `call` made, with the warnings of `mixedfx.lmer` at the line that called the caller.

    Raises
    ------
    ModelError
        For known sampling standard deviations.
    """
    if design.formula.additions:
        raise ModelError(
            f"lmer estimates one residual variance, but the formula gives {design.formula.additions[0].name}(...)",
            hint=f"mx.bayes({str(call.formula)!r}, data) fits known standard errors. weights=1 / s**2 is another "
            "model here: it multiplies the known variances by a residual variance that is estimated.",
        )
    fit = LmerFit(design, solve_design(design, call.REML), call)
    if not fit.converged:
        course = fit.optimization
        warnings.warn(
            f"{course.message} after {course.evaluations} evaluations; the estimates may be off", ConvergenceWarning, 3
        )
    if fit.singular:
        warnings.warn(fit.singularity.text, SingularFitWarning, 3)
    return fit
