"""Whether a call asks for several data sets: nothing else is imported where it does not."""

from __future__ import annotations

from typing import Any


def is_several(formula: Any, responses: Any, imputations: Any) -> bool:
    """Whether a call asks for several data sets."""
    return (
        responses is not None or imputations is not None or (isinstance(formula, str) and formula.lstrip()[:1] == "[")
    )
