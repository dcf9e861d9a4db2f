"""Fits in files: what `PosteriorFit.save` writes and `mixedfx.load` reads.

A file is a zip archive of

    fit.json        version; formula, family, priors, how the draws were made, the rows used
    data.parquet    the columns of the data that the formula uses, the rows that were used
    draws.parquet   one row for each draw, a column (of vectors) for each array
    known.parquet   known correlations of levels, where the formula names some: columns matrix, row, and `of` each level

and holds no code: formulas are read by the same parser, with the same few functions, as those a user types; priors are
rebuilt from a list of known classes. The design is built anew from formula and data, and compared with what was
saved. An archive is written beside its place and then moved there in one step.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.bayes.collapsed.collapsed import CollapsedPart
from mixedfx.bayes.posterior import plain_values
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.design.design import Design, RowReport
from mixedfx.errors import DataError, MixedfxWarning, ModelError, OptionError
from mixedfx.families.family import Family
from mixedfx.output import whole_file

Array = NDArray[np.float64]

FORMAT = 1
MEMBERS = ("fit.json", "data.parquet", "draws.parquet")
KNOWN = "known.parquet"


def save(posterior: Posterior, path: str | Path) -> Path:
    """Write a fit; see `PosteriorFit.save`."""
    from importlib.metadata import version

    if posterior.design.knows_errors and not posterior.design.formula.knows_errors:
        raise ModelError(
            "V= is no part of the formula or the data, which a saved fit is built from anew",
            hint="Fit y | se(s) ~ ... where errors are independent; else save what you need of the draws.",
        )
    arrays = _arrays(posterior)
    head = {
        "format": FORMAT,
        "mixedfx": version("mixedfx"),
        "formula": posterior.design.formula.text,
        "family": [posterior.family.name, posterior.family.link.name],
        "chains": posterior.chains,
        "seed": posterior.seed,
        "draws": posterior.n_draws,
        "shapes": {name: list(values.shape[1:]) for name, values in arrays.items()},
        "categories": [one.category for one in posterior.joint.predictors],
        "auxiliary": list(posterior.joint.auxiliary),
        "extra": [list(key) for key in posterior.joint.extra],
        "transitions": None if posterior.transitions is None else list(posterior.transitions),
        "sampling": plain_values.encode_record(posterior.sampling),
        "priors": plain_values.encode(posterior.priors),
        "design": _design_facts(posterior.design),
    }
    members = {
        "fit.json": json.dumps(head, allow_nan=False).encode(),
        "data.parquet": _parquet(_frame(posterior.design)),
        "draws.parquet": _draws_parquet(arrays),
    }
    matrices = _matrices(posterior.design)
    if matrices:
        members[KNOWN] = _parquet(pd.concat(matrices.values(), keys=matrices, names=["matrix", "row"]).reset_index())
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return Path(path)


def read(path: str | Path, courses: Mapping[str, type]) -> Posterior:
    """Read what `save` wrote; see `mixedfx.load`. `courses` are the classes that say how draws were made, by name."""
    from mixedfx.families.registry import family

    head, frame, table, known = _read(Path(path))
    try:
        if head["format"] > FORMAT:
            raise DataError(
                f"{path} was written by mixedfx {head['mixedfx']}, in a later format", hint="Install that version."
            )
        kind = family(*head["family"])
        design = _rebuilt(head, frame, kind, _by_name(known))
        arrays = {name: _array(table, name, shape) for name, shape in head["shapes"].items()}
        joint = _joint(head, arrays, len(design.random))
        sampling = plain_values.decode_record(head["sampling"], courses)
        priors = plain_values.decode(head["priors"])
        part = None
        if "phi" in arrays:
            from mixedfx.sampling.target import build_target

            part = CollapsedPart(build_target(design, priors), arrays["phi"])
        names = head.get("transitions")
        transitions = None if names is None else {name: arrays[f"transition.{name}"] for name in names}
        return Posterior(design, kind, priors, joint, sampling, head["chains"], head["seed"], part, transitions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error!r}") from error


def _read(path: Path) -> tuple[dict[str, Any], pd.DataFrame, Any, pd.DataFrame | None]:
    import pyarrow
    import pyarrow.parquet as parquet

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            content = {member: archive.read(member) for member in MEMBERS}
            known = archive.read(KNOWN) if KNOWN in archive.namelist() else None
        head = json.loads(content["fit.json"])
        frame = parquet.read_table(io.BytesIO(content["data.parquet"])).to_pandas()
        table = parquet.read_table(io.BytesIO(content["draws.parquet"]))
        matrices = None if known is None else parquet.read_table(io.BytesIO(known)).to_pandas()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is no saved fit, or is damaged: {error}", hint="Save the fit again.") from error
    return head, frame, table, matrices


# --- draws ---------------------------------------------------------------------------------------------------------
def _arrays(posterior: Posterior) -> dict[str, Array]:
    """Every array of draws under a name, draws first."""
    joint = posterior.joint
    arrays: dict[str, Array] = {}
    for i, one in enumerate(joint.predictors):
        arrays |= {f"beta.{i}": one.beta, f"u.{i}": one.u}
        arrays |= {f"factor.{i}.{t}": factor for t, factor in enumerate(one.factors)}
    arrays |= {f"auxiliary.{i}": values for i, values in enumerate(joint.auxiliary.values())}
    arrays |= {f"extra.{i}": values for i, values in enumerate(joint.extra.values())}
    if joint.thresholds is not None:
        arrays["thresholds"] = joint.thresholds
    if posterior.collapsed is not None:
        arrays["phi"] = posterior.collapsed.phi
    if posterior.transitions is not None:
        arrays |= {f"transition.{name}": values for name, values in posterior.transitions.items()}
    return arrays


def _joint(head: dict[str, Any], arrays: dict[str, Array], terms: int) -> JointDraws:
    predictors = tuple(
        Predictor(
            arrays[f"beta.{i}"], arrays[f"u.{i}"], tuple(arrays[f"factor.{i}.{t}"] for t in range(terms)), category
        )
        for i, category in enumerate(head["categories"])
    )
    auxiliary = {name: arrays[f"auxiliary.{i}"] for i, name in enumerate(head["auxiliary"])}
    extra = {tuple(key): arrays[f"extra.{i}"] for i, key in enumerate(head["extra"])}
    return JointDraws(predictors, auxiliary, arrays.get("thresholds"), extra)


def _draws_parquet(arrays: dict[str, Array]) -> bytes:
    """A table with a column of fixed-size vectors for each array; arrays without elements are left to their shapes."""
    import pyarrow
    import pyarrow.parquet as parquet

    columns = {}
    for name, values in arrays.items():
        width = int(np.prod(values.shape[1:], dtype=int))
        if width:
            flat = pyarrow.array(np.ascontiguousarray(values, dtype=np.float64).ravel())
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, width)
    table = pyarrow.table(columns)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd", use_dictionary=False, row_group_size=500)
    return buffer.getvalue()


def _array(table: Any, name: str, shape: list[int]) -> Array:
    if 0 in shape:
        return np.zeros((table.num_rows, *shape))
    flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.array(flat, dtype=np.float64).reshape(table.num_rows, *shape)


# --- the design ----------------------------------------------------------------------------------------------------
def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.reset_index(drop=True).to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _frame(design: Design) -> pd.DataFrame:
    """The data that build the design again; an offset given as numbers is no column of them."""
    spec = design.spec
    return design.frame.drop(columns=[spec.given_offset]) if spec.offset_is_own else design.frame


def _labels(design: Design) -> Any:
    """Labels of the rows of the data, for Series that are given beside them; None where a file of data has no such."""
    labels = design.rows.labels
    if isinstance(labels, pd.RangeIndex):
        return {"range": [labels.start, labels.stop, labels.step]}
    if labels is None or isinstance(labels, pd.MultiIndex) or labels.inferred_type not in ("integer", "string"):
        return None
    return labels.tolist()


def _index(labels: Any) -> pd.Index | None:
    """Labels as `_labels` wrote them."""
    return pd.RangeIndex(*labels["range"]) if isinstance(labels, dict) else None if labels is None else pd.Index(labels)


def _design_facts(design: Design) -> dict[str, Any]:
    spec = design.spec
    own = design.frame[spec.given_offset].to_numpy(dtype=float).tolist() if spec.offset_is_own else None
    return {
        "offset": None if spec.offset_is_own else spec.given_offset,
        "offset_values": own,
        "weights": None if design.weights is None else design.weights.tolist(),
        "weights_column": spec.weights,
        "env": {n: _constant(n, value) for n, value in design.spec.env.items() if n not in _matrices(design)},
        "contrasts": {name: _coding(name, value) for name, value in design.spec.contrasts.items()},
        "index": [int(i) for i in design.frame.index],
        "rows": {
            "total": design.rows.total,
            "used": [int(i) for i in design.rows.used],
            "missing": {str(name): int(n) for name, n in design.rows.missing.items()},
            "dropped_missing": int(design.rows.dropped_missing),
            "dropped_zero_weight": int(design.rows.dropped_zero_weight),
            "labels": _labels(design),
        },
        "fingerprint": _fingerprint(design),
    }


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


def _constant(name: str, value: Any) -> Any:
    """A constant of `env`; functions have no place in a file."""
    if isinstance(value, bool | int | float | str) and not (isinstance(value, float) and not np.isfinite(value)):
        return value
    raise OptionError(
        f"the formula uses {name!r} from env, a {type(value).__name__}, which a file of data cannot hold",
        hint=f"Add a column with the values of {name}(...) to the data, and fit the formula with that column.",
    )


def _coding(name: str, value: Any) -> Any:
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


def _rebuilt(head: dict[str, Any], frame: pd.DataFrame, kind: Family, known: Mapping[str, pd.DataFrame]) -> Design:
    """The design, from the formula and the data."""
    from mixedfx.design.build import build_design

    facts = head["design"]
    contrasts = {n: v if isinstance(v, str) else np.array(v, dtype=float) for n, v in facts["contrasts"].items()}
    offset = facts["offset"] if facts["offset"] is not None else facts["offset_values"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedfxWarning)  # what had to be said was said when the model was fitted
        design = build_design(
            head["formula"], frame, weights=None if facts["weights"] is None else np.array(facts["weights"]),
            offset=np.array(offset) if isinstance(offset, list) else offset, contrasts=contrasts,
            env={**facts["env"], **known}, sigma_free=False, family=kind,
        )  # fmt: skip
    found, wanted = _fingerprint(design), facts["fingerprint"]
    same = all(found[name] == wanted[name] for name in ("fixed", "terms"))
    if not same or any(not np.allclose(found[name], wanted[name], rtol=1e-8) for name in ("sums", "random")):
        raise DataError(
            "this version of mixedfx builds another design from the saved formula and data than was fitted",
            hint=f"Read the file with mixedfx {head['mixedfx']}, which wrote it.",
        )
    rows = facts["rows"] | {"used": np.array(facts["rows"]["used"], dtype=np.intp)}
    rows |= {"labels": _index(rows.get("labels"))}
    return replace(
        design,
        frame=design.frame.set_axis(facts["index"], axis=0),
        rows=RowReport(**rows),
        spec=replace(design.spec, weights=facts.get("weights_column")),
    )
