"""Interactions as ready-made columns, for packages whose formulas do not take them everywhere.

A product of numeric columns is the same regressor under a name of its own. Making it beforehand is not timed, so a
package loses nothing by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Unknown = Callable[[str, bool], bool]


def spell(task: dict[str, Any], unknown: Unknown) -> tuple[str, dict[str, str]]:
    """Write the formula without interactions that a package does not know.

    Parameters
    ----------
    task
        The task of the worker.
    unknown
        Whether an interaction ``"a:b"`` has to be replaced, given whether it stands in a random term.

    Returns
    -------
    tuple
        The formula, and the columns that must be made: interaction -> name.
    """
    made: dict[str, str] = {}

    def name(column: str, random: bool) -> str:
        if ":" not in column or not unknown(column, random):
            return column
        made[column] = column.replace(":", "_")
        return made[column]

    # Random terms first: what is replaced there is replaced among the fixed effects too.
    terms = [
        f"({' + '.join(['1', *(name(slope, True) for slope in slopes)])} | {group})" for group, slopes in task["terms"]
    ]
    fixed = [made.get(column) or name(column, False) for column in task["fixed"]]
    return f"{task['response']} ~ {' + '.join(['1', *fixed, *terms])}", made


def add_products(frame: Any, task: dict[str, Any], unknown: Unknown) -> Any:
    """Give a frame with the columns that `spell` asks for."""
    made = spell(task, unknown)[1]
    return frame.assign(**{new: frame[old.split(":")].prod(axis=1) for old, new in made.items()}) if made else frame
