"""Identifiers taken for numbers: ``y ~ school + ...`` with schools numbered 1 to 80 fits one slope over their numbers.

A whole number with more than two values is asked about where it stands as a number, that is with a coefficient per
unit, and its name is that of an identifier (``id``, ``school``, ``professor_id``, ...). Nothing is decided: years, ages
and doses are whole numbers too, and the model is fitted as it is written. A number that is a grouping factor elsewhere
in the formula is left alone, as in ``year + (1 | year)``: whoever writes that knows both of its roles.
"""

from __future__ import annotations

import re
import warnings

import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.frame import column
from mixedfx.errors import IdentifierSlopeWarning, outside

NAMES = (
    "batch|center|centre|city|class|classroom|clinic|cluster|county|country|court|district|doctor|employee|family|"
    "firm|group|herd|hospital|household|id|identifier|interviewer|item|judge|lab|laboratory|litter|nurse|patient|person|"
    "plot|precinct|professor|province|pupil|rater|region|respondent|school|site|state|store|student|study|subject|teacher|"
    "therapist|trial|village|ward|zip|zipcode"
)
IDENTIFIER = re.compile(
    rf"^(?i:(?:.*[_. ])?(?:{NAMES})(?:[_. ]?(?:id|no|nr|num|number|code))?)$|.*(?:[a-z]I[Dd]|[_.]id)$"
)


def identifier_slopes(design: Design) -> tuple[str, ...]:
    """Columns of whole numbers that look like identifiers and stand as numbers in the fixed part or a left side.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.build import build_design
    >>> from mixedfx.design.identifiers import identifier_slopes
    >>> data = pd.DataFrame({"y": [1.0, 3.0, 2.0, 5.0], "professor": [1, 2, 3, 4], "age": [31, 40, 52, 60]})
    >>> identifier_slopes(build_design("y ~ age + C(professor > 2)", data))
    ()
    """
    named = {name for name, kind in design.spec.kinds.items() if kind == "number" and IDENTIFIER.match(name)}
    named -= {c for random in design.spec.random for c in random.grouping.columns}
    if not named:  # nearly always: what the terms read is worked out for nobody
        return ()
    terms = design.terms
    sides = (terms.fixed, *(random.left for random in terms.random))
    variables = (v for side in sides for term in side for v in term.product)
    found = dict.fromkeys(v.text for v in variables if v.plain and not v.categorical and v.text in named)
    return tuple(name for name in found if _many_whole(column(design.frame, name)))


def _many_whole(values: pd.Series) -> bool:
    return values.dtype.kind in "iu" and values.nunique() > 2


def warn_identifiers(design: Design) -> None:
    """Ask about numbers that may be names (IdentifierSlopeWarning)."""
    for name in identifier_slopes(design):
        values = column(design.frame, name)
        warnings.warn(
            f"{name!r} is a whole number and enters as one: a single slope over its {values.nunique()} values "
            f"({values.min()} to {values.max()}). Are these names of groups? Then write C({name}) for a coefficient "
            f"each, or (1 | {name}) for a random intercept; else all is well.",
            IdentifierSlopeWarning,
            outside(),
        )
