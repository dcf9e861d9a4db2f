"""`plot_groups`: the data behind a formula before any model is fitted, with the roles that the formula gives them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.build import build_design
from mixedfx.design.design import Design
from mixedfx.design.frame import column
from mixedfx.errors import MixedfxWarning, OptionError
from mixedfx.plots.picture import Picture


def plot_groups(formula: str, data: Any, group: str | None = None, panel: str | None = None, **options: Any) -> Picture:
    """Draw the data as the formula sees them: rows as points, groups as means, levels of a factor as panels.

    Nothing is fitted. Look at it before the model: how far apart are the panels, and how far apart are the groups
    within each?

    Parameters
    ----------
    formula
        As for `mixedfx.lmer`: ``"score ~ style + (1 | professor)"``.
    data
        Any frame narwhals understands.
    group
        Grouping factor whose means are drawn; the first of the formula where None.
    panel
        Column whose levels are panels; the first factor of the fixed part where None.
    **options
        Of `mixedfx.plots.group_panels.group_panels`: `width`, `height`, `seed`.

    Returns
    -------
    Picture
        Shows itself in a notebook; ``.save("groups.png")``.

    Raises
    ------
    OptionError
        A grouping factor that the formula does not have, or a panel with more levels than can be panels.

    Examples
    --------
    >>> import mixedfx as mx
    >>> course = mx.datasets.load("flipped_classroom")
    >>> picture = mx.plot_groups("score ~ style + (1 | professor)", course)
    >>> len(picture.axes)
    3
    """
    from mixedfx.plots.group_panels import group_panels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # of a model that is not fitted here
        design = build_design(formula, data)
    labels = [term.label for term in design.random]
    if group is not None and group not in labels:
        raise OptionError(
            f"the formula has no grouping factor {group!r}", hint=f"It has {', '.join(labels) or 'none'}."
        )
    label = group if group is not None else (labels[0] if labels else None)
    levels = np.full(len(design.y), "all rows", dtype=object)
    if label is not None:
        term = design.random[labels.index(label)]
        levels = np.asarray([str(level) for level in term.levels], dtype=object)[term.codes]
    panel = _panel(design) if panel is None else panel
    panels: Any = pd.Series([""] * len(design.y))
    if panel is not None:
        panels = column(design.frame, panel).reset_index(drop=True)
        if panels.nunique() > MOST:
            raise OptionError(
                f"{panel!r} has {panels.nunique()} values, too many for panels", hint="Name a factor: panel=..."
            )
    table = pd.DataFrame({"y": design.y, "group": levels, "panel": panels})
    return Picture(group_panels(table, response=design.response_name, group=label, panel=panel, **options))


MOST = 16  # panels


def _panel(design: Design) -> str | None:
    """The first factor of the fixed part that is a column of the data."""
    for term in design.terms.fixed:
        for variable in term.product:
            if len(variable.columns) == 1 and (variable.categorical or _few(design, variable.columns[0])):
                return variable.columns[0]
    return None


def _few(design: Design, name: str) -> bool:
    """Whether a numeric column has two values, as a treatment has."""
    return name in design.frame.columns and column(design.frame, name).nunique() == 2
