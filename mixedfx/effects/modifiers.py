"""Which columns the effect of a treatment can vary with, read from the formula.

The effect of z depends on a row only through the terms that hold z. In the fixed part these are z's interactions; in
the random part, a term ``(left | group)`` whose left side holds z lets the effect vary over the group (and over
whatever interacts with z on the left), and a term that has z in its group lets it vary with everything else in that
term.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.expressions import columns_read
from mixedfx.formula.mixed_formula import MixedFormula, RandomPart


def model_columns(design: Design) -> tuple[str, ...]:
    """Return the columns of the data that the right side of the formula uses, in the order of the frame."""
    used = _read(replace(design.formula, response=None, additions=()), design)
    return tuple(c for c in design.frame.columns if c in used)


def categorical_columns(design: Design) -> frozenset[str]:
    """Return the columns used as categories whatever their type: in ``C(...)`` or as a grouping factor."""
    found = {c for part in design.formula.random for c in part.group}
    for side in (design.formula.fixed, *(part.left for part in design.formula.random)):
        for factors in terms_of(side):
            for factor in factors:
                if factor.replace(" ", "").startswith(("C(", "factor(")):
                    found |= columns_of((factor,), design)
    return frozenset(found)


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
    found: set[str] = set()
    for factors in (*terms_of(design.formula.fixed), *((offset,) for offset in design.formula.offsets)):
        columns = columns_of(factors, design)
        if treatment in columns:
            found |= columns
    for part in design.formula.random if random else ():
        if treatment in part.group:
            found |= set(part.group) | _side_columns(part.left, design)
            continue
        for factors in terms_of(part.left):
            columns = columns_of(factors, design)
            if treatment in columns:
                found |= columns | set(part.group)
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
    for part in formula.random:
        if treatment not in part.group and set(part.group) <= set(missing):
            done |= set(part.group)
            if treatment not in _side_columns(part.left, design):
                random.append(replace(part, left=f"{part.left} + {written}"))
                continue
        random.append(part)
    fixed = formula.fixed
    in_fixed = _side_columns(fixed, design)
    for column in missing:
        if column in done:
            continue
        if column in in_fixed:
            fixed += f" + {written}:{_as_written(column, design)}"
        elif pd.api.types.is_float_dtype(frame[column]):
            fixed += f" + {_name(column)} + {written}:{_name(column)}"
        else:
            random.append(RandomPart(f"1 + {written}", (column,), True, 0))
    return replace(formula, fixed=fixed, random=tuple(random))


def _as_written(column: str, design: Design) -> str:
    """Return the factor of the fixed part that stands for a column: ``"C(dose)"`` where that is how it is written."""
    for factors in terms_of(design.formula.fixed):
        if len(factors) == 1 and columns_of(factors, design) == {column}:
            return factors[0] if factors[0] != column else _name(column)
    return _name(column)


def _name(column: str) -> str:
    return column if column.isidentifier() else f"`{column}`"


@lru_cache(maxsize=256)
def terms_of(side: str) -> tuple[tuple[str, ...], ...]:
    """Return the terms of one side of a formula after expansion, each as the texts of its factors."""
    from formulaic import SimpleFormula

    return tuple(tuple(factor.expr for factor in term.factors) for term in SimpleFormula.from_spec(side))


def _side_columns(side: str, design: Design) -> set[str]:
    return {c for factors in terms_of(side) for c in columns_of(factors, design)}


def columns_of(factors: Iterable[str], design: Design) -> set[str]:
    """Return the columns of the data that some factors read."""
    found: set[str] = set()
    for factor in factors:
        if factor in design.frame.columns:  # formulaic drops the backticks of a name
            found.add(factor)
        elif factor not in ("0", "1"):
            alone = replace(design.formula, response=None, additions=(), fixed=factor, random=(), offsets=())
            found |= _read(alone, design)
    return found


def _read(formula: MixedFormula, design: Design) -> set[str]:
    return set(columns_read(formula, design.spec.env, design.frame.columns)) & set(design.frame.columns)
