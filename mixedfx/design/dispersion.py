r"""Residual standard deviations that depend on covariates: sd of a row = sigma exp(d' gamma) / sqrt(w).

The columns d are those of a formula without its intercept, whose part sigma has. Residual sds by arm or group are
``"~ arm"``; with a numeric covariate the sd is multiplied by exp(gamma) for each unit (a location-scale model).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.parts import Part
from mixedfx.design.rank import independent_columns
from mixedfx.errors import FormulaError, ModelError
from mixedfx.formula.mixed_formula import MixedFormula

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dispersion:
    """The model of the residual standard deviations.

    Attributes
    ----------
    formula
        One-sided.
    names
        Labels of the d columns.
    columns
        (n, d) their values.
    part, kept
        What repeats them on new data: all columns of the formula, and the positions of these.
    gamma
        (d,) coefficients of the logarithm of the standard deviation; zeros until estimated.
    vcov
        (d, d) their covariance; None until estimated.
    """

    formula: MixedFormula
    names: tuple[str, ...]
    columns: Vector
    part: Part
    kept: NDArray[np.intp]
    gamma: Vector
    vcov: Vector | None = None

    @property
    def log_sd(self) -> Vector:
        """(n,) logarithms of the residual standard deviations over sigma."""
        return self.columns @ self.gamma

    def take(self, rows: NDArray[np.intp]) -> Dispersion:
        """The same of some rows."""
        return replace(self, columns=self.columns[rows])


def dispersion_formula(text: str | MixedFormula) -> MixedFormula:
    """Read ``dispersion=``.

    Raises
    ------
    FormulaError
        A left side, a random term, an offset, or no intercept.
    """
    from mixedfx.formula.parse import parse_formula

    if not isinstance(text, str | MixedFormula):
        raise ModelError(f"dispersion={text!r} is no formula", hint="Write dispersion='~ arm'.")
    formula = parse_formula(text) if isinstance(text, str) else text
    wrong = "a left side" if formula.response is not None else "a random term" if formula.random else ""
    if wrong or formula.offsets:
        raise FormulaError(
            f"the model of the residual standard deviation has {wrong or 'an offset'}", formula=formula.text, column=0,
            hint="Write one side of fixed terms: dispersion='~ arm'.",
        )  # fmt: skip
    return formula


def read_dispersion(formula: MixedFormula, full: Vector, part: Part) -> Dispersion | None:
    """The model from all columns (n, k) of its formula; None where nothing is left beside the intercept.

    Raises
    ------
    FormulaError
        A formula without an intercept: sigma is that of the rows where all columns are zero.
    ModelError
        Columns that are linear combinations of others.
    """
    if "Intercept" not in part.columns:
        raise FormulaError(
            "the model of the residual standard deviation needs its intercept, which is log sigma",
            formula=formula.text, column=0, hint="Leave `0 +` (or `- 1`) out.",
        )  # fmt: skip
    kept = independent_columns(full)
    lost = [name for j, name in enumerate(part.columns) if j not in set(kept.tolist())]
    if lost:
        raise ModelError(
            f"dispersion='{formula.text.strip()}' cannot be estimated: {lost[0]} is a combination of other columns",
            hint="Leave it out of the formula.",
        )
    own = np.array([j for j in kept if part.columns[j] != "Intercept"], dtype=np.intp)
    if not len(own):
        return None
    names = tuple(part.columns[j] for j in own)
    return Dispersion(formula, names, np.ascontiguousarray(full[:, own]), part, own, np.zeros(len(own)))
