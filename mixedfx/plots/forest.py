"""Forest plot: one line for each estimate, with two intervals, the number of rows behind it, and the null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from mixedfx.errors import DataError, check_option
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, MARKERS, align_left, fold, fold_to_axes, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What stands in a column of a table for "summed over this column".
EVERY = "(all)"
# Inches that one line takes.
LINE = 0.19
# Characters of the label font in one inch, and the share of the width that labels may take before they are folded.
CHARACTERS = 17
LABEL_SHARE = 0.45
# Lines beyond which all is smaller; inches of a line, and points of its label, there.
DENSE = 40
DENSE_LINE = 0.125
DENSE_FONT = 7.0
# Before a label below a heading.
INDENT = "   "


@dataclass(frozen=True)
class _Line:
    """One line of the picture: a heading (no rows), or a label with the rows of the table drawn on it."""

    label: str
    rows: tuple[int, ...] = ()


def forest(
    table: pd.DataFrame,
    *,
    labels: str | Sequence[str] | None = None,
    colour: str | None = None,
    group: bool | None = None,
    order: Literal["table", "estimate", "n"] = "table",
    sort: Literal["effect", "n"] | None = None,
    level: float | None = None,
    null: float | None = None,
    xlabel: str | None = None,
    title: str | None = None,
    width: float = COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates with a thick 50 % interval, a thin interval, and the number of rows at the right.

    Parameters
    ----------
    table
        One row for each estimate, in units of the response: columns estimate, lower, upper; and n, null, sd where
        there. The 50 % interval is in lower_50 and upper_50, or else normal, from sd; it is left out where there is
        neither.
    labels
        Columns that name a line; all text columns before `estimate` where None.
    colour
        Column whose values share a line and differ in colour and marker; `contrast` where it has several values.
    group
        Whether the first of several label columns is a heading above its lines; True where it repeats, if None. Rows
        of several margins stand under the name of their margin, if None.
    order
        ``"table"``: as in the table. ``"estimate"``, ``"n"``: largest first (within a heading).
    sort
        The same in a reader's words, ``"effect"`` or ``"n"``; `order` where None.
    level
        Probability the thin interval holds, for the axis label; ``table.attrs["level"]`` where None.
    null
        Where the line of no effect is drawn; the column `null` where None.
    xlabel, title
        Texts.
    width
        In inches; the height follows from the number of lines, which are set more densely beyond forty. 3.5 is one
        column of a page.
    ax
        Axes to draw in; new ones on a figure of their own where None.

    Returns
    -------
    Axes
        Of ``axes.figure``; save with ``axes.figure.savefig("forest.png")``.

    Raises
    ------
    DataError
        A table without rows or without a column that is needed.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.forest import forest
    >>> table = pd.DataFrame({"race": ["Black", "White"], "estimate": [6.0, 9.0], "sd": [2.0, 1.0],
    ...                       "lower": [2.1, 7.0], "upper": [9.9, 11.0], "n": [1800, 3900]})
    >>> axes = forest(table, xlabel="effect of small classes")
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['Black', 'White']
    """
    names, colour, level, null = _settle(table, labels, colour, level, null)
    if sort is not None:
        check_option("sort", sort, ("effect", "n"))
        order = "estimate" if sort == "effect" else "n"
    lines = _lines(table, names, colour, group, order)
    dense = len(lines) > DENSE
    series = list(dict.fromkeys(table[colour])) if colour else [None]
    texts = [_folded(line.label, int(LABEL_SHARE * width * CHARACTERS)) for line in lines]
    # Several estimates on a line, or a label of several lines, need more height.
    folds = max(text.count("\n") + 1 for text in texts)
    step = max(LINE, 0.14 * len(series), 0.13 * folds + 0.04)
    if dense:
        step = max(DENSE_LINE, 0.075 * len(series), 0.12 * folds + 0.01)
    own = ax is None
    if ax is None:
        height = step * len(lines) + 0.62 + 0.2 * (title is not None)
        axes = new_axes(width, height + (0.18 * len(_legend_rows(series, width)) if colour else 0.0))
    else:
        axes = ax
    plain(axes)
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=1.0, linestyle=(0, (4, 2)), zorder=1)
    for at, line in enumerate(lines):
        for row in line.rows:
            k = series.index(table[colour].iloc[row]) if colour else 0
            shift = (k - (len(series) - 1) / 2) * min(0.26, 0.8 / len(series))
            _draw(axes, table.iloc[row], at + shift, k, 0.62 if dense else 1.0)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), texts)
    if dense:
        axes.tick_params(axis="y", labelsize=DENSE_FONT)
    for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
        if not line.rows:
            tick.set_fontweight("bold")
    _show_n(axes, table, lines, FONT - 1)
    _tidy_ticks(axes)
    axes.set_xlabel(_axis_text(xlabel, level), fontsize=FONT)
    if title is not None:
        axes.set_title(title, fontsize=FONT + 1, loc="left")
    if colour:
        _legend(axes, series, width, own=own, below=title is not None)
    if own:
        align_left(axes)
        fold_to_axes(axes, width)
    return axes


