"""Whether a call asks for several data sets, or should: nothing else is imported where it does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixedfx.design.design import Design

TWO = re.compile(r"(?i:pv)0?2|[ABPN]S[MSRNG][A-Z]{3}02")


def is_several(formula: Any, responses: Any, imputations: Any) -> bool:
    """Whether a call asks for several data sets."""
    return (
        responses is not None or imputations is not None or (isinstance(formula, str) and formula.lstrip()[:1] == "[")
    )


def check_plausible(design: Design, data: Any) -> None:
    """Warn where the response is one of several plausible values, or their mean (`PlausibleValueWarning`)."""
    if _may_be_plausible(data):
        from mixedfx.surveys.plausible import warn_plausible

        warn_plausible(design, data)


def _may_be_plausible(data: Any) -> bool:
    """Whether the data have columns that are called as plausible values are: a second one of some kind."""
    columns = getattr(data, "columns", ()) if type(data).__name__ == "DataFrame" else ()
    return any(isinstance(name, str) and "2" in name and TWO.search(name) is not None for name in columns)
