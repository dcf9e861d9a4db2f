"""Designs in files: what builds a design anew, and what shows that it is the same.

The formula, the columns of the data that it uses (rows that were used), weights, offsets, codings, constants, known
errors and correlations are kept; the design is built from them by the same code as any other, so that a file holds no
code, and its sums are compared with those that were saved.

    data.table     the data
    known.table    known correlations of levels, where the formula names some: matrix, row, and `of` each level
    errors.table   known covariance of the rows' errors (V), where there is one: row, column, value
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.archive import Numbers, fits, numbers, plain, require
from mixedfx.design.columns import Columns
from mixedfx.design.design import Design, RowReport
from mixedfx.design.dispersion import Dispersion
from mixedfx.errors import DataError, MixedfxError, MixedfxWarning, OptionError
from mixedfx.families.family import Family
from mixedfx.stored_tables import read_frame, table_bytes

DATA, KNOWN, ERRORS = "data.table", "known.table", "errors.table"

FACTS = {
    "offset": str | None,
    "offset_values": list[float] | None,
    "weights": list[float] | None,
    "env": dict[str, bool | int | float | str],
    "contrasts": dict[str, str | list[list[float]]],
    "index": list[int],
    "rows": dict[str, Any],
    "fingerprint": dict[str, Any],
}
ROWS = {
    "total": int,
    "used": list[int],
    "missing": dict[str, int],
    "dropped_missing": int,
    "dropped_zero_weight": int,
}
FINGERPRINT = {"fixed": list[str], "terms": list[list[Any]], "sums": list[float], "random": list[float]}
SDS = list[float] | None
SPREAD = {"formula": str, "gamma": Numbers, "vcov": Numbers | None}


def saved_design(design: Design) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What builds a design anew: values for a head, and tables.

    Raises
    ------
    OptionError
        Functions or objects in `env` or `contrasts`, which a file of data cannot hold.
    """
    members = {DATA: table_bytes(_frame(design))}
    matrices = _matrices(design)
    if matrices:
        table = pd.concat(matrices.values(), keys=matrices, names=["matrix", "row"]).reset_index()
        members[KNOWN] = table_bytes(table)
    if design.known_covariance is not None:
        V = sparse.coo_array(design.known_covariance)
        members[ERRORS] = table_bytes(pd.DataFrame({"row": V.row, "column": V.col, "value": V.data}))
    return _design_facts(design), members


def refusal(design: Design) -> str:
    """Why a design cannot be saved, before anything long is done with it; empty where it can.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.design.saved import refusal
    >>> star = mx.datasets.load("star")
    >>> refusal(mx.design("math ~ small", star))
    ''
    >>> refusal(mx.design("math ~ half(small)", star, env={"half": lambda x: x / 2}))
    "the formula uses 'half' from env, a function, which a file of data cannot hold"
    """
    if design.knows_errors and not design.formula.knows_errors:
        return "V= is no part of the formula or the data, which a saved fit is built from anew"
    try:
        matrices = _matrices(design)
        for name, value in design.spec.env.items():
            if name not in matrices:
                saved_constant(name, value)
        for name, value in design.spec.contrasts.items():
            saved_coding(name, value)
        table_bytes(_frame(design).head(2))
    except MixedfxError as error:
        return error.message
    except Exception as error:  # a type that files of data do not have
        return " ".join(str(error).split())[:200]
    return ""


def rebuilt_design(
    formula: str, facts: Any, members: Mapping[str, bytes], kind: Family | None, writer: str
) -> Design:  # fmt: skip
    """The design that was saved; `kind` is its family, None of a linear mixed model, `writer` the version that saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        A design that is not the one that was fitted.
    """
    require(facts, FACTS, "its design")
    require(facts["rows"], ROWS, "its rows")
    require(facts["fingerprint"], FINGERPRINT, "its fingerprint")
    if DATA not in members:
        raise ValueError("it holds no data")
    frame = read_frame(members[DATA])
    _check_rows(facts, len(frame))
    known = _by_name(read_frame(members[KNOWN]) if KNOWN in members else None)
    V = _errors(members[ERRORS], len(frame)) if ERRORS in members else None
    design = _built(formula, facts, frame, kind, known, V, writer)
    return _with_spread(design, facts.get("spread"))


def given_again(design: Design) -> dict[str, Any]:
    """The arguments of `build_design` that make the design of its own rows again, but for the family and errors."""
    spec = design.spec
    own = design.frame[spec.given_offset].to_numpy() if spec.offset_is_own else None
    return {
        "formula": design.formula.text,
        "data": _frame(design),
        "weights": design.weights,
        "offset": own if spec.offset_is_own else spec.given_offset,
        "contrasts": dict(spec.contrasts),
        "env": dict(spec.env),
    }


