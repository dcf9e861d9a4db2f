"""All effect size measures by name."""

from __future__ import annotations

from mixedfx.errors import OptionError
from mixedfx.meta.measure import Measure
from mixedfx.meta.measures_correlations import CORRELATIONS, ONE_GROUP, RELIABILITY
from mixedfx.meta.measures_means import MEANS
from mixedfx.meta.measures_tables import TABLES

MEASURES: dict[str, Measure] = {**TABLES, **MEANS, **CORRELATIONS, **ONE_GROUP, **RELIABILITY}


def find_measure(name: object) -> Measure:
    """The measure of a name.

    Raises
    ------
    OptionError
        Lists the measures there are.

    Examples
    --------
    >>> from mixedfx.meta.measures import find_measure
    >>> find_measure("RR").title
    'log risk ratio'
    """
    found = MEASURES.get(name) if isinstance(name, str) else None
    if found is None:
        raise OptionError(f"measure={name!r} is not known", hint=f"Use one of {', '.join(MEASURES)}.")
    return found
