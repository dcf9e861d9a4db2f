"""How a column name is written in a formula."""

from __future__ import annotations

import re


def quote(name: str) -> str:
    """Put a column name in backticks where it is not a plain word.

    Parameters
    ----------
    name
        A column name, without backticks in it.

    Examples
    --------
    >>> from mixedfx.formula.names import quote
    >>> quote("school"), quote("my school"), quote("score.2")
    ('school', '`my school`', '`score.2`')
    """
    return name if re.fullmatch(r"[^\W\d]\w*", name) and not name.startswith("__") else f"`{name}`"
