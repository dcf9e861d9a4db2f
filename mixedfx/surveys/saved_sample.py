"""What is known of a sample in a file, and back: weights of levels, strata, sampling units, replicate weights.

Columns of the rows used stand in a table of their own, since the data of a fit (`mixedfx.design.saved`) hold only what
its formula reads; replicate weights and the estimates by them are arrays. What follows from them is worked out anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.archive import Numbers, numbers, plain, require
from mixedfx.design.design import Design
from mixedfx.design.saved import given_again
from mixedfx.errors import MixedfxWarning
from mixedfx.stored_tables import arrays_bytes, read_arrays, read_frame, table_bytes
from mixedfx.surveys.levels import Nesting, nesting
from mixedfx.surveys.linearised import Sampled
from mixedfx.surveys.options import ROW, ReplicateMethod, Replicates, SamplingWeights, Scaling, replicates
from mixedfx.surveys.reading import sample_of, with_weights
from mixedfx.surveys.replication import ReplicateWeights, replicate_weights
from mixedfx.surveys.weights import GivenWeights, SampleWeights, sample_weights

Array = NDArray[np.float64]

SAMPLE, REFITS = "sample.table", "refits.arrays"
FACTS = {
    "weights": list[list[str | None]], "conditional": bool, "scaling": str, "psu": list[str | None] | None,
    "strata": list[str | None] | None, "replicates": dict[str, Any] | None,
}  # fmt: skip
REPLICATES = {"columns": list[str] | None, "method": str | None, "rho": float, "scales": Numbers | float | None}


@dataclass(frozen=True, eq=False)
class ReadSample:
    """What a file says of a sample.

    Attributes
    ----------
    design
        The design, weights of rows in its frame.
    nesting
        Its levels.
    asked, weights, sample, replicates
        As in `mixedfx.surveys.solution.WeightedSolution`.
    arguments
        Name -> argument of the call that fits the saved rows again.
    """

    design: Design
    nesting: Nesting
    asked: SamplingWeights
    weights: SampleWeights
    sample: Sampled | None
    replicates: ReplicateWeights | None
    arguments: Mapping[str, Any]


def saved_sample(
    design: Design, asked: SamplingWeights, weights: SampleWeights, sample: Sampled | None,
    replicated: ReplicateWeights | None, refits: Mapping[str, Array],
) -> tuple[dict[str, Any], dict[str, bytes]]:  # fmt: skip
    """Values for a head, and tables.

    Parameters
    ----------
    design
        The design.
    asked, weights, sample, replicated
        What is known of the sample.
    refits
        Estimates with replicate weights by their names; empty where there are none.
    """
    order = nesting(design)
    table: dict[str, Any] = {f"weight {k}": value for k, value in enumerate(weights.given.values())}
    facts: dict[str, Any] = {
        "weights": [[key, _name(asked.weights[key])] for key in weights.given],
        "conditional": asked.conditional,
        "scaling": asked.scaling,
        "psu": None,
        "strata": None,
        "replicates": None,
    }
    if sample is not None:
        unit = order.unit_of_rows(len(order.levels) - 1) if order.levels else np.arange(len(design.y))
        psu = sample.psu[unit]
        for what, codes, labels in (
            ("psu", psu, sample.psu_labels), ("strata", sample.stratum[psu], sample.strata_labels)
        ):  # fmt: skip
            if labels is not None:
                values = np.empty(len(design.y), dtype=object)
                values[order.order] = np.array(labels, dtype=object)[codes]
                table[what], facts[what] = values, [_name(getattr(asked, what))]
    members = {SAMPLE: table_bytes(pd.DataFrame(table))}
    if replicated is not None:
        given = replicated.asked
        scales = given.scales if given.scales is None or np.ndim(given.scales) == 0 else plain(given.scales)
        facts["replicates"] = {
            "columns": list(replicated.columns) or None, "method": given.method, "rho": float(given.rho),
            "scales": None if scales is None else scales if isinstance(scales, list) else float(scales),
        }  # fmt: skip
        values = np.empty((len(design.y), replicated.count))
        values[order.order] = (replicated.factors * weights.overall).T
        members[REFITS] = arrays_bytes({"weights": values, **refits})
    return facts, members


def _name(given: Any) -> str | None:
    return given if isinstance(given, str) else None


def read_sample_of(design: Design, facts: Any, members: Mapping[str, bytes]) -> ReadSample:
    """What `saved_sample` wrote, of the rows of a design that was built anew.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError, OptionError
        Weights that cannot be.
    """
    require(facts, FACTS, "its sample")
    if SAMPLE not in members:
        raise ValueError("it holds no sampling weights")
    table, n = read_frame(members[SAMPLE]), len(design.y)
    keys = [(key, name) for key, name in facts["weights"] if isinstance(key, str)]
    wanted = [f"weight {k}" for k in range(len(keys))] + [what for what in ("psu", "strata") if facts[what]]
    if len(table) != n or list(table.columns) != wanted or len(keys) != len(facts["weights"]) or not keys:
        raise ValueError("its sampling weights are those of other rows or levels")
    if facts["scaling"] not in get_args(Scaling):
        raise ValueError(f"its weights are scaled by {facts['scaling']!r:.60}")
    data = {name: table[f"weight {k}"].to_numpy(dtype=np.float64) for k, (_, name) in enumerate(keys)}
    values = {key: table[f"weight {k}"].to_numpy(dtype=np.float64) for k, (key, _) in enumerate(keys)}
    if not all(np.isfinite(w).all() and (w > 0).all() for w in values.values()):
        raise ValueError("its sampling weights are not all finite and positive")
    strata, psu = (None if not facts[what] else table[what].to_numpy(dtype=object) for what in ("strata", "psu"))
    given = {key: values[key] if name is None else name for key, name in keys}
    columns: dict[str, Any] = {name: w for name, w in data.items() if name is not None}
    for what, found in (("strata", strata), ("psu", psu)):
        if found is not None and facts[what] != [None]:
            columns[facts[what][0]] = found
    asked = SamplingWeights(
        given, facts["conditional"], facts["scaling"],
        strata if facts["strata"] in (None, [None]) else facts["strata"][0],
        psu if facts["psu"] in (None, [None]) else facts["psu"][0],
    )  # fmt: skip
    design = with_weights(design, asked, values.get(ROW))
    order = nesting(design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # said when the model was fitted
        alone = replace(design, rows=replace(design.rows, used=np.arange(n)))
        weights = sample_weights(alone, order, asked, GivenWeights(values, {key: repr(key) for key in values}))
        replicated, sample = None, None
        if facts["replicates"] is None:
            in_order: list[Any] = [None if one is None else one[order.order] for one in (psu, strata)]
            names = [facts[what][0] or what if facts[what] else what for what in ("psu", "strata")]
            sample = sample_of(order, n, in_order[0], in_order[1], (names[0], names[1]))
        else:
            replicated, rows = _replicates(facts["replicates"], members, weights, order)
            if replicated.columns:
                columns |= dict(zip(replicated.columns, rows.T, strict=True))
    return ReadSample(design, order, asked, weights, sample, replicated, _arguments(design, asked, replicated, columns))


def _replicates(
    facts: Any, members: Mapping[str, bytes], weights: SampleWeights, order: Nesting
) -> tuple[ReplicateWeights, Array]:
    """Replicates, and their weights (n, R) in the order of the design."""
    require(facts, REPLICATES, "its replicates")
    values = read_arrays(members[REFITS])["weights"]
    n = len(order.order)
    columns = tuple(facts["columns"] or ())
    if values.ndim != 2 or len(values) != n or values.shape[1] < 2 or (columns and len(columns) != values.shape[1]):
        raise ValueError("its replicate weights are those of other rows")
    if not (np.isfinite(values).all() and (values >= 0).all()) or len(set(columns)) != len(columns):
        raise ValueError("its replicate weights are not all finite")
    scales, method = facts["scales"], facts["method"]
    if method is not None and method not in get_args(ReplicateMethod):
        raise ValueError(f"its replicates are {method!r:.60}")
    read = numbers(scales) if isinstance(scales, list) else scales
    rho = facts["rho"] if method in ("fay", None) else None
    asked: Replicates = replicates(list(columns) if columns else values, method, rho, read)
    return replicate_weights(asked, values, weights, order.order, columns), values


def _arguments(
    design: Design, asked: SamplingWeights, replicated: ReplicateWeights | None, columns: Mapping[str, Any]
) -> dict[str, Any]:
    """The call that fits the saved rows again; columns that the data lack are put beside them."""
    found = given_again(design)
    data = found["data"]
    lacking = {name: values for name, values in columns.items() if name not in data.columns}
    beside = pd.DataFrame(lacking, index=data.index)
    found["data"] = pd.concat([data, beside], axis=1) if lacking else data
    return found | {"sampling_weights": asked, "replicates": None if replicated is None else replicated.asked}


def read_refits(members: Mapping[str, bytes], shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """Estimates with replicate weights, by name -> shape after the number of replicates.

    Raises
    ------
    ValueError
        Arrays of other shapes.
    """
    found = read_arrays(members[REFITS])
    R = found["weights"].shape[1]
    for name, shape in shapes.items():
        if name not in found or found[name].shape != (R, *shape):
            raise ValueError(f"its refits have no {name} of the right number")
    return {name: found[name] for name in shapes}
