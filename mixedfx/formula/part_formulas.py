"""Formulas of the models of zeros, hurdle's and inflation's: one side, with its tilde."""

from __future__ import annotations

from typing import Any

from mixedfx.errors import FormulaError
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.formula.update import update_formula


def right_side(formula: MixedFormula) -> str:
    """The right side of a formula, with its tilde."""
    return "~ " + str(formula).split("~", 1)[1].strip()


def changed_zeros(formula: MixedFormula, zi: str | None) -> str:
    """The model of the zeros after a change such as ``"~ . - x"``; as it was where None."""
    return right_side(update_formula(formula, "~ ." if zi is None else str(zi)))


def zero_formula(zi: Any) -> str:
    """The right-hand side of the model of the zeros, with its tilde.

    Raises
    ------
    FormulaError
        A formula with a left side.
    """
    text = str(zi).strip()
    if not text.startswith("~"):
        raise FormulaError(
            "the model of the zeros has no left side", formula=text, column=0, hint="Write zi='~ x + (1 | g)'."
        )  # fmt: skip
    return text
