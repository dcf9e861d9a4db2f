"""Forest plot of a meta-analysis: studies with intervals and weights, diamonds and prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain, plain_log_ticks, text_widths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.19  # inches
SPACE = 9.0  # points between the columns at the right
BELOW = 0.34  # lines from an estimate to its true effect


def study_forest(
    table: pd.DataFrame,
    pooled: pd.DataFrame,
    *,
    null: float | None = 0.0,
    log: bool = False,
    xlabel: str = "effect",
    digits: int = 2,
    width: float = 2 * COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw one line for each study and one for each pooled effect.

    Parameters
    ----------
    table
        label, estimate, conf_low, conf_high of the studies; weight (per cent) and group where there are such. Studies
        of a group stand below its heading. true, true_low and true_high, where there are such, are true effects behind
        the estimates, drawn as circles below them.
    pooled
        label, estimate, conf_low, conf_high, and pred_low, pred_high and group where there are such. Rows with a
        group stand below the studies of that group, all others at the end.
    null
        Where the line of no effect is; None for no line.
    log
        Whether the axis is logarithmic.
    xlabel
        Of the axis.
    digits
        Decimals of the numbers at the right.
    width
        In inches; the height follows from the lines.
    ax
        Axes to draw on; new ones where None.

    Raises
    ------
    DataError
        Without studies.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.study_forest import study_forest
    >>> columns = ["label", "estimate", "conf_low", "conf_high"]
    >>> studies = pd.DataFrame([("A", 0.2, 0.0, 0.4), ("B", 0.5, 0.1, 0.9)], columns=columns)
    >>> axes = study_forest(studies, pd.DataFrame([("Mean", 0.3, 0.1, 0.5)], columns=columns))
    >>> [text.get_text() for text in axes.get_yticklabels()]
    ['A', 'B', 'Mean']
    """
    if len(table) == 0:
        raise DataError("a forest plot needs studies, and the table has none")
    lines = _lines(table, pooled)
    predicted = any(kind != "heading" and np.isfinite(row.get("pred_low", np.nan)) for kind, row, _ in lines)
    shrunken = "true" in table
    notes = ["(green circles: true effects of these studies)"] * shrunken
    notes += ["(grey line: true effect of a new study)"] * predicted
    step = LINE * (1.25 if shrunken else 1.0)
    axes = new_axes(width, step * (len(lines) + 1) + 0.65 + 0.14 * len(notes)) if ax is None else ax
    plain(axes)
    if null is not None:
        axes.axvline(null, color=GREY, linewidth=0.8, zorder=1)
    weights = table["weight"].to_numpy() if "weight" in table else np.full(len(table), 100 / len(table))
    largest = float(weights.max())
    texts, shares = [], []
    studies = [(at, row) for at, (kind, row, _) in enumerate(lines) if kind == "study"]
    sizes = [2.5 + 4.5 * np.sqrt(float(row.get("weight", largest)) / largest) for _, row in studies]
    _intervals(axes, studies, ("conf_low", "estimate", "conf_high"), COLOURS[0], sizes, marker="s", color=COLOURS[0])
    if shrunken:
        true = [(at + BELOW, row) for at, row in studies]
        ring = {"marker": "o", "facecolors": "white", "edgecolors": COLOURS[2]}
        _intervals(axes, true, ("true_low", "true", "true_high"), COLOURS[2], [3.4] * len(true), **ring)
    for at, (kind, row, _) in enumerate(lines):
        if kind == "pooled":
            _diamond(axes, row, at)
        texts.append("" if kind == "heading" else _numbers(row, digits))
        share = np.nan if kind == "heading" else row.get("weight", np.nan)
        shares.append(f"{share:.1f} %" if np.isfinite(share) else "")
    axes.set_ylim(len(lines) - 0.3, -1.6)
    axes.set_yticks(range(len(lines)), [name for _, _, name in lines])
    for tick, (kind, _, _) in zip(axes.get_yticklabels(), lines, strict=True):
        if kind != "study":
            tick.set_fontweight("bold")
    columns = [["estimate [interval]", *texts]] + ([["weight", *shares]] if any(shares) else [])
    _right(axes, columns)
    if log:
        axes.set_xscale("log")
        plain_log_ticks(axes.xaxis)
    axes.set_xlabel("\n".join([xlabel, *notes]), fontsize=FONT)
    return axes


def _lines(table: pd.DataFrame, pooled: pd.DataFrame) -> list[tuple[str, Any, str]]:
    """Kind, row and label of each line, top to bottom."""
    lines: list[tuple[str, Any, str]] = []
    ends: Any = pooled
    if "group" in table:
        for group, part in table.groupby("group", sort=False, observed=True):
            lines.append(("heading", None, str(group)))
            lines += [("study", row, f"  {row['label']}") for _, row in part.iterrows()]
            if "group" in pooled:
                own: Any = pooled[pooled["group"] == group]
                lines += [("pooled", row, f"  {row['label']}") for _, row in own.iterrows()]
        if "group" in pooled:
            ends = pooled[pooled["group"].isna()]
    else:
        lines += [("study", row, str(row["label"])) for _, row in table.iterrows()]
    return [*lines, *(("pooled", row, str(row["label"])) for _, row in ends.iterrows())]


def _diamond(axes: Axes, row: Any, at: int) -> None:
    if "pred_low" in row.index and np.isfinite(row["pred_low"]):
        axes.plot(
            [row["pred_low"], row["pred_high"]], [at, at], color=GREY, linewidth=2.4, solid_capstyle="butt", zorder=2
        )
    x = [row["conf_low"], row["estimate"], row["conf_high"], row["estimate"]]
    axes.fill(x, [at, at - 0.28, at, at + 0.28], color=COLOURS[1], linewidth=0, zorder=3)


def _intervals(
    axes: Axes, rows: Sequence[tuple[float, Any]], names: tuple[str, str, str], colour: str, sizes: list[float],
    **marked: Any,
) -> None:  # fmt: skip
    """Intervals and estimates of all rows as two artists, since time goes by artists and not by what they hold."""
    at = np.array([one for one, _ in rows])
    low, middle, high = (np.array([row[name] for _, row in rows], dtype=np.float64) for name in names)
    axes.hlines(at, low, high, colors=colour, linewidth=1.0, zorder=2, capstyle="projecting")
    axes.scatter(middle, at, s=np.square(sizes), linewidths=1.0, zorder=3, **marked)


def _numbers(row: Any, digits: int) -> str:
    estimate, low, high = (_number(row[name], digits) for name in ("estimate", "conf_low", "conf_high"))
    return f"{estimate} [{low}, {high}]"


def _number(value: float, digits: int) -> str:
    """Rounded, with the minus of print, which zero has not."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _right(axes: Axes, columns: list[list[str]]) -> None:
    """Texts beside the lines, the first above them, in columns whose ends are below each other."""
    from matplotlib.transforms import ScaledTranslation

    figure: Any = axes.figure
    pad = 9.0
    for texts in columns:
        shown = [
            axes.text(
                1.0, at - 1, text, fontsize=FONT - 1, color="black" if at else GREY, va="center_baseline", ha="right",
                in_layout=False,
            )
            for at, text in enumerate(texts) if text
        ]  # fmt: skip
        widths = text_widths(axes, shown)
        pad += max(widths) * 72
        place = axes.get_yaxis_transform() + ScaledTranslation(pad / 72, 0, figure.dpi_scale_trans)
        for one in shown:
            one.set_transform(place)
        shown[int(np.argmax(widths))].set_in_layout(True)  # the only one that the room hangs on
        pad += SPACE
