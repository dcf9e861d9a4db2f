"""escalc: effect sizes and their sampling variances from what studies report."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.frame import nearest
from mixedfx.errors import (
    NotEstimableWarning,
    OptionError,
    check_flag,
    check_option,
    outside,
    some_rows,
)
from mixedfx.meta.effect_sizes.layouts import LAYOUTS, Layout, To, checked, constant, with_constant
from mixedfx.meta.effect_sizes.measures import find_measure
from mixedfx.meta.measure import Array, Columns, Measure
from mixedfx.meta.reading import fetched, numbers, values


def escalc(
    measure: str,
    data: Any = None,
    *,
    add: float | None = None,
    to: To = "only0",
    drop00: bool = False,
    vtype: Any = None,
    slab: Any = None,
    var_names: tuple[str, str] = ("yi", "vi"),
    **columns: Any,
) -> pd.DataFrame:
    """Compute effect sizes and their sampling variances.

    Parameters
    ----------
    measure
        What is computed; `mixedfx.meta.effect_sizes.measures.MEASURES` has formula, columns and source of each.

        * 2x2 tables (ai, bi, ci, di; n1i and n2i may stand for bi and di): ``"RR"``, ``"OR"``, ``"RD"``, ``"AS"``,
          ``"PETO"``, ``"PHI"``, ``"YUQ"``, ``"YUY"``;
        * two rates (x1i, x2i, t1i, t2i): ``"IRR"``, ``"IRD"``, ``"IRSD"``;
        * two groups (m1i, m2i, sd1i, sd2i, n1i, n2i): ``"MD"``, ``"SMD"``, ``"SMDH"``, ``"SMD1"``, ``"ROM"``,
          ``"CVR"``, ``"VR"``;
        * pairs (m1i, m2i, sd1i, sd2i, ri, ni): ``"MC"``, ``"SMCC"``, ``"SMCR"``, ``"ROMC"``, ``"VRC"``, ``"CVRC"``;
        * correlations: ``"COR"``, ``"UCOR"``, ``"ZCOR"`` (ri, ni); ``"PCOR"``, ``"ZPCOR"`` (ti, ni, mi);
        * proportions (xi, and ni or mi): ``"PR"``, ``"PLN"``, ``"PLO"``, ``"PAS"``, ``"PFT"``;
        * rates (xi, ti): ``"IR"``, ``"IRLN"``, ``"IRS"``, ``"IRFT"``;
        * means (mi, sdi, ni): ``"MN"``, ``"MNLN"``, ``"SDLN"``, ``"CVLN"``;
        * reliability (ai, mi, ni): ``"ARAW"``, ``"AHW"``, ``"ABT"``.
    data
        Any data frame; None where the columns are given as values.
    add, to
        The constant added to cells (by default 1/2; nothing for AS, PHI, IRSD, PAS, PFT, IRS and IRFT), and to which
        studies: ``"only0"``, those with a zero; ``"all"``; ``"if0all"``, all if one has a zero; ``"none"``.
    drop00
        Whether studies without events in either group, or with events only, get NaN.
    vtype
        Which sampling variance: ``"LS"`` (large samples), ``"LS2"``, ``"UB"`` (unbiased), ``"AV"`` (the average of all
        studies put in), ``"HO"``, ``"AVHO"`` (equal variances), ``"ST"`` or ``"CS"`` of PHI (fixed row totals, or a
        cross-section). One for all, or one for each row. None: the first of the measure.
    slab
        Labels of the studies: the name of a column or values; kept as a column ``slab``.
    var_names
        Names of the two new columns.
    **columns
        For each column of the measure the name of a column of `data`, values for its rows, or one number for all.

    Returns
    -------
    DataFrame
        `data` as pandas with yi and vi (and slab) added; rows and their index are those of `data`. Rows that lack a
        value have NaN.

    Raises
    ------
    OptionError
        An unknown measure, `vtype` or column; a column that is lacking.
    DataError
        Values that cannot be, by row: more events than people, a correlation beyond 1, a negative standard deviation,
        a size that is not whole.

    Warns
    -----
    NotEstimableWarning
        Complete rows that have no finite effect or variance, such as tables with empty cells where none are added to.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> trials = pd.DataFrame({"tpos": [4, 6], "tneg": [119, 300], "cpos": [11, 29], "cneg": [128, 274]})
    >>> mx.escalc("RR", trials, ai="tpos", bi="tneg", ci="cpos", di="cneg").round(4)
       tpos  tneg  cpos  cneg      yi      vi
    0     4   119    11   128 -0.8893  0.3256
    1     6   300    29   274 -1.5854  0.1946
    """
    entry = find_measure(measure)
    layout = LAYOUTS[entry.layout]
    check_option("to", to, ("only0", "all", "if0all", "none"))
    check_flag("drop00", drop00)
    add = constant(entry.add if add is None else add)
    given = {name: value for name, value in columns.items() if value is not None}
    check_columns(entry, layout, given)
    frame, labels = fetched(data, {**given, "slab": slab}, whole=True)
    read = {name: numbers(value, frame, labels, name) for name, value in given.items()}
    found = checked(layout, read)
    y, v = computed(entry, with_constant(layout, found, add, to, drop00), _vtypes(vtype, entry, frame, labels))
    known = np.all([np.isfinite(found[name]) for name in entry.needs], axis=0)
    lost = np.flatnonzero(known & np.isnan(y) & ~_dropped(layout, found, drop00))
    if len(lost):
        warnings.warn(
            f"{entry.name} or its variance is not defined in {some_rows(lost)} (counted from 0), and NaN there",
            NotEstimableWarning,
            outside(),
        )
    new = {var_names[0]: y, var_names[1]: v}
    if slab is not None:
        new["slab"] = values(slab, frame, labels, "slab")
    result = frame.assign(**new)
    if labels is not None:
        result.index = labels
    result.attrs["measure"] = entry.name  # a label of pictures, where pandas keeps it
    return result


def computed(entry: Measure, columns: Columns, vtypes: Any) -> tuple[Array, Array]:
    """(k,) estimates and (k,) variances; NaN where either is not finite, or the variance negative."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = np.asarray(entry.estimate(columns), dtype=np.float64)
        v = np.full(len(y), np.nan)
        for vtype in dict.fromkeys(np.atleast_1d(vtypes).tolist()):
            chosen = np.broadcast_to(np.asarray(vtypes) == vtype, y.shape)
            v[chosen] = entry.variances[vtype](columns, np.where(np.isfinite(y), y, np.nan))[chosen]
    finite = np.isfinite(y) & np.isfinite(v) & (v >= 0)
    return np.where(finite, y, np.nan), np.where(finite, v, np.nan)


