"""Families in the heads of files: a name, a link, and values of parameters that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mixedfx.families.family import Family
from mixedfx.families.registry import family
from mixedfx.priors.auxiliary import AUXILIARY


def read_family(name_and_link: Sequence[str], held: Mapping[str, float]) -> Family:
    """The family with its link and with what is known of it.

    Raises
    ------
    OptionError
        A family or a link that there is not.
    ValueError
        A parameter that the family does not have, or a value that it cannot have.
    """
    kind = family(*name_and_link)
    for name, value in held.items():
        if name not in kind.auxiliary:
            raise ValueError(f"{kind.name} has no parameter {name!r:.60} that could be known")
        lower, upper = AUXILIARY[name].bounds
        if not (lower < value < upper and np.isfinite(value)):
            raise ValueError(f"{name} is known to be {value!r:.60}, which it cannot be")
    return replace(kind, held=tuple((name, float(value)) for name, value in held.items()))
