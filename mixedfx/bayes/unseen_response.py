"""Prior predictive draws before there are data: a plan of an experiment has predictors and groups, and no response.

A design needs a response; what stands in for it alternates between two values that the family may have. Nothing may
come of them: priors are resolved for two different scales of the response, and those that differ are refused, since
they would be in units of what stands in. The design of the fit then has a response of NaN.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.design.expressions import column_of, columns_read
from mixedfx.design.frame import column_names, opened, to_pandas
from mixedfx.design.two_designs import ZEROS, columns_of
from mixedfx.errors import DataError, OptionError
from mixedfx.families.facts import RowFacts
from mixedfx.families.family import Family
from mixedfx.formula.parse import expand_dot, parse_formula
from mixedfx.formula.part_formulas import zero_formula
from mixedfx.priors.resolve import ResolvedPriors, resolve
from mixedfx.priors.scales import ResponseScale, Scales
from mixedfx.priors.sets import PriorSet

# Tried in turn: counts and real numbers, positive ones, shares.
PAIRS = ((0.0, 1.0), (1.0, 2.0), (0.25, 0.75))


def read_once(formula: str, data: Any, env: Collection[str], beside: Collection[str]) -> Any:
    """The data, of a frame that is not pandas the columns that are needed: a query is answered once."""
    frame = opened(data)
    if isinstance(frame, pd.DataFrame):
        return data
    names = column_names(frame)
    parsed = expand_dot(parse_formula(formula), [c for c in names if isinstance(c, str)])
    used = [c for c in dict.fromkeys([*columns_read(parsed, env, names), *beside]) if c in names]
    return to_pandas(frame, used)


def columns_of_zeros(zi: Any, data: Any, env: Collection[str]) -> list[str]:
    """Columns of the data that the model of the zeros reads."""
    return columns_of(f"{ZEROS} {zero_formula(zi)}", column_names(opened(data)), env)


def standing_in(formula: str, data: Any, family: Family, env: Collection[str], beside: Collection[str]) -> Any:
    """The data with something in place of a response that is not there, is missing in all rows or does not vary.

    Parameters
    ----------
    formula, data, family
        As in `mixedfx.prior_predictive`.
    env
        Names of its `env`.
    beside
        Columns that are needed besides those of the formula.

    Returns
    -------
    DataFrame or None
        None where the response can be read, is no plain column, or is categories, whose number the model needs.
    """
    data = opened(data)
    names = column_names(data)
    parsed = expand_dot(parse_formula(formula), [c for c in names if isinstance(c, str)])
    name = column_of(parsed.response or "")
    if family.categories or not parsed.response or name not in columns_read(parsed, env, [*names, name]):
        return None
    if name in names:
        own = pd.Series(to_pandas(data, [name])[name])
        constant = family.continuous and own.nunique() == 1 and not parsed.knows_errors
        if own.notna().any() and not constant:
            return None
    used = [c for c in dict.fromkeys([*columns_read(parsed, env, [*names, name]), *beside]) if c != name]
    frame = to_pandas(data, used)
    for low, high in PAIRS:
        y = np.where(np.arange(len(frame)) % 2 == 0, low, high if family.continuous else low)
        try:
            family.check(y, RowFacts(np.ones(len(y))), np.arange(len(y)))
        except DataError:
            continue
        return frame.assign(**{name: y})
    return None


def resolve_without_response(priors: PriorSet, scales: Scales, name: str) -> ResolvedPriors:
    """The priors, none of which may be scaled by the response `name`.

    Raises
    ------
    OptionError
        Priors in units of the response, by parameter.
    """
    one, other = (
        resolve(priors, replace(scales, response=dict.fromkeys(scales.response, scale)))
        for scale in (ResponseScale(0.0, 1.0, 1.0), ResponseScale(11.0, 7.0, 7.0))
    )
    scaled = [a[0] for a, b in zip(one.described, other.described, strict=True) if a != b]
    if scaled:
        raise OptionError(
            f"the data have no response '{name}', or it is missing or the same in every row, so that priors need units "
            f"of their own: {', '.join(scaled)}",
            hint='Give them as numbers, priors={"intercept": mx.priors.normal(50, 10), ...}, or data with a response.',
        )
    return one


def without_response(fit: Any) -> Any:
    """The fit with NaN for its response, so that nothing is read from what stood in for it."""
    return replace(fit, design=_emptied(fit.design))


def _emptied(design: Design) -> Design:
    columns = design.columns.with_values(column_of(str(design.formula.response)), np.full(len(design.y), np.nan))
    zero = None if design.zero is None else _emptied(design.zero)
    return replace(design, y=np.full(len(design.y), np.nan), columns=columns, zero=zero)
