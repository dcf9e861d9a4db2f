"""Averaged meta-analyses in files: what `RobmaFit.save` writes, and what `mixedfx.load` makes of it.

The estimates are read from the data anew and compared with those that were saved, the models follow from them and the
ensemble. Of each model the file has the evidence and what its draws are made of, the density at the nodes of its
quadrature or weighted points: no evidence is computed anew, and draws are the same to the last digit.

    fit.json            arguments, clusters, ensemble, options; evidence of each model, and shapes of its arrays
    data.table          the data: all columns that a table can hold
    integrals.arrays    the arrays of the models, one after the other
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import pandas as pd

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.errors import check_count, check_level, check_option, check_seed
from mixedfx.meta.averaging import solve
from mixedfx.meta.averaging.given import Given, cells
from mixedfx.meta.averaging.importance_models import ImportanceModel
from mixedfx.meta.averaging.legendre import axis_or_point, log_sum, outer
from mixedfx.meta.averaging.members import Member, members
from mixedfx.meta.averaging.normal_models import Evidence, NormalModel
from mixedfx.meta.averaging.read import AverageCall, read_given
from mixedfx.meta.averaging.state import RobmaState
from mixedfx.meta.averaging.target import Target
from mixedfx.meta.averaging.weight_models import PROPOSAL, WeightModel
from mixedfx.meta.measure import Array
from mixedfx.meta.selection.clusters import MECHANISMS
from mixedfx.meta.univariate.storage import estimates_again, saved_estimates
from mixedfx.priors import plain_values
from mixedfx.priors.checked_ensembles import check_ensemble
from mixedfx.priors.ensembles import Ensemble
from mixedfx.stored_tables import arrays_bytes, read_arrays

INTEGRALS = "integrals.arrays"
HEAD = {
    "cluster": list[str | None] | None, "ni": Numbers | None, "measure": str | None, "sign": Literal[1, -1],
    "ensemble": dict[str, Any], "mechanism": str, "level": float, "draws": int, "seed": int,
    "checked": dict[str, Any] | None, "models": list[dict[str, Any]],
}  # fmt: skip
MODEL = {
    "evidence": Numbers, "shapes": list[list[int]],
    "method": Literal["quadrature", "importance sampling", "bridge sampling"],
}  # fmt: skip
CHECKED = {"index": list[str], "columns": list[str], "values": Numbers}
CLOSE = 1e-8  # of a log evidence, and that of its nodes


def save(fit: RobmaState, path: str | Path) -> Path:
    """Write a fit; see `RobmaFit.save`."""
    from importlib.metadata import version

    facts, tables = saved_estimates(fit.source)
    arrays = [_arrays(model) for model in fit.solved]
    values = np.concatenate([array.ravel() for one in arrays for array in one])
    given = fit.given
    head = {
        "kind": "robma",
        "mixedfx": version("mixedfx"),
        "cluster": None if given.start is None else _by_row(fit, np.array(given.cluster_labels)[given.owner], None),
        "ni": None if given.n is None else plain(_by_row(fit, given.n, np.nan)),
        "measure": fit.source.measure,
        "sign": given.sign,
        "ensemble": plain_values.encode(fit.ensemble),
        "mechanism": fit.mechanism,
        "level": float(fit.level),
        "draws": int(fit.n_draws),
        "seed": int(fit.seed),
        "checked": None if fit.checked is None else _saved_check(fit.checked),
        "models": [
            {
                "evidence": plain([model.evidence.value, model.evidence.error, model.evidence.k_hat]),
                "method": model.evidence.method,
                "shapes": [list(array.shape) for array in one],
            }
            for model, one in zip(fit.solved, arrays, strict=True)
        ],
    }
    return write_archive(path, head | facts, tables | {INTEGRALS: arrays_bytes({"value": values})})


def read(head: Mapping[str, Any], tables: Mapping[str, bytes]) -> RobmaState:
    """The averaged meta-analysis that was saved, its draws made.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        Estimates that are not those that were saved.
    """
    require(head, HEAD)
    check_option("mechanism", head["mechanism"], tuple(MECHANISMS))
    check_level(head["level"])
    check_count("draws", head["draws"])
    check_seed(head["seed"])
    ensemble = plain_values.decode(head["ensemble"])
    if not isinstance(ensemble, Ensemble):
        raise ValueError("its priors are no ensemble")
    check_ensemble(ensemble)
    given, found = _given_and_members(head, tables, ensemble)
    saved = head["models"]
    if len(saved) != len(found):
        raise ValueError(f"it has {len(saved)} models, its priors {len(found)}")
    for one in saved:
        require(one, MODEL, "a model")
    integrals = _split([shape for one in saved for shape in one["shapes"]], tables[INTEGRALS])
    solved = []
    for one, member in zip(saved, found, strict=True):
        arrays = [next(integrals) for _ in one["shapes"]]
        solved.append(_model(given.given, member, head["mechanism"], _evidence(one), arrays))
    checked = None if head["checked"] is None else _check_again(head["checked"])
    fit = RobmaState(
        given.given, given.source, ensemble, found, tuple(solved), head["mechanism"], head["level"], head["draws"],
        head["seed"], checked,
    )  # fmt: skip
    _refuse_impossible(fit)
    return fit


class _Read(NamedTuple):
    """Estimates on the scale of the fit, and what they were read from."""

    given: Given
    source: Any


def _given_and_members(
    head: Mapping[str, Any], tables: Mapping[str, bytes], ensemble: Ensemble
) -> tuple[_Read, tuple[Member, ...]]:
    """Estimates and models, whose number is compared before they are made: hypotheses multiply."""
    source = estimates_again(head, tables)
    rows = len(source.call.data)
    cluster = None if head["cluster"] is None else np.array(head["cluster"], dtype=object)
    n = None if head["ni"] is None else numbers(head["ni"], rows)
    parts = (ensemble.effect, ensemble.heterogeneity, ensemble.hierarchical, ensemble.bias)
    most = len(ensemble.models) if ensemble.models else int(np.prod([len(part) for part in parts], dtype=float))
    if most > max(len(ensemble.hierarchical), 1) * len(head["models"]):
        raise ValueError(f"its priors make {most} models, and it has {len(head['models'])}")
    direction = "positive" if head["sign"] > 0 else "negative"
    call = replace(source.call, measure=head["measure"])  # which the data may have said
    given, source = read_given(AverageCall(call, cluster, n, direction), ensemble)
    options = [ensemble.moderators.get(m.name, ensemble.factors if m.factor else ensemble.covariates)
               for m in given.moderators]  # fmt: skip
    if np.prod([len(one) for one in options], dtype=float) > len(head["models"]):
        raise ValueError("its moderators make more models than it has")
    return _Read(given, source), members(ensemble, given)


def _by_row(fit: RobmaState, values: Array, missing: Any) -> list[Any]:
    """Values of the estimates, sorted by cluster, for the rows of the data."""
    out = np.full(len(fit.source.call.data), missing, dtype=object)
    out[fit.source.design.rows.used[fit.given.order]] = values
    return [value if value is None else value.item() if isinstance(value, np.generic) else value for value in out]


def _saved_check(table: pd.DataFrame) -> dict[str, Any]:
    return {"index": list(table.index), "columns": list(table.columns), "values": plain(table.to_numpy())}


def _check_again(saved: dict[str, Any]) -> pd.DataFrame:
    require(saved, CHECKED, "its check")
    index, columns = saved["index"], saved["columns"]
    values = numbers(saved["values"], len(index) * len(columns)).reshape(len(index), len(columns))
    return pd.DataFrame(values, index=index, columns=columns)


# --- the integrals of models -----------------------------------------------------------------------------------------
def _arrays(model: solve.Solved) -> tuple[Array, ...]:
    """What the draws of a model are made of, beside its hypotheses."""
    if isinstance(model, NormalModel):
        return model.logs, np.array([[axis.low, axis.high] for axis in model.axes])
    if isinstance(model, WeightModel):
        return model.low, model.high, np.array([model.u_window, *model.ends])
    return model.points, model.weights


def _split(shapes: Sequence[Sequence[int]], content: bytes) -> Any:
    """The arrays that follow each other in one."""
    values = read_arrays(content)["value"].ravel()
    if any(size < 1 for shape in shapes for size in shape):
        raise ValueError("its arrays have no size")
    sizes = [int(np.prod(shape, dtype=float)) for shape in shapes]
    if sum(sizes) != len(values) or np.isnan(values).any():
        raise ValueError(f"its {len(values):,} numbers are not the {sum(sizes):,} of its models")
    ends = np.cumsum(sizes)
    return (values[end - n : end].reshape(shape) for end, n, shape in zip(ends, sizes, shapes, strict=True))


def _evidence(saved: Mapping[str, Any]) -> Evidence:
    value, error, k_hat = map(float, numbers(saved["evidence"], 3))
    if np.isnan(value) or value == np.inf or not error >= 0:
        raise ValueError(f"a log evidence of {value} with error {error} is none")
    return Evidence(value, error, k_hat, saved["method"])


def _model(
    given: Given, member: Member, mechanism: str, evidence: Evidence, arrays: Sequence[Array]
) -> solve.Solved:  # fmt: skip
    """A model of its arrays; which kind it is follows from its hypotheses."""
    if member.kind != "weights":
        logs, ends = arrays
        if ends.shape != (3, 2) or logs.ndim != 3 or not _windows(ends):
            raise ValueError("the nodes of a model are none")
        axes = tuple(axis_or_point(n, *map(float, pair)) for n, pair in zip(logs.shape, ends, strict=True))
        if any(axis.n != n for axis, n in zip(axes, logs.shape, strict=True)):
            raise ValueError("the nodes of a model are not those of its windows")
        if not abs(log_sum((logs + outer(axes)).ravel()) - evidence.value) < CLOSE:
            raise ValueError("a log evidence is not that of its nodes")
        return NormalModel(member, evidence, axes, logs)
    if solve.by_quadrature(member):
        low, high, ends = arrays
        wanted = (1 if ends[0, 0] == ends[0, 1] else PROPOSAL,)
        fits = ends.shape == (1 + len(member.bias.prior.steps), 2) and low.shape == high.shape == wanted
        if not (fits and _windows(ends) and _windows(np.column_stack([low, high])) and ends[1:].min() >= 0):
            raise ValueError("the windows of a model with weights are none")
        u, *sticks = (cast("tuple[float, float]", tuple(map(float, pair))) for pair in ends)
        return WeightModel(member, evidence, cells(given, member.bias.prior), u, low, high, tuple(sticks))
    points, weights = arrays
    target = Target(given, member, mechanism)
    if weights.ndim != 1 or points.shape != (len(weights), target.dim) or not np.isfinite(points).all():
        raise ValueError("the points of a model are none")
    if not (weights.min() >= 0 and abs(weights.sum() - 1) < CLOSE):
        raise ValueError("the weights of a model's points do not add up to 1")
    return ImportanceModel(member, evidence, target, points, weights)


def _windows(ends: Array) -> bool:
    """Whether (n, 2) ends are those of windows."""
    return bool(np.isfinite(ends).all() and (ends[:, 0] <= ends[:, 1]).all())


def _refuse_impossible(fit: RobmaState) -> None:
    """Refuse models that have no probabilities, and draws that are no numbers."""
    at = fit.pooled
    drawn = (at.weights, at.mu, at.tau, at.rho, at.pet, at.peese, at.moderators, at.omega)
    if not (np.isfinite(fit.posterior).all() and all(np.isfinite(one).all() for one in drawn)):
        raise ValueError("its models have no draws")
