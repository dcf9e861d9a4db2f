"""All effect size measures by name."""

from __future__ import annotations

from mixedfx.errors import OptionError
from mixedfx.meta.effect_sizes.measures_correlations import CORRELATIONS, ONE_GROUP, RELIABILITY
from mixedfx.meta.effect_sizes.measures_means import MEANS
from mixedfx.meta.effect_sizes.measures_tables import TABLES
from mixedfx.meta.measure import Measure

MEASURES: dict[str, Measure] = {**TABLES, **MEANS, **CORRELATIONS, **ONE_GROUP, **RELIABILITY}


def find_measure(name: object) -> Measure:
    """The measure of a name.

    Raises
    ------
    OptionError
        Lists the measures there are.

    Examples
    --------
    >>> from mixedfx.meta.effect_sizes.measures import find_measure
    >>> find_measure("RR").title
    'log risk ratio'
    """
    found = MEASURES.get(name) if isinstance(name, str) else None
    if found is None:
        raise OptionError(f"measure={name!r} is not known", hint=f"Use one of {', '.join(MEASURES)}.")
    return found