def _vtypes(vtype: Any, entry: Measure, frame: pd.DataFrame, labels: pd.Index | None) -> Any:
    """One vtype, or (k,) of them, all known."""
    known = tuple(entry.variances)
    if vtype is None or (vtype == "LS" and isinstance(vtype, str)):
        return known[0]
    if isinstance(vtype, str) and vtype not in frame.columns:
        check_option("vtype", vtype, known)
        return vtype
    found = values(vtype, frame, labels, "vtype")
    for value in dict.fromkeys(found.tolist()):
        check_option("vtype", value, known)
    return found


def check_columns(entry: Measure, layout: Layout, given: dict[str, Any]) -> None:
    """Refuse columns that a measure does not have, and the lack of those that it needs."""
    for name in given:
        if name not in layout.rules:
            hint = nearest(name, layout.rules) or f"It takes {', '.join(layout.rules)}."
            raise OptionError(f"{entry.name} has no column {name!r}", hint=hint)
    have = set(given)
    for whole, part, other in layout.sums:
        if len(have & {whole, part, other}) >= 2:
            have |= {whole, part, other}
    lacking = [name for name in entry.needs if name not in have]
    if lacking:
        shown = ", ".join(f"{name}=" for name in layout.rules if name in entry.needs)
        alternatives = "; ".join(f"{whole}= may stand for {other}=" for whole, part, other in layout.sums)
        raise OptionError(
            f"{entry.name} ({entry.title}) needs {lacking[0]}=",
            hint=f"Give {shown}" + (f" ({alternatives})." if alternatives else "."),
        )


def _dropped(layout: Layout, found: Columns, drop00: bool) -> Any:
    dropped = np.zeros(len(next(iter(found.values()))), dtype=bool)
    for first, second in layout.none if drop00 else ():
        dropped |= (found[first] == 0) & (found[second] == 0)
    return dropped
