"""The kinds of data that effect sizes are computed from: which columns, what they may hold, what zero cells get.

A rule refuses values by row and says why. The constant that zero cells get (`add=`, `to=`) follows Cox (1970, The
Analysis of Binary Data): with 1/2 added to each cell the log odds ratio has the least bias; Sweeting, Sutton and
Lambert (2004, Statistics in Medicine 23(9)) compare others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.meta.measure import Array, Columns

To = Literal["only0", "all", "if0all", "none"]


@dataclass(frozen=True)
class Rule:
    """What a column may hold.

    Attributes
    ----------
    words
        What it is, for messages.
    allowed
        (k,) values -> (k,) whether they are possible; asked of known values only.
    must
        What they must be, as the end of a sentence.
    """

    words: str
    allowed: Callable[[Array], NDArray[np.bool_]]
    must: str


def _whole(least: int) -> Callable[[Array], NDArray[np.bool_]]:
    return lambda x: (x >= least) & (x == np.floor(x)) & np.isfinite(x)


COUNT = Rule("a number of people or events", _whole(0), "whole numbers from 0")
SIZE = Rule("a sample size", _whole(1), "whole numbers from 1")
SIZE_OF_SD = Rule("the size of a sample with a standard deviation", _whole(2), "whole numbers from 2")
TIME = Rule("a time at risk", lambda x: (x > 0) & np.isfinite(x), "positive")
SD = Rule("a standard deviation", lambda x: (x >= 0) & np.isfinite(x), "at least 0")
NUMBER = Rule("a number", lambda x: np.isfinite(x), "finite")
CORRELATION = Rule("a correlation", lambda x: np.abs(x) <= 1, "between -1 and 1")
ALPHA = Rule("a reliability", lambda x: (x <= 1) & np.isfinite(x), "at most 1")
ITEMS = Rule("a number of items", _whole(2), "whole numbers from 2")
PREDICTORS = Rule("a number of predictors", _whole(1), "whole numbers from 1")


@dataclass(frozen=True)
class Layout:
    """A kind of data.

    Attributes
    ----------
    rules
        Column -> what it may hold.
    sums
        (whole, part, other part): columns that add up, so that one may be given for another.
    cells
        Columns to which the constant is added where one of `zeros` is 0.
    zeros
        Columns whose zeros call for it.
    none
        Pairs of columns that are both zero in a study without events (or with events only).
    """

    rules: Mapping[str, Rule]
    sums: tuple[tuple[str, str, str], ...] = ()
    cells: tuple[str, ...] = ()
    zeros: tuple[str, ...] = ()
    none: tuple[tuple[str, str], ...] = field(default=())


_CELLS = ("ai", "bi", "ci", "di")

LAYOUTS: dict[str, Layout] = {
    "2x2 table": Layout(
        {**dict.fromkeys(_CELLS, COUNT), "n1i": SIZE, "n2i": SIZE},
        (("n1i", "ai", "bi"), ("n2i", "ci", "di")), _CELLS, _CELLS, (("ai", "ci"), ("bi", "di")),
    ),
    "two rates": Layout(
        {"x1i": COUNT, "x2i": COUNT, "t1i": TIME, "t2i": TIME},
        (), ("x1i", "x2i"), ("x1i", "x2i"), (("x1i", "x2i"),),
    ),
    "two groups": Layout(
        {"m1i": NUMBER, "m2i": NUMBER, "sd1i": SD, "sd2i": SD, "n1i": SIZE_OF_SD, "n2i": SIZE_OF_SD}
    ),
    "correlation": Layout({"ri": CORRELATION, "ni": SIZE}),
    "partial correlation": Layout({"ti": NUMBER, "ni": SIZE, "mi": PREDICTORS}),
    "proportion": Layout(
        {"xi": COUNT, "mi": COUNT, "ni": SIZE}, (("ni", "xi", "mi"),), ("xi", "mi"), ("xi", "mi")
    ),
    "rate": Layout({"xi": COUNT, "ti": TIME}, (), ("xi",), ("xi",)),
    "one group": Layout({"mi": NUMBER, "sdi": SD, "ni": SIZE_OF_SD}),
    "paired": Layout(
        {"m1i": NUMBER, "m2i": NUMBER, "sd1i": SD, "sd2i": SD, "ri": CORRELATION, "ni": SIZE_OF_SD}
    ),
    "reliability": Layout({"ai": ALPHA, "mi": ITEMS, "ni": SIZE}),
}  # fmt: skip


def checked(layout: Layout, columns: Columns) -> dict[str, Array]:
    """The columns, complete and possible.

    Parameters
    ----------
    layout
        The kind of data.
    columns
        Those given, (k,) each; NaN where a value is missing.

    Raises
    ------
    DataError
        A value that cannot be, naming the rows and the reason.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.meta.effect_sizes.layouts import LAYOUTS, checked
    >>> checked(LAYOUTS["proportion"], {"xi": np.array([3.0, 12.0]), "ni": np.array([10.0, 11.0])})
    Traceback (most recent call last):
    mixedfx.errors.DataError: xi is larger than ni in row 1 (counted from 0): 12 of 11
    More cannot have had the event than there were; correct the row.
    """
    for name, values in columns.items():
        rule = layout.rules[name]
        bad = np.flatnonzero(~np.isnan(values) & ~rule.allowed(np.where(np.isnan(values), 0.0, values)))
        if len(bad):
            raise DataError(
                f"{name} is {rule.words}, and {values[bad[0]]:g} in {some_rows(bad)} (counted from 0)",
                hint=f"Values of {name} are {rule.must}; correct the row or leave it out.",
            )
    found = dict(columns)
    for whole, part, other in layout.sums:
        for given, missing in ((part, other), (other, part)):
            if whole in found and given in found:
                _refuse_excess(given, whole, found[given], found[whole])
                if missing not in found:
                    found[missing] = found[whole] - found[given]
        if part in found and other in found:
            total = found[part] + found[other]
            if whole in found:
                known = np.isfinite(total) & np.isfinite(found[whole])
                bad = np.flatnonzero(known & (total != found[whole]))
                if len(bad):
                    raise DataError(
                        f"{part} and {other} do not add up to {whole} in {some_rows(bad)} (counted from 0)",
                        hint=f"Give two of the three: {part} and {whole}, say.",
                    )
    return found


def _refuse_excess(part: str, whole: str, of: Array, total: Array) -> None:
    bad = np.flatnonzero(of > total)
    if len(bad):
        raise DataError(
            f"{part} is larger than {whole} in {some_rows(bad)} (counted from 0): {of[bad[0]]:g} of {total[bad[0]]:g}",
            hint="More cannot have had the event than there were; correct the row.",
        )


def with_constant(layout: Layout, columns: Columns, add: float, to: To, drop00: bool) -> dict[str, Array]:
    """Columns with a constant added to cells, sums made anew; all cells NaN in studies that `drop00` leaves out.

    Parameters
    ----------
    layout
        The kind of data.
    columns
        Complete columns.
    add
        The constant.
    to
        ``"only0"``: studies that have a zero; ``"all"``; ``"if0all"``: all studies if one has a zero; ``"none"``.
    drop00
        Whether studies with no events, or events only, in both groups are left out.
    """
    found = dict(columns)
    if not layout.cells:
        return found
    k = len(next(iter(found.values())))
    dropped = np.zeros(k, dtype=bool)
    if drop00:
        for first, second in layout.none:
            dropped |= (found[first] == 0) & (found[second] == 0)
    zero = np.zeros(k, dtype=bool)
    for name in layout.zeros:
        zero |= found[name] == 0
    if to == "only0":
        chosen = zero
    elif to == "none":
        chosen = np.zeros(k, dtype=bool)
    else:
        chosen = np.full(k, to == "all" or bool(zero.any()))
    for name in layout.cells:
        found[name] = np.where(dropped, np.nan, found[name] + add * chosen)
    for whole, part, other in layout.sums:
        found[whole] = found[part] + found[other]
    return found


def constant(add: Any) -> float:
    """The constant to be added to cells.

    Raises
    ------
    OptionError
        It is no number from 0.
    """
    try:
        number = float(add)
    except (TypeError, ValueError):
        number = np.nan
    if not (np.isfinite(number) and number >= 0):
        raise OptionError(f"add={add!r} is no constant to add to cells", hint="Use a number from 0, such as 0.5.")
    return number
