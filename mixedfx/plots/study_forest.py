"""Forest plot of a meta-analysis: studies with intervals and weights, diamonds and prediction intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, new_axes, plain, plain_log_ticks, text_width

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
    for at, (kind, row, _) in enumerate(lines):
        if kind == "study":
            size = 2.5 + 4.5 * np.sqrt(float(row.get("weight", largest)) / largest)
            axes.plot([row["conf_low"], row["conf_high"]], [at, at], color=COLOURS[0], linewidth=1.0, zorder=2)
            axes.plot([row["estimate"]], [at], "s", color=COLOURS[0], markersize=size, zorder=3)
            if shrunken:
                _true_effect(axes, row, at + BELOW)
        elif kind == "pooled":
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


def _true_effect(axes: Axes, row: Any, at: float) -> None:
    axes.plot([row["true_low"], row["true_high"]], [at, at], color=COLOURS[2], linewidth=1.0, zorder=2)
    axes.plot(
        [row["true"]], [at], "o", markerfacecolor="white", markeredgecolor=COLOURS[2], markersize=3.4, zorder=3
    )  # fmt: skip


def _numbers(row: Any, digits: int) -> str:
    estimate, low, high = (_number(row[name], digits) for name in ("estimate", "conf_low", "conf_high"))
    return f"{estimate} [{low}, {high}]"


def _number(value: float, digits: int) -> str:
    """Rounded, with the minus of print, which zero has not."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _right(axes: Axes, columns: list[list[str]]) -> None:
    """Texts beside the lines, the first above them, in columns whose ends are below each other."""
    pad = 9.0
    for texts in columns:
        right: Any = axes.secondary_yaxis("right")
        right.set_yticks(range(-1, len(texts) - 1), texts)
        right.tick_params(axis="y", labelsize=FONT - 1, length=0, labelcolor="black")
        right.spines["right"].set_visible(False)
        labels = right.get_yticklabels()
        pad += text_width(axes, *labels) * 72
        right.tick_params(axis="y", pad=pad)
        for label in labels:
            label.set_horizontalalignment("right")
        labels[0].set_color(GREY)
        pad += SPACE
