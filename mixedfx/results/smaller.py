"""The smaller formula: a random term rewritten without its null directions.

The design knows columns (``small:race[White]``), the formula knows terms (``small:race``), and one term can stand for
many columns. What can be written smaller, in order of preference:

1. no column varies: the term goes;
2. every column of some formula terms is null: those terms go, and ``|`` becomes ``||`` if the rest is perfectly
correlated;
3. the covariance is unconstrained: ``||``;
4. a category has levels that vary and levels that do not: one variance for all of them, ``(1 | g:f)``.

A term cannot go while a categorical term that contains it stays: ``(1 + f | g)`` without its intercept is ``(0 + f |
g)``, which has an indicator for every level of f and is the same model as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.terms import Term
from mixedfx.formula.mixed_formula import RandomPart


def smaller_parts(
    part: RandomPart, left: Sequence[Term], zero: NDArray[np.bool_], mixtures: bool
) -> tuple[RandomPart, ...]:
    """Rewrite one random term without its null directions.

    Parameters
    ----------
    part
        The random term as written.
    left
        The terms of its left side.
    zero
        (k,) which columns do not vary.
    mixtures
        Whether the other columns have a null direction.

    Returns
    -------
    tuple of RandomPart
        ``part`` itself where nothing is null, nothing where the term goes.
    """
    if not zero.any() and not mixtures:
        return (part,)
    owners = {c: term for term in left for c in term.coefficients}
    columns = [owners[c] for c in range(len(zero))]
    terms = tuple(dict.fromkeys(columns))
    null = {t for t in terms if zero[list(t.coefficients)].all()}
    kept = tuple(t for t in terms if t not in null)
    if not kept:
        return ()
    if null and not any(_recodes(t, term) for t in null for term in kept):
        single = sum(len(term.coefficients) for term in kept) == 1
        structure = "us" if single else "diag" if part.correlated and mixtures else part.structure
        return (replace(part, left=_left(kept), structure=structure),)
    if part.correlated:
        return (replace(part, structure="diag"),)
    return _pooled(part, terms, zero)


def _recodes(dropped: Term, term: Term) -> bool:
    """Whether columns of a term that stays would get another coding once its margin `dropped` is gone."""
    return dropped.variables < term.variables and bool((term.variables - dropped.variables) & term.factors)


def _pooled(part: RandomPart, terms: Sequence[Term], zero: NDArray[np.bool_]) -> tuple[RandomPart, ...]:
    """Give a category that varies in some levels only one variance for all of them.

    Its interactions go with it.
    """
    null = {t for t in terms if zero[list(t.coefficients)].any()}
    if any(not t.product for t in null):
        null |= {t for t in terms if not t.numbers}
    gone = [t for t in null if t.product]
    kept = tuple(t for t in terms if t not in null and not any(g.variables <= t.variables for g in gone))
    single = sum(len(t.coefficients) for t in kept) == 1
    parts = [replace(part, left=_left(kept), structure="us" if single else "diag")] if kept else []
    for variable in (t.product[0] for t in terms if len(t.product) == 1 and t in null):
        if variable.plain and variable.categorical and variable.text not in part.group:
            parts.append(replace(part, left="1", group=(*part.group, variable.text), structure="us"))
    return tuple(parts)


def _left(terms: Sequence[Term]) -> str:
    constant = any(not t.product for t in terms)
    return " + ".join(["1" if constant else "0", *(t.written for t in terms if t.product)])
