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

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import RandomTerm
from mixedfx.formula.mixed_formula import RandomPart


@dataclass(frozen=True)
class _Column:
    """A column as a product: its factors in order, and which of them are one level of a category."""

    factors: tuple[str, ...]
    categorical: frozenset[str]


def smaller_parts(
    term: RandomTerm, part: RandomPart, zero: NDArray[np.bool_], mixtures: bool
) -> tuple[RandomPart, ...]:
    """Rewrite one random term without its null directions.

    Parameters
    ----------
    term, part
        The term as designed and as written.
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
    columns = [_parse(column) for column in term.columns]
    terms = tuple(dict.fromkeys(column.factors for column in columns))
    null = {t for t in terms if all(z for z, c in zip(zero, columns, strict=True) if c.factors == t)}
    kept = tuple(t for t in terms if t not in null)
    if not kept:
        return ()
    if null and not any(_recodes(t, column) for t in null for column in columns if column.factors in kept):
        single = sum(column.factors in kept for column in columns) == 1
        return (replace(part, left=_left(kept), correlated=single or (part.correlated and not mixtures)),)
    if part.correlated:
        return (replace(part, correlated=False),)
    return _pooled(part, columns, zero)


def _recodes(dropped: tuple[str, ...], column: _Column) -> bool:
    """Whether a column that stays would get another coding once its margin `dropped` is gone."""
    added = set(column.factors) - set(dropped)
    return set(dropped) < set(column.factors) and bool(added & column.categorical)


def _pooled(part: RandomPart, columns: list[_Column], zero: NDArray[np.bool_]) -> tuple[RandomPart, ...]:
    """Give a category that varies in some levels only one variance for all of them.

    Its interactions go with it.
    """
    null = {c.factors for z, c in zip(zero, columns, strict=True) if z}
    if () in null:
        null |= {c.factors for c in columns if set(c.factors) <= c.categorical}
    gone = [set(t) for t in null if t]
    kept = tuple(dict.fromkeys(c.factors for c in columns if c.factors not in null and not _contains(c, gone)))
    single = sum(c.factors in kept for c in columns) == 1
    parts = [replace(part, left=_left(kept), correlated=single)] if kept else []
    for name in dict.fromkeys(c.factors[0] for c in columns if len(c.factors) == 1 and c.factors in null):
        if name.isidentifier() and name not in part.group and any(name in c.categorical for c in columns):
            parts.append(replace(part, left="1", group=(*part.group, name), correlated=True))
    return tuple(parts)


def _contains(column: _Column, gone: Iterable[set[str]]) -> bool:
    return any(t <= set(column.factors) for t in gone)


def _left(terms: tuple[tuple[str, ...], ...]) -> str:
    return " + ".join(["1" if () in terms else "0", *(":".join(t) for t in terms if t)])


def _parse(column: str) -> _Column:
    """``small:race[White]`` -> factors small and race, of which race is categorical."""
    if column == "Intercept":
        return _Column((), frozenset())
    pieces = [(_without_level(piece), piece.endswith("]")) for piece in _split(column)]
    return _Column(tuple(name for name, _ in pieces), frozenset(name for name, level in pieces if level))


def _split(column: str) -> list[str]:
    """Cut at the colons outside brackets: a level or a function call may hold colons of its own."""
    pieces, depth, start = [], 0, 0
    for i, character in enumerate(column + ":"):
        depth += (character in "([{") - (character in ")]}")
        if character == ":" and depth == 0:
            pieces.append(column[start:i])
            start = i + 1
    return pieces


def _without_level(name: str) -> str:
    """``race[White]`` -> ``race``; the level may itself hold brackets."""
    depth = 0
    for i in range(len(name) - 1, -1, -1):
        depth += (name[i] == "]") - (name[i] == "[")
        if depth == 0:
            return name[:i] if name.endswith("]") else name
    return name
