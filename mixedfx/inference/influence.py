"""Influence of rows and of groups of rows on the estimates.

With theta held fixed, the fit without a set of rows is exact and needs no refit (`mixedfx.pls.projection`):

    DFBETA   beta-hat - beta-hat without the set
    DFBETAS  DFBETA / standard error of beta-hat
    Cook's D DFBETA' var(beta-hat)^{-1} DFBETA / p      (Cook 1977; for mixed models Demidenko & Stukel 2005)

What the set does to the variances needs a refit; `mixedfx.reml.deletion` does it, from a warm start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.grouping import rows_of
from mixedfx.errors import OptionError, check_flag
from mixedfx.pls.projection import Projection
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent

Vector = NDArray[np.float64]

SHOWN = 10  # sets that are printed


@dataclass(frozen=True, eq=False, repr=False)
class Influence(Shown):
    """What leaving out each row, or each group of rows, does to a fit.

    Attributes
    ----------
    dfbeta
        Sets by coefficients: the estimate with all rows minus that without the set.
    dfbetas
        The same in standard errors of the estimate with all rows.
    cooks_distance
        Series over the sets.
    n
        Rows in each set.
    varcorr
        Sets by variance parameters (``sd``, ``cor`` and sigma named as in ``fit.tidy("ran_pars")``): the estimate
        without the set. None where theta was held fixed.
    by
        What the sets are: ``"row"``, or the name of a grouping.
    refitted
        Whether theta was estimated anew without each set.
    failed
        Sets without which the model could not be fitted; their rows are NaN.
    """

    dfbeta: pd.DataFrame
    dfbetas: pd.DataFrame
    cooks_distance: pd.Series
    n: pd.Series
    varcorr: pd.DataFrame | None
    by: str
    refitted: bool
    failed: tuple[object, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row for each set, most influential first: n, cooks_distance, DFBETAS; variance parameters if refitted."""
        parts = [self.n, self.cooks_distance, self.dfbetas.add_prefix("dfbetas_")]
        if self.varcorr is not None:
            parts.append(self.varcorr)
        return pd.concat(parts, axis=1).sort_values("cooks_distance", ascending=False, kind="stable")

    def content(self) -> SummaryContent:
        """The most influential sets."""
        how = "theta estimated anew" if self.refitted else "theta held fixed"
        most = f"the {SHOWN} most influential of {len(self.n)}" if len(self.n) > SHOWN else str(len(self.n))
        title = f"Influence of each {self.by} ({most}; {how})"
        return SummaryContent(title, (frame_table(self.table.rename_axis(self.by), "", most=SHOWN),))


def influence_by(
    design: Design, projection: Projection, by: str | None, refit: bool,
    refitted: Callable[[Sequence[NDArray[np.intp]], pd.Index, str], Influence],
) -> Influence:  # fmt: skip
    """Influence of rows (`by` None) or of the levels of a column or grouping factor.

    Parameters
    ----------
    design, projection
        Of the fit.
    by, refit
        As users ask for it.
    refitted
        The influence of sets of rows by refits, with the labels of the sets and what they are sets of.

    Raises
    ------
    OptionError
        There is no such column or factor.
    """
    check_flag("refit", refit)
    index = design.frame.index
    if by is None:
        if not refit:
            return row_influence(projection, design.fixed_names, index)
        return refitted([np.array([i]) for i in range(len(design.y))], index, "row")
    codes, levels = _groups(design, by)
    if not refit:
        return group_influence(projection, design.fixed_names, codes, levels, by)
    return refitted(rows_of(codes, len(levels)), pd.Index(list(levels), name=by), by)


def _groups(design: Design, by: str) -> tuple[NDArray[np.intp], Sequence[str]]:
    for term in design.random:
        if term.label == by:
            return term.codes, term.levels
    if by in design.frame.columns:
        codes, values = pd.factorize(design.frame[by], sort=True)
        return codes.astype(np.intp), [str(v) for v in values]
    known = dict.fromkeys([*(t.label for t in design.random), *map(str, design.frame.columns)])
    raise OptionError(
        f"by={by!r} is no grouping factor or column of the fit", hint=f"Use one of {', '.join(map(repr, known))}."
    )


def row_influence(projection: Projection, names: Sequence[str], index: pd.Index) -> Influence:
    """Influence of each row, theta held fixed; (n, p) changes in one pass."""
    sizes = pd.Series(1, index=index, name="n")
    return influence_from_changes(projection, projection.changes_of_beta, names, index, sizes, "row")


def group_influence(
    projection: Projection, names: Sequence[str], codes: NDArray[np.intp], levels: Sequence[str], by: str
) -> Influence:
    """Influence of each group of rows, theta held fixed.

    Parameters
    ----------
    projection
        The rows of the fit.
    names
        (p,) coefficients.
    codes, levels
        (n,) group of each row, and the names of the groups.
    by
        Name of the grouping.
    """
    index = pd.Index(list(levels), name=by)
    changes = np.array([projection.change_of_beta(rows) for rows in rows_of(codes, len(levels))])
    sizes = pd.Series(np.bincount(codes, minlength=len(levels)), index=index, name="n")
    return influence_from_changes(projection, changes.reshape(len(levels), len(names)), names, index, sizes, by)


def influence_from_changes(
    projection: Projection, changes: Vector, names: Sequence[str], index: pd.Index, sizes: pd.Series, by: str,
    varcorr: pd.DataFrame | None = None,
) -> Influence:  # fmt: skip
    """Scale (sets, p) changes of beta."""
    joint = projection.joint
    p = joint.problem.p
    dfbeta = pd.DataFrame(changes, index=index, columns=list(names))
    distance = pd.Series(joint.length_of_beta(changes.T) / max(p, 1), index=index, name="cooks_distance")
    failed = tuple(index[s] for s in np.flatnonzero(np.isnan(changes).any(axis=1)))
    return Influence(
        dfbeta, dfbeta / np.sqrt(np.diag(joint.vcov)), distance, sizes, varcorr, by, varcorr is not None, failed
    )  # fmt: skip
