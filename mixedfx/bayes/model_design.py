"""The design of a Bayesian model, from a formula and data."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from mixedfx.design.design import Design
from mixedfx.design.two_designs import two_designs
from mixedfx.errors import FewLevelsWarning, OptionError
from mixedfx.families.family import Family
from mixedfx.families.registry import find_family, find_two_parts
from mixedfx.formula.part_formulas import zero_formula


def model_family(family: str | Family, zi: Any) -> Family:
    """The family that ``family=`` and ``zi=`` ask for.

    Raises
    ------
    OptionError
        One that is not known; a model of the zeros beside a family that has none, or none beside one that needs it.
    """
    found = find_two_parts(family, zi)
    return find_family(family) if found is None else found


def model_design(
    formula: str, data: Any, family: Family, *, stacklevel: int, zi: Any = None, **options: Any
) -> Design:  # fmt: skip
    """Build the design; without the warnings that are about estimating a variance without a prior.

    Parameters
    ----------
    formula, data, family, zi
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
    given = {"formula": parsed, "data": data, "sigma_free": not known, "family": family, **options}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if zi is None:
            design = build_design(**given)
        else:
            count, zero = two_designs(given, zero_formula(zi))
            design = replace(count, zero=zero)
    for each in caught:
        if not issubclass(each.category, FewLevelsWarning):
            warnings.warn(each.message, each.category, stacklevel)
    return design