def _settle(
    table: pd.DataFrame, labels: str | Sequence[str] | None, colour: str | None, level: float | None, null: float | None
) -> tuple[list[str], str | None, float | None, float | None]:
    """Settle what the arguments leave open, from the table."""
    for column in ("estimate", "lower", "upper"):
        if column not in table.columns:
            raise DataError(f"a forest plot needs a column {column!r}; the table has {list(table.columns)}")
    if len(table) == 0:
        raise DataError("a forest plot needs a table with rows")
    if labels is None:
        before = list(table.columns)[: list(table.columns).index("estimate")]
        names = [c for c in before if c not in ("contrast", "margin", "n", "weight", "n_against", "weight_against")]
    else:
        names = [labels] if isinstance(labels, str) else list(labels)
        names = [c for c in names if c != "margin"]
    for column in (*names, *([colour] if colour else [])):
        if column not in table.columns:
            raise DataError(f"the table has no column {column!r}; it has {list(table.columns)}")
    if colour is None and "contrast" in table.columns and len(set(table["contrast"])) > 1:
        colour = "contrast"
    if null is None and "null" in table.columns:
        null = float(table["null"].to_numpy()[0])
    if level is None:
        level = table.attrs.get("level")
    return names, colour, level, null


def _lines(table: pd.DataFrame, names: list[str], colour: str | None, group: bool | None, order: str) -> list[_Line]:
    """Group rows that share a line, order the lines, put headings above them."""
    keys = [tuple(str(v) for v in row) for row in table[names].itertuples(index=False)]
    rows: dict[tuple[str, ...], list[int]] = {}
    for i, key in enumerate(keys):
        # Without a colour, rows of the same name are lines of their own.
        rows.setdefault(key if colour else (*key, str(i)), []).append(i)
    blocks = [tuple(r) for r in rows.values()]
    if order in ("estimate", "n"):
        if order not in table.columns:
            raise DataError(f"order={order!r} needs a column {order!r}")
        values = table[order].to_numpy(dtype=float)
        blocks.sort(key=lambda r: -values[list(r)].max())
    elif order != "table":
        raise DataError(f"order={order!r} is not known", hint="Use 'table', 'estimate' or 'n'.")
    if "margin" in table.columns and group is None and len(set(table["margin"])) > 1:
        margin = table["margin"].astype(str).to_numpy()
        lines = []
        for name in dict.fromkeys(margin):
            own = [r for r in blocks if margin[r[0]] == name]
            alone = len(own) == 1 and _text(keys[own[0][0]]) == "overall"
            lines += [] if alone else [_Line(f"by {' and '.join(name.split(':'))}")]
            lines += [_Line(("" if alone else INDENT) + _text(keys[r[0]]), r) for r in own]
        return lines
    crossed = len(names) > 1 and all(EVERY not in key for key in keys)
    firsts = [keys[r[0]][0] for r in blocks] if names else []
    if group is None:
        group = crossed and "against" not in names and len(set(firsts)) < len(firsts)
    if not group or not crossed:
        return [_Line(_text(keys[r[0]]), r) for r in blocks]
    lines = []
    for first in dict.fromkeys(firsts):
        lines.append(_Line(first))
        lines += [_Line(INDENT + _text(keys[r[0]][1:]), r) for r in blocks if keys[r[0]][0] == first]
    return lines


