"""The design of a Bayesian model, from a formula and data."""

from __future__ import annotations

import warnings
from typing import Any

from mixedfx.design.design import Design
from mixedfx.errors import FewLevelsWarning, OptionError
from mixedfx.families.family import Family


def model_design(formula: str, data: Any, family: Family, *, stacklevel: int, **options: Any) -> Design:
    """Build the design; without the warnings that are about estimating a variance without a prior.

    Parameters
    ----------
    formula, data, family
        As in `mixedfx.bayes`.
    stacklevel
        Of warnings: 2 for the line that calls this function, 3 for the line that calls that.
    options
        More arguments of `mixedfx.design.build.build_design`.
    """
    from mixedfx.design.build import build_design
    from mixedfx.formula.parse import parse_formula

    parsed = parse_formula(formula)
    V = options.get("V")
    if V is not None and not family.known_sd:
        raise OptionError(
            f"V= is the covariance of sampling errors, and a response of the {family.name} family has none",
            hint="V= goes with family='gaussian' or 'student'.",
        )
    known = parsed.knows_errors or V is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        design = build_design(parsed, data, sigma_free=not known, family=family, **options)
    for each in caught:
        if not issubclass(each.category, FewLevelsWarning):
            warnings.warn(each.message, each.category, stacklevel)
    return design
