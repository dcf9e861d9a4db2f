"""From the reference grid to marginal means: which cells are asked about, and how the others are averaged over.

With s the cell asked about and a the combination of the other factors, a mean is sum_a w(a | s) X(s, a) beta:

* equal: w = 1 / number of combinations; what a balanced experiment would have estimated;
* proportional: w(a) = share of the rows of the data in a, whatever s; a population with the margin of these data;
* outer: the product of the shares of each factor of a; as if these factors were independent;
* cells: w(a | s) = share of a among the rows in s; the means of the data themselves, other factors not held equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.errors import OptionError, check_option
from mixedfx.means.reference_grid import ReferenceGrid

Weights = Literal["equal", "proportional", "outer", "cells"]
WEIGHTS = ("equal", "proportional", "outer", "cells")


def asked(specs: str | Sequence[str], by: str | Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns whose combinations get a mean, and those that split them into groups.

    Parameters
    ----------
    specs
        A column, several, or text such as ``"~ a * b | c"``, where the bar stands before the groups, and ``"~ 1"`` for
        the mean over everything.
    by
        Groups, where `specs` has no bar.

    Returns
    -------
    specs, by : tuples of column names

    Examples
    --------
    >>> from mixedfx.means.averaging import asked
    >>> asked("~ a * b | c", None), asked(["a", "b"], "b")
    ((('a', 'b'), ('c',)), (('a',), ('b',)))
    """
    groups = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    if isinstance(specs, str) and "~" in specs:
        left, right = (part.strip() for part in specs.split("~", 1))
        if left:
            raise OptionError(
                f"{specs!r} asks for contrasts and means at once",
                hint=f'Ask for the means, mx.emmeans(fit, "~ {right}"), and then for .contrast("{left}").',
            )
        right, _, bar = right.partition("|")
        if bar and groups:
            raise OptionError(f"{specs!r} names groups and by= does too", hint="Name them in one place.")
        names, groups = _names(right), _names(bar) or groups
    else:
        names = (specs,) if isinstance(specs, str) else tuple(specs)
    found = tuple(dict.fromkeys(n for n in names if n not in groups))
    if not found and not groups and not (isinstance(specs, str) and "~" in specs):
        raise OptionError("emmeans needs a column to take means by", hint='Write mx.emmeans(fit, "style").')
    return found, tuple(dict.fromkeys(groups))


def _names(text: str) -> tuple[str, ...]:
    pieces = re.findall(r"`[^`]+`|[^*+:\s]+", text)
    return tuple(p.strip("`") for p in pieces if p != "1")


def averages(
    grid: ReferenceGrid, names: Sequence[str], weights: Weights = "equal"
) -> tuple[pd.DataFrame, sparse.csr_array, NDArray[np.bool_]]:
    """Cells of the named columns, and the weights over the grid that average all other columns.

    Parameters
    ----------
    grid
        The reference grid, m points.
    names
        Columns whose crossing gives the s cells; the first varies fastest.
    weights
        How the other columns are averaged.

    Returns
    -------
    cells : DataFrame (s, names)
    W : (s, m)
        Rows sum to 1.
    void : (s,)
        Cells without any weight, whose row of W is zero.
    """
    check_option("weights", weights, WEIGHTS)
    order = list(grid.values)
    asked_for = [order.index(name) for name in names][::-1]
    others = [i for i in range(len(order)) if i not in asked_for]
    shape = grid.shape
    # (s, a) positions in the grid: the cell, then the combination of the other columns
    position = np.arange(len(grid.frame)).reshape(shape).transpose(asked_for + others)
    position = position.reshape(int(np.prod([shape[i] for i in asked_for], dtype=int)), -1)
    count = grid.count[position].astype(float)
    if weights == "equal" or not others:
        share = np.ones(position.shape)
    elif weights == "cells":
        share = count
    elif weights == "proportional":
        share = np.broadcast_to(count.sum(axis=0), position.shape)
    else:
        table = count.sum(axis=0).reshape([shape[i] for i in others])
        outer = np.ones(())
        for axis in range(table.ndim):
            outer = np.multiply.outer(outer, table.sum(axis=tuple(a for a in range(table.ndim) if a != axis)))
        share = np.broadcast_to(outer.ravel(), position.shape)
    total = share.sum(axis=1, keepdims=True)
    void = total[:, 0] == 0
    share = np.divide(share, total, out=np.zeros(position.shape), where=total > 0)
    s, a = position.shape
    W = sparse.csr_array((share.ravel(), (np.repeat(np.arange(s), a), position.ravel())), shape=(s, len(grid.frame)))
    cells = grid.frame.iloc[position[:, 0]].loc[:, list(names)].reset_index(drop=True)
    return cells, W, void
