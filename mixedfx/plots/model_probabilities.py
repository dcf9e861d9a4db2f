"""Models by their posterior probability, with the prior probability of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfx.errors import DataError, check_count, check_option
from mixedfx.plots.style import COLOURS, COLUMN, FONT, GREY, align_left, fold, fold_to_axes, new_axes, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.21  # inches
CHARACTERS = 34  # of a label before it is folded


def model_probabilities(
    table: pd.DataFrame,
    *,
    label: str = "model",
    order: Literal["posterior", "table"] = "posterior",
    most: int = 20,
    xlabel: str = "probability of the model",
    title: str | None = None,
    width: float = 1.4 * COLUMN,
    ax: Axes | None = None,
) -> Axes:
    """Draw one bar for each model, and a line across it where its prior probability is.

    Parameters
    ----------
    table
        One row for each model: `label`, prior, posterior.
    label
        Column that names the models.
    order
        ``"posterior"``: most probable first. ``"table"``: as in the table.
    most
        Models drawn; the least probable ones besides are one bar together, below.
    xlabel, title
        Texts.
    width
        In inches; the height follows from the number of models.
    ax
        Axes to draw on; new ones where None.

    Raises
    ------
    DataError
        A table without rows or without a column that is needed; probabilities that are none.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.plots.model_probabilities import model_probabilities
    >>> table = pd.DataFrame({"model": ["no effect", "effect"], "prior": 0.5, "posterior": [0.2, 0.8]})
    >>> [text.get_text() for text in model_probabilities(table).get_yticklabels()]
    ['effect', 'no effect']
    """
    check_option("order", order, ("posterior", "table"))
    check_count("most", most)
    names, prior, posterior = _settle(table, label, order, most)
    step = LINE + 0.11 * max(name.count("\n") for name in names)
    axes = new_axes(width, step * len(names) + 0.85 + 0.2 * (title is not None)) if ax is None else ax
    plain(axes)
    at = np.arange(len(names))
    axes.barh(at, posterior, height=0.62, color=COLOURS[5], linewidth=0, zorder=2, label="posterior")
    axes.vlines(prior, at - 0.42, at + 0.42, color=COLOURS[1], linewidth=1.6, zorder=3, label="prior")
    axes.set_yticks(at, names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0.0, 1.06 * float(max(posterior.max(), prior.max())))
    right: Any = axes.secondary_yaxis("right")
    right.set_yticks(at, [_share(value) for value in posterior])
    right.tick_params(axis="y", labelsize=FONT - 1, length=0, pad=4)
    right.spines["right"].set_visible(False)
    for text in right.get_yticklabels():
        text.set_horizontalalignment("left")
        text.set_color(GREY)
    axes.set_xlabel(xlabel, fontsize=FONT)
    axes.legend(fontsize=FONT - 1, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2,
                borderaxespad=0.0, handlelength=1.2)  # fmt: skip
    if title:
        axes.set_title(title, fontsize=FONT + 1, loc="left", pad=18.0)
    if ax is None:
        align_left(axes)
        fold_to_axes(axes, width)
    return axes


def _settle(table: pd.DataFrame, label: str, order: str, most: int) -> tuple[list[str], Any, Any]:
    """Names, prior and posterior probabilities of the bars, top to bottom."""
    lacking = [column for column in (label, "prior", "posterior") if column not in table.columns]
    if lacking or len(table) == 0:
        what = f"a column {lacking[0]!r}; the table has {list(table.columns)}" if lacking else "a table with models"
        raise DataError(f"a picture of models needs {what}")
    values = table[["prior", "posterior"]].to_numpy(dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError("prior and posterior are probabilities, from 0 to 1")
    ranked = np.argsort(-values[:, 1], kind="stable")
    shown = ranked[:most] if len(ranked) > most + 1 else ranked
    rest = ranked[len(shown) :]
    if order == "table":
        shown = np.sort(shown)
    names = [fold(str(table[label].iloc[i]), CHARACTERS) for i in shown]
    prior, posterior = values[shown].T
    if len(rest):
        names.append(f"{len(rest)} others together")
        prior, posterior = (np.append(part, values[rest, k].sum()) for k, part in enumerate((prior, posterior)))
    return names, prior, posterior


def _share(value: float) -> str:
    """``"38.2 %"``; very small shares as such."""
    return "< 0.1 %" if 0 < value < 5e-4 else f"{100 * value:.1f} %"