def _text(key: tuple[str, ...]) -> str:
    named = [part for part in key if part != EVERY]
    return ", ".join(named) if named else "overall"


def _folded(label: str, characters: int) -> str:
    indent = INDENT if label.startswith(INDENT) else ""
    return indent + fold(label.strip(), characters).replace("\n", "\n" + indent)


def _sign(k: int) -> tuple[str, str]:
    """Colour and marker of a series; where colours begin anew, markers are one further on."""
    return COLOURS[k % len(COLOURS)], MARKERS[(k + k // len(COLOURS)) % len(MARKERS)]


def _draw(axes: Axes, row: pd.Series, at: float, k: int, scale: float = 1.0) -> None:
    colour, marker = _sign(k)
    thin: dict[str, Any] = {"color": colour, "linewidth": 1.1 * scale, "solid_capstyle": "butt"}
    axes.plot([row["lower"], row["upper"]], [at, at], zorder=2, **thin)
    inner = None
    if "lower_50" in row.index and "upper_50" in row.index:
        inner = [row["lower_50"], row["upper_50"]]
    elif "sd" in row.index:
        half = NormalDist().inv_cdf(0.75) * row["sd"]
        inner = [row["estimate"] - half, row["estimate"] + half]
    if inner is not None:
        thick: dict[str, Any] = thin | {"linewidth": 3.2 * scale}
        axes.plot(inner, [at, at], zorder=3, **thick)
    axes.plot(
        [row["estimate"]],
        [at],
        marker,
        color=colour,
        markersize=4.6 * (1 + scale) / 2,
        markeredgecolor="white",
        markeredgewidth=0.7 * scale,
        zorder=4,
    )


def _show_n(axes: Axes, table: pd.DataFrame, lines: list[_Line], size: float) -> None:
    """Write the number of rows behind each line at the right, as the labels of a second axis."""
    if "n" not in table.columns:
        return
    n = table["n"].to_numpy()
    right: Any = axes.secondary_yaxis("right")
    shown = [f"{n[line.rows[0]]:,}" if line.rows else "" for line in lines]
    right.set_yticks(range(len(lines)), shown)
    right.tick_params(axis="y", labelsize=size, length=0, labelcolor=GREY, pad=2)
    right.spines["right"].set_visible(False)
    axes.annotate(
        "n",
        xy=(1, 1),
        xycoords="axes fraction",
        xytext=(4, 1),
        textcoords="offset points",
        fontsize=FONT - 1,
        fontstyle="italic",
        color=GREY,
        annotation_clip=False,
    )


def _tidy_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def _axis_text(xlabel: str | None, level: float | None) -> str:
    which = "thick line: 50 % interval" if level is None else f"50 and {100 * level:g} % intervals"
    return f"{xlabel}\n({which})" if xlabel else which


def _legend_rows(series: Sequence[Any], width: float) -> list[list[Any]]:
    """Distribute the entries over as many rows as the width asks for."""
    room, rows, used = 13.0 * width, [[]], 0.0
    for entry in series:
        needed = len(str(entry)) + 5
        if rows[-1] and used + needed > room:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += needed
    return rows


def _legend(axes: Axes, series: Sequence[Any], width: float, *, own: bool, below: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.1)
        for colour, marker in map(_sign, range(len(series)))
    ]
    names = [str(s) for s in series]
    if not own:  # where there is room in somebody else's figure is for them to say
        axes.legend(handles, names, fontsize=FONT - 1, frameon=False)
        return
    axes.figure.legend(
        handles,
        names,
        loc="outside lower left" if below else "outside upper left",
        ncols=max(len(row) for row in _legend_rows(series, width)),
        fontsize=FONT - 1,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.0,
        borderaxespad=0.2,
    )
