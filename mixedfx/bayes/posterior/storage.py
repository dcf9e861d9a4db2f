"""Posteriors in files: what `PosteriorFit.save` writes and `mixedfx.load` reads.

A file is an archive (`mixedfx.archive`) of

    fit.json        version; formula, family, priors, how the draws were made, the rows used
    data.table      the columns of the data that the formula uses, the rows that were used (`mixedfx.design.saved`)
    draws.arrays    the arrays of the draws, draws first
    zero_...        of counts with a model of their zeros, the tables of its design

and holds no code: formulas are read by the same parser, with the same few functions, as those a user types; priors are
rebuilt from a list of known classes. The design is built anew from formula and data, and compared with what was
saved; arrays of draws have to have the shapes that the design gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.archive import being_read, require, write_archive
from mixedfx.bayes.collapsed.collapsed import CollapsedPart
from mixedfx.bayes.posterior.joint import JointDraws, Predictor
from mixedfx.bayes.posterior.posterior import Posterior
from mixedfx.design.design import Design
from mixedfx.design.saved import rebuilt_design, refusal, saved_design
from mixedfx.design.two_designs import of_the_same_rows
from mixedfx.errors import DataError, ModelError
from mixedfx.families.family import Family
from mixedfx.families.two_parts import TwoParts
from mixedfx.priors import plain_values
from mixedfx.priors.resolve import ResolvedPriors
from mixedfx.stored_tables import arrays_bytes, read_arrays

Array = NDArray[np.float64]

DRAWS = "draws.arrays"
ZERO = "zero_"  # begins the names of the tables of the model of the zeros
HEAD = {
    "mixedfx": str,
    "formula": str,
    "family": list[str],
    "chains": int,
    "seed": int,
    "draws": int,
    "shapes": dict[str, list[int]],
    "categories": list[str | None],
    "auxiliary": list[str],
    "extra": list[list[str]],
    "transitions": list[str] | None,
    "sampling": dict[str, Any],
    "priors": dict[str, Any],
    "design": dict[str, Any],
}


def save(posterior: Posterior, path: str | Path) -> Path:
    """Write a fit; see `PosteriorFit.save`."""
    from importlib.metadata import version

    if posterior.design.knows_errors and not posterior.design.formula.knows_errors:
        raise ModelError(
            refusal(posterior.design),
            hint="Fit y | se(s) ~ ... where errors are independent; else save what you need of the draws.",
        )
    arrays = _arrays(posterior)
    facts, members = saved_design(posterior.design)
    zero, zero_members = _saved_zeros(posterior.design)
    head = {
        "kind": "posterior",
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
        "design": facts,
    }
    return write_archive(path, head | zero, members | zero_members | {DRAWS: arrays_bytes(arrays)})


def _saved_zeros(design: Design) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The design of the model of the zeros, where there is one, for the head and as tables."""
    if design.zero is None:
        return {}, {}
    facts, members = saved_design(design.zero)
    head = {"zero": {"formula": design.zero.formula.text, "design": facts}}
    return head, {ZERO + name: table for name, table in members.items()}


def _with_zeros(design: Design, head: dict[str, Any], members: Mapping[str, bytes], kind: Family) -> Design:
    """The design with that of the model of its zeros, of a family that has one."""
    if not isinstance(kind, TwoParts):
        return design
    require(head, {"zero": dict[str, Any]})
    require(head["zero"], {"formula": str, "design": dict[str, Any]}, "its model of the zeros")
    own = {name.removeprefix(ZERO): table for name, table in members.items() if name.startswith(ZERO)}
    zero = rebuilt_design(head["zero"]["formula"], head["zero"]["design"], own, kind, head["mixedfx"])
    if not of_the_same_rows(design, zero):
        raise ValueError("its parts are of different rows")
    return replace(design, zero=zero)


