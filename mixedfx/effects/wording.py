"""How a reader names things, and sentences that error messages of this room share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mixedfx.design.frame import nearest
from mixedfx.design.labels import level_label, quoted


@dataclass(frozen=True)
class Wording:
    """How a reader names things.

    Attributes
    ----------
    labels
        Column, level or subgroup -> what to write instead.
    unit
        Of the outcome: ``"points"``; empty for none.
    plural
        Whether the label of the treatment is a plural: "small classes raise".
    """

    labels: Mapping[Any, str]
    unit: str = ""
    plural: bool = False

    def name(self, text: Any) -> str:
        """A name as the reader has it."""
        return str(self.labels.get(text, self.labels.get(str(text), level_label(text))))


PLAIN = Wording({})


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
