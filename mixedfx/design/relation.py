"""Known correlations of the levels of a grouping factor: pedigrees, phylogenies, distances.

``(1 | gr(species, cov=A))`` gives the effects u of the levels the covariance sigma_u^2 A, A being named in ``env`` and
a data frame whose index and columns are levels. Levels that the data do not have are left out of A: the marginal
distribution of the others is that of the rows and columns that remain. A is divided by the mean of its diagonal, so
that sigma_u^2 is the variance of an average level whatever unit A comes in; levels may differ in their own variances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.covariance.structures import STRUCTURES
from mixedfx.design.design import RandomTerm
from mixedfx.design.frame import nearest
from mixedfx.errors import DataError, FormulaError
from mixedfx.formula.mixed_formula import MixedFormula, RandomPart

SYMMETRIC = 1e-8  # relative difference of A and its transpose up to which it is symmetric


def with_relations(
    terms: tuple[RandomTerm, ...], formula: MixedFormula, env: Mapping[str, Any]
) -> tuple[RandomTerm, ...]:
    """The random terms of a formula with the known correlations of their levels, where they have any.

    Raises
    ------
    FormulaError, DataError
        As in `relation_of`.
    """
    found = []
    for term, part in zip(terms, formula.random, strict=True):
        relation = relation_of(part, term.levels, env, formula.text)
        found.append(term if relation is None else replace(term, relation=relation))
    return tuple(found)


def _check_structure(part: RandomPart, formula: str) -> None:
    if part.structure not in STRUCTURES:
        raise FormulaError(
            f"there is no covariance structure `{part.structure}`",
            formula=formula,
            column=part.column,
            hint=nearest(part.structure, STRUCTURES) or f"Those there are: {', '.join(STRUCTURES)}.",
        )


def relation_of(
    part: RandomPart, levels: tuple[str, ...], env: Mapping[str, Any], formula: str
) -> NDArray[np.float64] | None:
    """(q, q) known correlations of the levels of a random term; None where it has none.

    Parameters
    ----------
    part
        The random term.
    levels
        Its levels in the data.
    env
        What the caller passes by name.
    formula
        The whole formula, for messages.

    Raises
    ------
    FormulaError
        A name that `env` does not have; a covariance structure that does not exist.
    DataError
        A matrix without names of levels, without some of them, not symmetric, or not positive definite.
    """
    _check_structure(part, formula)
    if not part.relation:
        return None
    if part.relation not in env:
        raise FormulaError(
            f"`{part.relation}` in {part} is not known",
            formula=formula,
            column=part.column,
            hint=f'Pass the matrix: env={{"{part.relation}": A}}, a data frame with levels as its index and columns.',
        )
    given = env[part.relation]
    if not isinstance(given, pd.DataFrame):
        raise DataError(
            f"cov={part.relation} is a {type(given).__name__}, which does not say which row belongs to which level",
            hint="Pass pd.DataFrame(A, index=levels, columns=levels).",
        )
    rows, columns = given.index.map(str), given.columns.map(str)
    for names in (rows, columns):
        if not names.is_unique:
            raise DataError(f"cov={part.relation} has the level '{names[names.duplicated()][0]}' twice")
    missing = [level for level in levels if level not in rows or level not in columns]
    if missing:
        raise DataError(
            f"cov={part.relation} has no row or column for {len(missing)} of {len(levels)} levels of "
            f"'{part.group[0]}', such as '{missing[0]}'",
            hint="Its index and its columns are the levels of the grouping factor.",
        )
    try:
        A = given.to_numpy(dtype=np.float64)[np.ix_(rows.get_indexer(list(levels)), columns.get_indexer(list(levels)))]
    except (TypeError, ValueError):
        raise DataError(f"cov={part.relation} has entries that are not numbers") from None
    if not np.isfinite(A).all():
        at = np.argwhere(~np.isfinite(A))[0]
        raise DataError(f"cov={part.relation} is not finite for '{levels[at[0]]}' and '{levels[at[1]]}'")
    if np.abs(A - A.T).max(initial=0.0) > SYMMETRIC * np.abs(A).max(initial=0.0):
        raise DataError(f"cov={part.relation} is not symmetric")
    A = (A + A.T) / 2.0
    if not (np.diag(A) > 0.0).all():
        raise DataError(f"cov={part.relation} gives no variance to '{levels[int(np.argmin(np.diag(A)))]}'")
    A = A / np.mean(np.diag(A))
    if not np.linalg.eigvalsh(A)[0] > 1e-10 * np.abs(A).max():
        raise DataError(
            f"cov={part.relation} is not positive definite",
            hint="Levels with the same position, such as clones, are one level; or add a little to the diagonal.",
        )
    return A