def read(
    path: str | Path, head: dict[str, Any], members: Mapping[str, bytes], courses: Mapping[str, type]
) -> Posterior:  # fmt: skip
    """Make a posterior of what an archive holds; `courses` are the classes that say how draws were made, by name."""
    from mixedfx.families.registry import family_of_fit

    with being_read(path):
        require(head, HEAD)
        kind = family_of_fit(*head["family"])
        design = rebuilt_design(head["formula"], head["design"], members, kind, head["mixedfx"])
        design = _with_zeros(design, head, members, kind)
        found = read_arrays(members[DRAWS])
        if not head["draws"]:
            raise ValueError("it has no draws")
        if head["chains"] < 1 or head["draws"] % head["chains"] or head["seed"] < 0:
            raise ValueError(f"{head['draws']} draws are not those of {head['chains']} chains, seed {head['seed']}")
        priors = plain_values.decode(head["priors"])
        _check_priors(priors, design)
        part, target = None, None
        if "phi" in head["shapes"]:
            from mixedfx.sampling.target import build_target

            target = build_target(design, priors)
        _check_shapes(head, design, kind, None if target is None else target.size)
        arrays = {name: _array(found, name, [head["draws"], *shape]) for name, shape in head["shapes"].items()}
        joint = _joint(head, arrays, design)
        sampling = plain_values.decode_record(head["sampling"], courses)
        if target is not None:
            part = CollapsedPart(target, arrays["phi"])
        names = head["transitions"]
        transitions = None if names is None else {name: arrays[f"transition.{name}"] for name in names}
        return Posterior(design, kind, priors, joint, sampling, head["chains"], head["seed"], part, transitions)


def _check_priors(priors: Any, design: Design) -> None:
    """Refuse priors of another model."""
    if not isinstance(priors, ResolvedPriors):
        raise ValueError("its priors are none")
    p = design.X.shape[1]
    if len(priors.coefficients) != p or priors.centring.shape != (p,) or len(priors.terms) != len(design.random):
        raise ValueError("its priors are those of another model")
    for prior, term in zip(priors.terms, design.random, strict=True):
        sds = term.covariance.n_sds
        if isinstance(prior.sd, tuple) and len(prior.sd) != sds:
            raise ValueError(f"its priors of '{term.label}' are those of other effects")
    if (priors.zero is None) != (design.zero is None):
        raise ValueError("its priors are those of another model")
    if design.zero is not None:
        _check_priors(priors.zero, design.zero)


def _check_shapes(head: Mapping[str, Any], design: Design, kind: Family, coordinates: int | None) -> None:
    """Refuse arrays that are not those of the design: names and shapes say what is read."""
    levels = design.categories or ()
    names = list(levels[1:]) if kind.outcome == "nominal" else [None]
    names = list(TwoParts.PREDICTORS) if design.zero is not None else names
    if head["categories"] != names:
        raise ValueError(f"its predictors are those of {head['categories']!r:.60}")
    wanted: dict[str, Any] = {}
    for i, own in enumerate(design.of_predictors(len(names))):
        wanted |= {f"beta.{i}": [own.X.shape[1]], f"u.{i}": [own.n_random]}
        wanted |= {f"factor.{i}.{t}": [r.n_columns, r.n_columns] for t, r in enumerate(own.random)}
    wanted |= {f"auxiliary.{i}": [] for i in range(len(head["auxiliary"]))}
    wanted |= {f"extra.{i}": [] for i in range(len(head["extra"]))}
    wanted |= {f"transition.{name}": [] for name in head["transitions"] or ()}
    if kind.outcome == "ordered":
        count = len(levels) or int(design.y.max()) + 1
        wanted["thresholds"] = [count - 1]
    if coordinates is not None:
        wanted["phi"] = [coordinates]
    if head["shapes"] != wanted:
        differ = sorted(name for name in {*head["shapes"], *wanted} if head["shapes"].get(name) != wanted.get(name))
        raise ValueError(f"its draws are not those of the design: {', '.join(differ)[:120]}")
    known = {name for name in kind.auxiliary if not (name == "sigma" and design.known_sd is not None)}
    if set(head["auxiliary"]) != known:
        raise ValueError(f"its family has other parameters: {head['auxiliary']!r:.60}")


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


def _joint(head: dict[str, Any], arrays: dict[str, Array], design: Design) -> JointDraws:
    categories = head["categories"]
    predictors = tuple(
        Predictor(
            arrays[f"beta.{i}"], arrays[f"u.{i}"],
            tuple(arrays[f"factor.{i}.{t}"] for t in range(len(own.random))), category,
        )
        for i, (category, own) in enumerate(zip(categories, design.of_predictors(len(categories)), strict=True))
    )  # fmt: skip
    auxiliary = {name: arrays[f"auxiliary.{i}"] for i, name in enumerate(head["auxiliary"])}
    extra = {tuple(key): arrays[f"extra.{i}"] for i, key in enumerate(head["extra"])}
    return JointDraws(predictors, auxiliary, arrays.get("thresholds"), extra)


def _array(found: Mapping[str, Array], name: str, shape: list[int]) -> Array:
    values = found[name]
    if list(values.shape) != shape:
        raise ValueError(f"draws of {name} are {list(values.shape)}, not {shape}")
    if not (np.isfinite(values).all() or name.startswith("transition.")):
        raise DataError(f"draws of {name} in the file are not finite")
    return values