def _check_rows(facts: Mapping[str, Any], n: int) -> None:
    """Refuse numbers of rows that are not those of the data."""
    rows = facts["rows"]
    used = np.array(rows["used"], dtype=np.int64)
    for name in ("offset_values", "weights"):
        if facts[name] is not None and len(facts[name]) != n:
            raise ValueError(f"it has {len(facts[name])} {name} and {n} rows")
    if len(facts["index"]) != n or len(used) != n or rows["total"] < n:
        raise ValueError(f"its numbers of rows are not those of {n} rows")
    if n and (used.min() < 0 or used.max() >= rows["total"] or (np.diff(used) <= 0).any()):
        raise ValueError("its rows used are not rows of the data")
    row_index(rows.get("labels"), rows["total"])


def _errors(content: bytes, n: int) -> sparse.csr_array:
    """The known covariance of the rows' errors."""
    table = read_frame(content)
    row, column = (table[name].to_numpy(dtype=np.int64) for name in ("row", "column"))
    if len(row) and (min(row.min(), column.min()) < 0 or max(row.max(), column.max()) >= n):
        raise ValueError("its known covariance is of other rows")
    return sparse.csr_array((table["value"].to_numpy(dtype=np.float64), (row, column)), shape=(n, n))


def _with_spread(design: Design, spread: Any) -> Design:
    """The design with the coefficients of its residual standard deviations."""
    if design.dispersion is None or spread is None:
        return design
    d = len(design.dispersion.gamma)
    vcov = None if spread["vcov"] is None else numbers(spread["vcov"], d * d).reshape(d, d)
    return replace(design, dispersion=replace(design.dispersion, gamma=numbers(spread["gamma"], d), vcov=vcov))


def _frame(design: Design) -> pd.DataFrame:
    """The data that build the design again; an offset given as numbers is no column of them."""
    spec = design.spec
    return design.frame.drop(columns=[spec.given_offset]) if spec.offset_is_own else design.frame


def row_labels(labels: pd.Index | None, texts: bool = False) -> Any:
    """Labels of rows for a head; None where a file of data has no such, or their texts if these will do."""
    if isinstance(labels, pd.RangeIndex):
        return {"range": [labels.start, labels.stop, labels.step]}
    if labels is None:
        return None
    if isinstance(labels, pd.MultiIndex) or labels.inferred_type not in ("integer", "string"):
        return [str(one) for one in labels] if texts else None
    return labels.tolist()


def row_index(labels: Any, n: int) -> pd.Index | None:
    """Labels of n rows as `row_labels` wrote them.

    Raises
    ------
    ValueError
        Values that are no labels of n rows.
    """
    if isinstance(labels, dict):
        if [type(x) for x in labels.get("range", ())] != [int, int, int] or labels["range"][2] == 0:
            raise ValueError("its labels of rows are no range")
        if max(map(abs, labels["range"])) >= 2**62 or len(range(*labels["range"])) != n:
            raise ValueError("its labels of rows are not as many as the rows")
        return pd.RangeIndex(*labels["range"])
    if labels is None:
        return None
    if not fits(labels, list[int] | list[str]) or len(labels) != n:
        raise ValueError("its labels of rows are not as many as the rows")
    return pd.Index(labels)


def _design_facts(design: Design) -> dict[str, Any]:
    spec = design.spec
    own = design.frame[spec.given_offset].to_numpy(dtype=float).tolist() if spec.offset_is_own else None
    return {
        "offset": None if spec.offset_is_own else spec.given_offset,
        "offset_values": own,
        "weights": None if design.weights is None else design.weights.tolist(),
        "scale": design.scale,
        "known_sd": None if design.known_sd is None or design.formula.knows_errors else design.known_sd.tolist(),
        "spread": None if design.dispersion is None else _spread(design.dispersion),
        "weights_column": spec.weights,
        "env": {n: saved_constant(n, value) for n, value in design.spec.env.items() if n not in _matrices(design)},
        "contrasts": {name: saved_coding(name, value) for name, value in design.spec.contrasts.items()},
        "index": [int(i) for i in design.frame.index],
        "rows": {
            "total": design.rows.total,
            "used": [int(i) for i in design.rows.used],
            "missing": {str(name): int(n) for name, n in design.rows.missing.items()},
            "dropped_missing": int(design.rows.dropped_missing),
            "dropped_zero_weight": int(design.rows.dropped_zero_weight),
            "labels": row_labels(design.rows.labels),
        },
        "fingerprint": _fingerprint(design),
    }


def _spread(dispersion: Dispersion) -> dict[str, Any]:
    vcov = None if dispersion.vcov is None else plain(dispersion.vcov)
    return {"formula": dispersion.formula.text, "gamma": plain(dispersion.gamma), "vcov": vcov}


