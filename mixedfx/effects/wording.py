"""Sentences that error messages of this room share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mixedfx.design.frame import nearest
from mixedfx.design.labels import quoted


def listed(options: Iterable[Any]) -> str:
    """Return options in quotes, the first few where there are many.

    Examples
    --------
    >>> from mixedfx.effects.wording import listed
    >>> listed(["a", 2])
    "'a', '2'"
    """
    names = [str(o) for o in options]
    return quoted(names) if names else "none"


def did_you_mean(name: Any, options: Iterable[Any], *, all_of: str) -> str:
    """Return a hint of one line: the nearest options, or all of them where none is near.

    Examples
    --------
    >>> from mixedfx.effects.wording import did_you_mean
    >>> did_you_mean("BLACK", ["Asian", "Black"], all_of="Levels")
    "Did you mean 'Black'?"
    >>> did_you_mean("x", ["Asian", "Black"], all_of="Levels")
    "Levels: 'Asian', 'Black'."
    """
    names = [str(o) for o in options]
    return nearest(str(name), names) or f"{all_of}: {listed(names)}."
