"""`rake`: weights of cells that reproduce known margins.

Iterative proportional fitting (Deming & Stephan 1940, Annals of Mathematical Statistics 11:427): the weights are
multiplied by target / current within the levels of one margin, then of the next, until all margins hold. The limit,
where there is one, is the table with these margins that is nearest to the starting weights in Kullback-Leibler
divergence (Csiszar 1975, Annals of Probability 3:146). Where margins conflict with each other or with cells of weight
zero there is none, and the iteration cycles: that is an error here, with the margin that fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import to_pandas
from mixedfx.effects.wording import did_you_mean, listed
from mixedfx.errors import EffectsError

Array = NDArray[np.float64]
Margins = Mapping[str | tuple[str, ...], Mapping[Any, float] | pd.Series]


@dataclass(frozen=True, eq=False)
class _Margin:
    """One margin: the level of each cell and the total of each level."""

    name: str
    code: NDArray[np.intp]
    levels: list[Any]
    target: Array

    def error(self, weight: Array) -> Array:
        """Relative error of each level."""
        now = np.bincount(self.code, weights=weight, minlength=len(self.target))
        return np.abs(now - self.target) / np.where(self.target > 0, self.target, 1.0)


def rake(
    cells: Any,
    margins: Margins,
    weights: str | Sequence[float] | NDArray[np.float64] | None = None,
    tol: float = 1e-9,
    max_iter: int = 2000,
) -> pd.Series:
    """Weights for the cells of a table whose margins are known and whose joint distribution is not.

    Parameters
    ----------
    cells
        One row for each cell (or person); any frame narwhals understands.
    margins
        Column -> totals of its levels, ``{"race": {"Black": 30, "White": 70}}``; a tuple of columns for a joint margin,
        with tuples of levels. All margins have the same grand total.
    weights
        Where to start: a column, or one number for each cell; what the margins do not say about the joint distribution
        stays as it is here. Cells start equal where None. Zero stays zero.
    tol
        Largest relative error of a total.
    max_iter
        Passes over all margins.

    Returns
    -------
    Series
        One weight for each cell, named ``"weight"``, in the order of `cells`; ``attrs`` holds iterations and
        largest_error. Give it as ``weights=`` to `mixedfx.effects` or `mixedfx.poststratify`.

    Raises
    ------
    EffectsError
        Margins that conflict, levels without cells or cells without a total, or no convergence.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> cells = pd.DataFrame({"race": ["Black", "Black", "White", "White"], "sex": ["f", "m", "f", "m"]})
    >>> w = mx.rake(cells, {"race": {"Black": 30, "White": 70}, "sex": {"f": 50, "m": 50}})
    >>> w.round(6).tolist()
    [15.0, 15.0, 35.0, 35.0]
    """
    from mixedfx.design.alignment import beside

    weights = beside(weights, cells, "weights")
    frame = to_pandas(cells)
    if not margins:
        raise EffectsError("rake needs at least one margin", mend='Write {"race": {"Black": 30, "White": 70}}.')
    weight = _start(weights, frame)
    read = [_read(key, totals, frame, weight) for key, totals in margins.items()]
    grand = [m.target.sum() for m in read]
    for margin, total in zip(read[1:], grand[1:], strict=True):
        if not np.isclose(total, grand[0], rtol=tol, atol=0.0):
            raise EffectsError(
                f"the margins conflict: {read[0].name} adds up to {grand[0]:,.10g}, {margin.name} to {total:,.10g}",
                mend="Scale them to one total.",
            )
    error = np.inf
    for iteration in range(1, max_iter + 1):
        for margin in read:
            now = np.bincount(margin.code, weights=weight, minlength=len(margin.target))
            weight = weight * (margin.target / np.where(now > 0, now, 1.0))[margin.code]
        error = max(float(margin.error(weight).max()) for margin in read)
        if error <= tol:
            index = getattr(cells, "index", None)
            out = pd.Series(weight, index=index if isinstance(index, pd.Index) else None, name="weight")
            out.attrs = {"iterations": iteration, "largest_error": error}
            return out
    worst = max(read, key=lambda m: float(m.error(weight).max()))
    level = worst.levels[int(np.argmax(worst.error(weight)))]
    raise EffectsError(
        f"the margins cannot all hold: after {max_iter} passes {worst.name} = {level!r} is still {error:.2g} off",
        mend="Margins conflict, or cells of weight zero stand in their way; a small starting weight may help.",
    )


def _start(weights: str | Sequence[float] | NDArray[np.float64] | None, frame: pd.DataFrame) -> Array:
    if isinstance(weights, str):
        if weights not in frame.columns:
            mend = did_you_mean(weights, frame.columns, all_of="Columns")
            raise EffectsError(f"weights: the cells have no column {weights!r}", mend=mend)
        weights = frame[weights].to_numpy()
    weight = np.ones(len(frame)) if weights is None else np.array(weights, dtype=float)
    if weight.shape != (len(frame),) or not np.isfinite(weight).all() or (weight < 0).any():
        raise EffectsError(f"weights must be {len(frame)} numbers, one for each cell, zero or more")
    return weight


def _read(
    key: str | tuple[str, ...], totals: Mapping[Any, float] | pd.Series, frame: pd.DataFrame, weight: Array
) -> _Margin:
    """Match the levels of one margin with those of the cells."""
    columns = [key] if isinstance(key, str) else list(key)
    for name in columns:
        if name not in frame.columns:
            mend = did_you_mean(name, frame.columns, all_of="Columns")
            raise EffectsError(f"margins: the cells have no column {name!r}", mend=mend)
    wanted = dict(totals.items())
    name = ":".join(columns)
    target = np.array(list(wanted.values()), dtype=float)
    if not len(target) or not np.isfinite(target).all() or (target < 0).any() or target.sum() <= 0:
        raise EffectsError(f"the totals of {name} must be zero or more, and not all zero")
    place = {level: i for i, level in enumerate(wanted)}
    own = frame[columns[0]] if len(columns) == 1 else pd.MultiIndex.from_frame(frame.loc[:, columns])
    codes, levels = pd.factorize(own)
    unknown = [level for level in levels if level not in place]
    if unknown:
        raise EffectsError(
            f"the margin {name} has no total for {listed(unknown)}",
            mend="Add one, zero included, or leave these cells out.",
        )
    code = np.array([place[level] for level in levels], dtype=np.intp)[codes]
    reached = np.bincount(code, weights=weight, minlength=len(target)) > 0
    empty = [level for level, i in place.items() if target[i] > 0 and not reached[i]]
    if empty:
        raise EffectsError(
            f"no cell with a positive weight can make up the total of {name} = {listed(empty)}",
            mend="Add such cells, or start them from a small weight.",
        )
    return _Margin(name, code, list(wanted), target)
