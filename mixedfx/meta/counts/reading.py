"""Counts of studies, moderators and labels -> what the models of `rma_glmm` are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import ModelError
from mixedfx.meta.effect_sizes.escalc import check_columns, computed
from mixedfx.meta.effect_sizes.layouts import LAYOUTS, checked, with_constant
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.measure import Array
from mixedfx.meta.reading import fetched, kept, numbers
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.meta.univariate.tau2_intervals import typical_variance
from mixedfx.meta.univariate.weighted import Effects, orthonormal

RESPONSE, VARIANCE = "effect_of_study__", "variance_of_study__"


@dataclass(frozen=True, eq=False)
class Counts:
    """Studies of one measure.

    Attributes
    ----------
    measure
        ``"OR"``, ``"IRR"``, ``"PLO"`` or ``"IRLN"``.
    cells
        Column of the layout -> (k,) numbers.
    moderators
        (k, p) columns X with their names, labels, and the replay of the formula on new data.
    formula
        As it was written.
    silent
        Studies that were left out since they have no events, or events only.
    incomplete
        Studies that were left out since a count or a moderator is missing.
    typical
        Typical sampling variance of the studies' own effects, 1/2 added to zero cells.
    """

    measure: str
    cells: Mapping[str, Array]
    moderators: Estimates
    formula: str
    silent: int
    incomplete: int
    typical: float

    @property
    def k(self) -> int:
        """Studies."""
        return len(self.moderators.slab)

    @property
    def X(self) -> Array:
        """(k, p) moderators."""
        return self.moderators.X

    @property
    def two_groups(self) -> bool:
        """Whether studies compare two groups."""
        return self.measure in ("OR", "IRR")

    @property
    def binomial(self) -> bool:
        """Whether events are counted among people, not in time."""
        return self.measure in ("OR", "PLO")

    @property
    def groups(self) -> list[tuple[Array, Array]]:
        """Events, and people or times at risk, of each group, the treated first."""
        names = {"OR": ("ai", "n1i", "ci", "n2i"), "IRR": ("x1i", "t1i", "x2i", "t2i")}.get(self.measure)
        names = names or (("xi", "ni") if self.binomial else ("xi", "ti"))
        return [(self.cells[x], self.cells[n]) for x, n in zip(names[::2], names[1::2], strict=True)]


def read_counts(
    measure: str, data: Any, formula: str, columns: dict[str, Any], drop00: bool, slab: Any, env: Any
) -> Counts:  # fmt: skip
    """Complete studies that say something.

    Raises
    ------
    ModelError
        No study is left, or fewer than there are coefficients; random terms in the formula.
    """
    entry = find_measure(measure)
    layout = LAYOUTS[entry.layout]
    given = {name: value for name, value in columns.items() if value is not None}
    check_columns(entry, layout, given)
    data = None if data is None else kept(data)  # read once: some frames can be no second time
    frame, labels = fetched(data, given)
    found = checked(layout, {name: numbers(value, frame, labels, name) for name, value in given.items()})
    complete = np.all([np.isfinite(found[name]) for name in entry.needs], axis=0)
    found = with_constant(layout, found, 0.0, "none", False)
    silent = np.zeros(len(complete), dtype=bool)
    for first, second in layout.none if drop00 else ():
        silent |= complete & (found[first] == 0) & (found[second] == 0)
    use = complete & ~silent
    if not use.any():
        raise ModelError(
            "no study is complete and has events in one of its groups", hint="Nothing can be estimated from these."
        )
    whole = pd.DataFrame(index=frame.index) if data is None else data.copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        yi, vi = computed(entry, with_constant(layout, found, 0.5, "only0", drop00), next(iter(entry.variances)))
    whole[RESPONSE] = np.where(use, np.where(np.isfinite(yi), yi, 0.0), np.nan)
    whole[VARIANCE] = np.where(use, 1.0, np.nan)
    read = read_estimates(RmaCall(f"{RESPONSE} ~ {_right(formula)}", whole, vi=VARIANCE, slab=slab, env=env))
    rows = read.design.rows.used
    if len(rows) < read.X.shape[1]:
        raise ModelError(f"{len(rows)} studies and {read.X.shape[1]} coefficients", hint="Leave moderators out.")
    known = np.isfinite(vi[rows]) & (vi[rows] > 0)
    typical = np.nan
    if known.sum() > read.X.shape[1] and np.linalg.matrix_rank(read.X[known]) == read.X.shape[1]:
        basis = orthonormal(read.X[known])[0]
        typical = float(typical_variance(Effects(yi[rows][known][None], vi[rows][known][None], basis))[0])
    cells = {name: values[rows] for name, values in found.items()}
    incomplete = len(complete) - int(silent.sum()) - len(rows)
    return Counts(measure, cells, read, " ".join(formula.split()), int(silent.sum()), incomplete, typical)


def _right(formula: str) -> str:
    """What is right of the tilde."""
    _, tilde, right = formula.rpartition("~")
    return right.strip() if tilde else formula.strip()
