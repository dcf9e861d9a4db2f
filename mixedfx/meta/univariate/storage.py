"""Meta-analyses of independent estimates in files: what `RmaFit.save` writes, and what `mixedfx.load` makes of it.

A file holds the arguments of `mixedfx.rma` and its data, and tau^2. The estimates are read from the data anew and
compared with those that were saved.

    fit.json         arguments; tau^2, method and test that were used; sums of what was fitted
    data.table       the data: all columns that a table can hold
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfx.archive import Numbers, fits, numbers, plain, require, write_archive
from mixedfx.design.frame import to_pandas
from mixedfx.design.labels import variable_labels
from mixedfx.design.saved import DATA, row_index, row_labels, saved_coding, saved_constant
from mixedfx.errors import DataError, MixedfxError, MixedfxWarning, OptionError
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.stored_tables import read_frame, table_bytes

ESTIMATES = {"mixedfx": str, "arguments": dict[str, Any], "index": Any, "sums": Numbers, "estimates": int}
HEAD = {"method": str, "test": Literal["z", "t", "knha", "adhoc"], "tau2": Numbers | None}
ARGUMENTS = {
    "formula": str | None, "vi": str | Numbers | float | None, "sei": str | Numbers | float | None, "method": str,
    "test": str, "level": float, "weights": str | Numbers | float | None, "tau2": float | None, "scale": str | None,
    "slab": str | list[str] | None, "measure": str | None, "na": Literal["drop", "raise"],
    "contrasts": dict[str, str | list[list[float]]] | None, "env": dict[str, bool | int | float | str] | None,
}  # fmt: skip
ARRAYS = ("vi", "sei", "weights")


def save(
    data: Estimates, method: str, test: str, tau2: float | None, path: str | Path
) -> Path:  # fmt: skip
    """Write a fit; see `RmaFit.save`. `tau2` None: that of a location-scale model, estimated anew."""
    from importlib.metadata import version

    facts, members = saved_estimates(data)
    head = {
        "kind": "rma",
        "mixedfx": version("mixedfx"),
        "method": method,
        "test": test,
        "tau2": None if tau2 is None else plain([tau2]),
    }
    return write_archive(path, head | facts, members)


def saved_estimates(data: Estimates) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the head of a file says of estimates, and the tables that it holds of them."""
    frame = data.call.data
    facts = {
        "arguments": _arguments(data.call),
        "index": row_labels(frame.index, texts=True),
        "sums": plain(_sums(data)),
        "estimates": len(data.y),
    }
    return facts, {DATA: table_bytes(_storable(frame, data))}


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Estimates, str, str, float | None]:
    """Estimates, method, test and tau^2 of the fit that was saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        Estimates that are not those that were saved.
    """
    from mixedfx.meta.univariate.heterogeneity import find_estimator

    require(head, HEAD)
    find_estimator(head["method"])
    tau2 = None if head["tau2"] is None else float(numbers(head["tau2"], 1)[0])
    if tau2 is not None and not 0.0 <= tau2 < np.inf:
        raise ValueError(f"tau2={tau2} is no variance")
    found = estimates_again(head, members)
    if (tau2 is None) != (found.call.scale is not None):
        raise ValueError("tau2 is that of another kind of model")
    return found, head["method"], head["test"], tau2


def estimates_again(head: Mapping[str, Any], members: Mapping[str, bytes]) -> Estimates:
    """The estimates of which `saved_estimates` wrote; raises as `read` does."""
    require(head, ESTIMATES)
    given = head["arguments"]
    require(given, ARGUMENTS, "its arguments")
    frame = read_frame(members[DATA])
    index = row_index(head["index"], len(frame))
    if index is not None:
        frame = frame.set_axis(index, axis=0)
    arguments = {name: given[name] for name in ARGUMENTS}
    for name in ARRAYS:
        if isinstance(given[name], list):
            arguments[name] = numbers(given[name], len(frame))
    if given["contrasts"] is not None:
        matrices = {n: v if isinstance(v, str) else np.array(v, dtype=float) for n, v in given["contrasts"].items()}
        arguments["contrasts"] = matrices
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # said when the model was fitted
            found = read_estimates(RmaCall(data=frame, **arguments))
    except DataError:
        raise
    except MixedfxError as error:
        raise DataError(f"the saved arguments and data cannot be read: {error}") from error
    wanted = numbers(head["sums"])
    sums = _sums(found)
    if len(found.y) != head["estimates"] or sums.shape != wanted.shape or not np.allclose(sums, wanted, rtol=1e-8):
        raise DataError(
            "this version of mixedfx reads other estimates from the saved data than were fitted",
            hint=f"Read the file with mixedfx {head['mixedfx']}, which wrote it.",
        )
    return found


def _arguments(call: RmaCall) -> dict[str, Any]:
    """The arguments of a call as JSON."""
    out: dict[str, Any] = {}
    for field in fields(call):
        value = getattr(call, field.name)
        if field.name == "data":
            continue
        if field.name == "formula":
            value = getattr(value, "text", value)
        elif field.name in ARRAYS and value is not None and not isinstance(value, str):
            value = _aligned(value, call.data, field.name)
        elif field.name == "slab" and value is not None and not isinstance(value, str):
            value = [str(x) for x in np.asarray(value, dtype=object).ravel()]
        elif field.name == "contrasts" and isinstance(value, Mapping):
            value = {name: saved_coding(name, coding) for name, coding in value.items()}
        elif field.name == "env" and isinstance(value, Mapping):
            value = {name: saved_constant(name, constant) for name, constant in value.items()}
        elif isinstance(value, np.generic):
            value = value.item()
        if not fits(value, ARGUMENTS[field.name]):
            raise OptionError(f"{field.name}={value!r:.60} has no place in a file of data")
        out[field.name] = value
    return out


def _aligned(value: Any, frame: pd.DataFrame, what: str) -> list[Any]:
    from mixedfx.meta.reading import numbers as read_numbers

    return plain(read_numbers(value, frame, frame.index, what))


def _sums(data: Estimates) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Enough to see that estimates read anew are those that were fitted."""
    weights = 0.0 if data.weights is None else float(data.weights.sum())
    along = np.arange(1, len(data.y) + 1)
    return np.array([data.y @ along, data.vi @ along, data.offset.sum(), weights, *np.abs(data.X).sum(axis=0)])


def _storable(frame: pd.DataFrame, data: Estimates) -> pd.DataFrame:
    """The columns that a table can hold; those that the fit reads have to be among them."""
    kept = {}
    for position, name in enumerate(frame.columns):
        if not isinstance(name, str) or list(frame.columns).count(name) > 1:
            continue
        try:
            one = to_pandas(frame.iloc[:, [position]])
            table_bytes(one)
        except (TypeError, ValueError, DataError):
            continue
        kept[name] = one[name]
    out = pd.DataFrame(kept, index=pd.RangeIndex(len(frame)))
    out.attrs = {n: v for n, v in frame.attrs.items() if isinstance(v, str)} | variable_labels(frame, list(kept))
    lost = set(map(str, data.design.frame.columns)) - set(out.columns) - {data.design.spec.given_offset}
    lost |= {name for name in (getattr(data.call, n) for n in ARRAYS) if isinstance(name, str) and name not in out}
    if lost:
        raise OptionError(
            f"the columns {', '.join(sorted(lost))} hold values of mixed types, which a file of data cannot hold",
            hint="Make each column one of numbers or of texts.",
        )
    return out
