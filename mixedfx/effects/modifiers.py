"""Which columns the effect of a treatment can vary with, read from the formula.

The effect of z depends on a row only through the terms that hold z. In the fixed part these are z's interactions; in
the random part, a term ``(left | group)`` whose left side holds z lets the effect vary over the group (and over
whatever interacts with z on the left), and a term that has z in its group lets it vary with everything else in that
term.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.formula.mixed_formula import MixedFormula, RandomPart
from mixedfx.formula.names import quote


def model_columns(design: Design) -> tuple[str, ...]:
    """Return the columns of the data that the right side of the formula uses, in the order of the frame."""
    used = set(design.terms.columns)
    return tuple(c for c in design.frame.columns if c in used)


def effect_modifiers(design: Design, treatment: str, *, random: bool = True) -> frozenset[str]:
    """Columns that share a term with the treatment.

    Parameters
    ----------
    design
        The design of the fit.
    treatment
        Column of the treatment.
    random
        Whether the random effects count (False where they are set to zero).

    Returns
    -------
    frozenset
        Column names, without the treatment.
    """
    terms = design.terms
    found = {c for part in (*terms.fixed, *terms.offsets) if treatment in part.columns for c in part.columns}
    for one in terms.random if random else ():
        if treatment in one.grouping:
            found |= set(one.columns)
            continue
        for term in one.left:
            if treatment in term.columns:
                found |= {*term.columns, *one.grouping}
    return frozenset(found - {treatment})


def formula_with_variation(design: Design, treatment: str, over: Iterable[str], frame: pd.DataFrame) -> MixedFormula:
    """Extend the formula of the fit so that the effect of the treatment can vary over the columns `over`.

    A random term that has only such columns in its group gets the treatment on its left. A column of the fixed part,
    or a number, gets an interaction. Any other column gets a random slope of its own.

    Parameters
    ----------
    design
        The design of the fit.
    treatment
        Column of the treatment.
    over
        Columns over which the effect is to vary.
    frame
        Holds these columns; their type decides between an interaction and a random slope.
    """
    formula = design.formula
    written = _as_written(treatment, design)
    missing = list(over)
    random: list[RandomPart] = []
    done: set[str] = set()
    for part, one in zip(formula.random, design.terms.random, strict=True):
        if treatment not in part.group and set(part.group) <= set(missing):
            done |= set(part.group)
            if treatment not in one.left_columns:
                random.append(replace(part, left=f"{part.left} + {written}"))
                continue
        random.append(part)
    fixed = formula.fixed
    in_fixed = {c for term in design.terms.fixed for c in term.columns}
    for column in missing:
        if column in done:
            continue
        if column in in_fixed:
            fixed += f" + {written}:{_as_written(column, design)}"
        elif pd.api.types.is_float_dtype(frame[column]):
            fixed += f" + {quote(column)} + {written}:{quote(column)}"
        else:
            random.append(RandomPart(f"1 + {written}", (column,), "us", 0))
    return replace(formula, fixed=fixed, random=tuple(random))


def _as_written(column: str, design: Design) -> str:
    """Return the factor of the fixed part that stands for a column: ``"C(dose)"`` where that is how it is written."""
    for term in design.terms.fixed:
        if len(term.product) == 1 and term.columns == (column,):
            return term.written
    return quote(column)
