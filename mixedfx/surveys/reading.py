"""From a formula, data and what is known of the sample to a design with its weights: read, check.

The data are read once, with the columns of weights, strata, sampling units and replicates beside those of the formula;
a dot in the formula does not stand for these. Rows with a weight of zero, their own or that of their unit, leave before
the design is built, which says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.alignment import aligned, per_row, row_labels
from mixedfx.design.build import build_design
from mixedfx.design.columns import Columns
from mixedfx.design.design import Design
from mixedfx.design.expressions import columns_read
from mixedfx.design.frame import column_names, opened, to_pandas
from mixedfx.design.select import warn_zero
from mixedfx.errors import DataError, OptionError
from mixedfx.families.family import Family
from mixedfx.formula.parse import expand_dot, parse_formula
from mixedfx.surveys.asked import check_plausible
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.levels import Nesting, nesting
from mixedfx.surveys.linearised import Sampled, sampled
from mixedfx.surveys.options import ROW, SamplingWeights, read_replicates, read_sampling_weights
from mixedfx.surveys.replication import ReplicateWeights, replicate_columns, replicate_values, replicate_weights
from mixedfx.surveys.weights import SampleWeights, read_weights, sample_weights

Array = NDArray[np.float64]


Read = tuple[Design, Nesting, SampleWeights, Sampled | None, ReplicateWeights | None, SamplingWeights]


def read_sample(call: WeightedCall, family: Family | None = None) -> Read:
    """Design, levels, weights and what standard errors rest on, of a call.

    Parameters
    ----------
    call
        The arguments.
    family
        Distribution of the response; normal where None.

    Raises
    ------
    OptionError, DataError, ModelError
        Weights of levels that there are not, weights that cannot be, crossed factors.
    """
    asked, replicates = read_sampling_weights(call.sampling_weights), read_replicates(call.replicates)
    if asked is None:
        raise OptionError(
            "replicates= are replicates of sampling weights, and there are none",
            hint='Give the full weights: sampling_weights={"row": "W_FSTUWT"}.',
        )
    if replicates is not None and (asked.strata is not None or asked.psu is not None):
        raise OptionError(
            "replicate weights hold the strata and primary sampling units of the sample already",
            hint="Leave strata= and psu= out, or replicates=.",
        )
    labels, source = row_labels(call.data), opened(call.data)
    names = column_names(source)
    of_replicates = () if replicates is None else replicate_columns(replicates, names)
    beside = _named([*asked.weights.values(), asked.strata, asked.psu])
    survey = tuple(dict.fromkeys([*beside, *of_replicates]))
    parsed = parse_formula(call.formula) if isinstance(call.formula, str) else call.formula
    parsed = expand_dot(parsed, [name for name in names if isinstance(name, str) and name not in survey])
    if parsed.knows_errors:
        raise OptionError(
            "sampling weights beside known sampling errors (`se(...)`) are not fitted",
            hint="Leave se(...) out, or sampling_weights=.",
        )
    if not isinstance(source, pd.DataFrame):  # a lazy frame is asked once
        read = columns_read(parsed, call.env or {}, names)
        needed = [*read, *_named([call.weights, call.offset]), *survey]
        source = to_pandas(source, list(dict.fromkeys(needed)))
    frame = to_pandas(source, list(survey))
    frame = frame if survey else pd.DataFrame(index=pd.RangeIndex(len(source)))
    given = read_weights(asked, frame, labels)
    design = _design(call, parsed, source, given.zero, labels, family)
    check_plausible(design, call.data)
    design = with_weights(design, asked, given.values[ROW][design.rows.used] if ROW in given.values else None)
    found = nesting(design)
    weights = sample_weights(design, found, asked, given)
    used = design.rows.used[found.order]
    if replicates is None:
        return design, found, weights, _sample(found, asked, frame, labels, used), None, asked
    values = replicate_values(replicates, of_replicates, frame)
    return design, found, weights, None, replicate_weights(replicates, values, weights, used, of_replicates), asked


def _named(given: Sequence[Any]) -> tuple[str, ...]:
    return tuple(one for one in given if isinstance(one, str))


def _design(
    call: WeightedCall, formula: Any, data: pd.DataFrame, zero: NDArray[np.bool_], labels: pd.Index | None,
    family: Family | None,
) -> Design:  # fmt: skip
    """The design of the rows that have a weight."""
    n, kept = len(data), np.flatnonzero(~zero)

    def of_kept(values: Any, name: str) -> Any:
        if values is None or isinstance(values, str):
            return values
        return per_row(values, data.index if isinstance(values, pd.Series) else labels, n, name)[kept]

    if not n:
        raise DataError("the data have no rows", hint="Look at what was filtered before.")
    if not len(kept):
        raise DataError("all rows have a sampling weight of zero", hint="A weight is how many a row stands for.")
    design = build_design(
        formula, data if len(kept) == n else data.iloc[kept].reset_index(drop=True),
        weights=call.weights if len(kept) == n else of_kept(call.weights, "weights"),
        offset=call.offset if len(kept) == n else of_kept(call.offset, "offset"),
        na=call.na, contrasts=call.contrasts, env=call.env, family=family,
    )  # fmt: skip
    if len(kept) == n:
        return design
    used = kept[design.rows.used]
    warn_zero(n - len(kept), len(used))
    zeros = design.rows.dropped_zero_weight + n - len(kept)
    rows = replace(design.rows, total=n, used=used, dropped_zero_weight=zeros, labels=labels)
    return replace(design, rows=rows, columns=Columns.of(design.frame.set_axis(used, axis=0)))


def with_weights(design: Design, asked: SamplingWeights, rows: Array | None) -> Design:
    """The design with the weights (n,) of its rows in its frame, so that averages can count by their name."""
    name = asked.weights.get(ROW)
    if not isinstance(name, str) or rows is None or name in design.frame.columns:
        return design
    return replace(design, columns=design.columns.with_values(name, rows))


def _sample(
    found: Nesting, asked: SamplingWeights, frame: pd.DataFrame, labels: pd.Index | None, used: NDArray[np.intp]
) -> Sampled:  # fmt: skip
    """Strata and primary sampling units of the rows used."""
    n = len(used)
    values, words = [], []
    for what, one in (("psu", asked.psu), ("strata", asked.strata)):
        if one is None:
            values.append(None)
            words.append(what)
            continue
        column = frame[one] if isinstance(one, str) else aligned(one, labels, len(frame), what)
        column = pd.Series(np.asarray(column, dtype=object))
        if len(column) != len(frame):
            raise DataError(f"{what} has {len(column)} values, the data have {len(frame)} rows")
        values.append(column.to_numpy()[used])
        words.append(one if isinstance(one, str) else what)
    return sample_of(found, n, values[0], values[1], (words[0], words[1]))


def sample_of(
    found: Nesting, n: int, psu: Sequence[object] | None, strata: Sequence[object] | None, names: tuple[str, str]
) -> Sampled:  # fmt: skip
    """How units were drawn, from values (n,) of the sorted rows and what to call them."""
    top = found.unit_of_rows(len(found.levels) - 1) if found.levels else np.arange(n, dtype=np.intp)
    return sampled(top, psu, strata, (found.labels[-1] if found.levels else ROW, *names))
