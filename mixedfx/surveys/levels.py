"""The nested levels of a design: which random terms belong to which, and the order of rows in which units are runs.

Weights multiply likelihoods of whole units, so every unit of a level must lie in one unit of the level above. Rows are
put in an order in which the rows of each unit of each level stand together; units are numbered in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError

Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Level:
    """One grouping factor with its random terms.

    Attributes
    ----------
    label
        Name of the factor, ``"school"`` or ``"district:school"``.
    terms
        Positions of its terms in `Design.random`.
    k
        Number of columns of all its terms.
    code
        (U,) the design's code of each unit, units in the order of the sorted rows.
    starts
        (U,) first member of each unit: a sorted row at the first level, a unit of the level below elsewhere.
    first_rows
        (U,) first sorted row of each unit.
    """

    label: str
    terms: tuple[int, ...]
    k: int
    code: Index
    starts: Index
    first_rows: Index

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.code)


@dataclass(frozen=True, eq=False)
class Nesting:
    """All levels of a design, finest first, and the order of its rows.

    Attributes
    ----------
    order
        (n,) rows of the design in the order in which units are runs.
    levels
        Finest first; empty without random terms.
    """

    order: Index
    levels: tuple[Level, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the grouping factors, finest first."""
        return tuple(level.label for level in self.levels)

    @property
    def top_starts(self) -> Index:
        """First sorted row of each unit of the top level; every row where there are no levels."""
        return self.levels[-1].first_rows if self.levels else np.arange(len(self.order), dtype=np.intp)

    def unit_of_rows(self, level: int) -> Index:
        """(n,) unit of each sorted row at a level."""
        starts = self.levels[level].first_rows
        return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(self.order))))


def nesting(design: Design) -> Nesting:
    """The levels of a design.

    Raises
    ------
    ModelError
        Where grouping factors are crossed, or the levels of one are correlated by a known matrix.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.build import build_design
    >>> from mixedfx.surveys.levels import nesting
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7, 6, 1], "s": list("ababcdcd"), "d": list("xxxxyyyy")})
    >>> found = nesting(build_design("y ~ 1 + (1 | d) + (1 | s)", data, sigma_free=False))
    >>> found.labels, found.order.tolist(), [level.starts.tolist() for level in found.levels]
    (('s', 'd'), [0, 2, 1, 3, 4, 6, 5, 7], [[0, 2, 4, 6], [0, 2]])
    """
    found: list[tuple[Index, list[int]]] = []
    for t, term in enumerate(design.random):
        if term.relation is not None:
            raise ModelError(
                f"the levels of '{term.label}' are correlated by a known matrix, and sampling weights suppose that "
                "units are independent",
                hint="Leave the matrix out, or the weights.",
            )
        for codes, terms in found:
            if _same(codes, term.codes):
                terms.append(t)
                break
        else:
            found.append((term.codes, [t]))
    found.sort(key=lambda one: -design.random[one[1][0]].n_levels)
    for (fine, first), (coarse, second) in pairwise(found):
        a, b = design.random[first[0]], design.random[second[0]]
        if not _inside(fine, a.n_levels, coarse):
            raise ModelError(
                f"'{a.label}' and '{b.label}' are crossed: a level of the one lies in several of the other. Sampling "
                "weights multiply the likelihoods of whole units, so that levels have to be nested",
                hint=f"If the levels of '{a.label}' are numbered anew in each '{b.label}', write "
                f"(1 | {b.label}/{a.label}); of crossed factors keep the one that was sampled.",
            )
    n = len(design.y)
    order = np.lexsort([codes for codes, _ in found]).astype(np.intp) if found else np.arange(n, dtype=np.intp)
    levels: list[Level] = []
    below: Index | None = None
    for codes, terms in found:
        ordered = codes[order]
        rows = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if n else np.zeros(0, dtype=np.intp)
        starts = rows if below is None else np.searchsorted(below, rows)
        k = sum(design.random[t].n_columns for t in terms)
        label = design.random[terms[0]].label
        levels.append(Level(label, tuple(terms), k, ordered[rows], starts.astype(np.intp), rows))
        below = rows
    return Nesting(order, tuple(levels))


def _same(one: Index, other: Index) -> bool:
    """Whether two factors group rows alike."""
    return np.array_equal(one, other) or (
        _inside(one, int(one.max(initial=-1)) + 1, other) and _inside(other, int(other.max(initial=-1)) + 1, one)
    )


def _inside(fine: Index, size: int, coarse: Index) -> bool:
    """Whether each level of one factor lies in one level of another."""
    at = np.empty(size, dtype=np.intp)
    at[fine] = coarse
    return bool(np.array_equal(at[fine], coarse))
