"""One plausible value, or their mean, taken for a measurement: asked about where the data show it.

PISA, NAEP and PIAAC call them PV1MATH ... PV10MATH, TIMSS and PIRLS BSMMAT01 ... BSMMAT05.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import PlausibleValueWarning, outside

NAME = re.compile(
    r"(?P<head>(?i:(?:.*[_.])?pv)|[ABPN]S[MSRNG][A-Z]{3})(?P<number>0?[1-9]|[1-9]\d)(?P<tail>[A-Za-z_.][\w.]*|)$"
)


def families(names: Any) -> dict[tuple[str, str], list[str]]:
    """Columns by what they are plausible values of: those that differ in their number alone, at least two.

    Examples
    --------
    >>> from mixedfx.surveys.plausible import families
    >>> families(["PV1MATH", "PV2MATH", "PV1READ", "ses"])
    {('PV', 'MATH'): ['PV1MATH', 'PV2MATH']}
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        match = NAME.match(name) if isinstance(name, str) else None
        if match is not None:
            found.setdefault((match["head"], match["tail"]), []).append(name)
    return {key: columns for key, columns in found.items() if len(columns) > 1}


def warn_plausible(design: Design, data: Any) -> None:
    """Ask about a response that is one of several plausible values, or their mean (PlausibleValueWarning)."""
    if type(data).__name__ != "DataFrame":  # a lazy frame is not asked for its columns once more
        return
    for columns in families(list(data.columns)).values():
        written = f"[{columns[0]}:{columns[-1]}] ~ ..."
        if design.response_name in columns:
            what = f"{design.response_name} is one of {len(columns)} plausible values"
        elif _is_mean(design, data, columns):
            ends = f"{columns[0]} to {columns[-1]}"
            what = f"{design.response_name} is the mean of {len(columns)} plausible values ({ends})"
        else:
            continue
        warnings.warn(
            f"{what}: draws of what is not known of a person, whose differences belong to the uncertainty. "
            f"Fit them all: {written}",
            PlausibleValueWarning,
            outside(),
        )


def _is_mean(design: Design, data: Any, columns: list[str]) -> bool:
    """Whether the response is, row by row, the mean of these columns."""
    if not isinstance(data, pd.DataFrame) or not all(pd.api.types.is_numeric_dtype(data[c]) for c in columns):
        return False
    first = data[columns].iloc[design.rows.used[:50]].to_numpy(dtype=float).mean(axis=1)
    return bool(np.allclose(first, design.y[:50], rtol=1e-6, atol=0.0))