def _matrices(design: Design) -> dict[str, pd.DataFrame]:
    """Known correlations of levels by the names the formula has for them, levels as text."""
    named = {part.relation for part in design.formula.random if part.relation}
    given = {name: design.spec.env[name] for name in sorted(named)}
    return {n: A.set_axis(A.index.map(str)).set_axis([f"of {c}" for c in A.columns], axis=1) for n, A in given.items()}


def _by_name(known: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    """The matrices that `_matrices` names, from the file."""
    if known is None:
        return {}
    found = {str(name): A.set_index("row") for name, A in known.groupby("matrix")}
    return {
        n: A.reindex(columns=[f"of {level}" for level in A.index]).set_axis(A.index, axis=1) for n, A in found.items()
    }


def saved_constant(name: str, value: Any) -> Any:
    """A constant of `env`; functions have no place in a file."""
    if isinstance(value, bool | int | float | str) and not (isinstance(value, float) and not np.isfinite(value)):
        return value
    raise OptionError(
        f"the formula uses {name!r} from env, a {type(value).__name__}, which a file of data cannot hold",
        hint=f"Add a column with the values of {name}(...) to the data, and fit the formula with that column.",
    )


def saved_coding(name: str, value: Any) -> Any:
    """A coding of `contrasts`; objects have no place in a file."""
    if isinstance(value, str):
        return value
    values = np.asarray(value.to_numpy() if isinstance(value, pd.DataFrame) else value)
    if values.ndim == 2 and values.dtype.kind in "biuf":
        return values.astype(float).tolist()
    raise OptionError(
        f"contrasts= codes {name!r} by a {type(value).__name__}, which a file of data cannot hold",
        hint="Give the name of a coding, such as 'sum', or a matrix of numbers.",
    )


def _fingerprint(design: Design) -> dict[str, Any]:
    """Enough to see that a design built anew is the one that was fitted."""
    return {
        "fixed": list(design.fixed_names),
        "terms": [[term.label, list(term.columns), len(term.levels)] for term in design.random],
        "sums": [float(design.y.sum()), float(design.offset.sum()), *map(float, np.abs(design.X).sum(axis=0))],
        "random": [float(np.abs(term.z).sum() + (term.codes * term.z[:, 0]).sum()) for term in design.random],
    }


def _built(
    formula: str, facts: Mapping[str, Any], frame: pd.DataFrame, kind: Family | None,
    known: Mapping[str, pd.DataFrame], V: Any, writer: str,
) -> Design:  # fmt: skip
    """The design, from the formula and the data."""
    from mixedfx.design.build import build_design

    contrasts = {n: v if isinstance(v, str) else np.array(v, dtype=float) for n, v in facts["contrasts"].items()}
    offset = facts["offset"] if facts["offset"] is not None else facts["offset_values"]
    spread, known_sd, scale = (facts.get(name) for name in ("spread", "known_sd", "scale"))
    if spread is not None:
        require(spread, SPREAD, "its residual standard deviations")
    require({"scale": scale, "known_sd": known_sd}, {"scale": float | Literal["estimate"] | None, "known_sd": SDS})
    if known_sd is not None:
        V = np.array(known_sd, dtype=np.float64) ** 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedfxWarning)  # what had to be said was said when the model was fitted
            design = build_design(
                formula, frame, weights=None if facts["weights"] is None else np.array(facts["weights"]),
                offset=np.array(offset) if isinstance(offset, list) else offset, contrasts=contrasts,
                env={**facts["env"], **known}, sigma_free=False, family=kind, V=V, sigma=scale,
                dispersion=None if spread is None else spread["formula"],
            )  # fmt: skip
    except DataError:
        raise
    except MixedfxError as error:
        raise DataError(f"the saved formula and data do not build a design: {error}") from error
    found, wanted = _fingerprint(design), facts["fingerprint"]
    same = all(json.loads(json.dumps(found[name])) == wanted[name] for name in ("fixed", "terms"))
    same = same and len(design.y) == len(frame)
    for name in ("sums", "random"):
        same = same and len(found[name]) == len(wanted[name])
        same = same and np.allclose(found[name], wanted[name], rtol=1e-8)
    if not same:
        raise DataError(
            "this version of mixedfx builds another design from the saved formula and data than was fitted",
            hint=f"Read the file with mixedfx {writer}, which wrote it.",
        )
    rows: dict[str, Any] = {name: facts["rows"][name] for name in ROWS}
    rows["used"] = np.array(facts["rows"]["used"], dtype=np.intp)
    rows["labels"] = row_index(facts["rows"].get("labels"), facts["rows"]["total"])
    weights = facts.get("weights_column")
    if not isinstance(weights, str | None):
        raise ValueError(f"its weights are a column {weights!r:.60}")
    return replace(
        design,
        columns=Columns.of(design.frame.set_axis(facts["index"], axis=0)),
        rows=RowReport(**rows),
        spec=replace(design.spec, weights=weights),
    )
