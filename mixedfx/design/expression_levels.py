"""Levels of expressions, such as ``C(year)`` or ``x > 3``, when rows are read in batches: found by one more reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.expressions import Scope, evaluate
from mixedfx.design.first_pass import MOST_LEVELS, Learnt, used_rows
from mixedfx.design.frame import plain
from mixedfx.design.parts import Part
from mixedfx.design.streams import Stream
from mixedfx.errors import DataError

Array = NDArray[np.float64]


def expressions_with_levels(parts: Sequence[Part], sample: pd.DataFrame) -> tuple[str, ...]:
    """Expressions that make levels, other than columns that are levels themselves: ``C(year)``, ``x > 3``."""
    return tuple(dict.fromkeys(e for p in parts for e in p.levels if e not in sample.columns))


def with_levels(
    coded: Sequence[str], learnt: Learnt, stream: Stream, columns: Sequence[str], weights: str | None,
    na: Literal["drop", "raise"], scope: Scope,
) -> tuple[pd.DataFrame, Array | None]:  # fmt: skip
    """The sample with a row for each level of these expressions, found by reading the rows once more."""
    known: dict[str, set[Any]] = {e: set() for e in coded}
    more: list[pd.DataFrame] = [learnt.sample]
    more_weights = [learnt.sample_weights]
    for used in used_rows(stream, columns, weights, na):
        if not len(used.places):
            continue
        frame = learnt.as_categories(plain(used.frame)).reset_index(drop=True)
        fresh: set[int] = set()
        for expression, levels in known.items():
            value = evaluate(expression, frame, scope, {})
            values = pd.Series(getattr(value, "__wrapped__", value))
            first = np.flatnonzero(~values.duplicated().to_numpy())
            for i, level in zip(first.tolist(), values.iloc[first].tolist(), strict=True):
                if level not in levels:
                    levels.add(level)
                    fresh.add(i)
            if len(levels) > MOST_LEVELS:
                raise DataError(f"'{expression}' has more than {MOST_LEVELS:,} levels")
        if fresh:
            at = np.array(sorted(fresh))
            more.append(frame.iloc[at])
            more_weights.append(None if used.weights is None else used.weights[at])
    w = None if learnt.sample_weights is None else np.concatenate([x for x in more_weights if x is not None])
    return learnt.as_categories(pd.concat(more, ignore_index=True)), w
