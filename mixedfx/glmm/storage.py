"""Generalised linear mixed models in files: what `GlmerFit.save` writes, and what `mixedfx.load` makes of it.

A file holds formula and data (`mixedfx.design.saved`), the family with what is known of it, beta, theta, the estimated
parameters of the family in the engine's coordinates (phi of `mixedfx.glmm.auxiliary`), the priors as the user gave them
and as they were used, and the course of the optimiser. The design is built anew, and the criterion evaluated once at
these estimates: the modes of the random effects and all covariances follow. What comes out is compared with the
criterion that was saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.design import Design
from mixedfx.design.saved import given_again, rebuilt_design, saved_design
from mixedfx.families.family import Family
from mixedfx.glmm.call import Call
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.integration import check_quadrature
from mixedfx.glmm.model import Model, build_model
from mixedfx.glmm.solve import GlmmSolution, criterion_function
from mixedfx.priors import plain_values
from mixedfx.results.saved_course import read_course, saved_course
from mixedfx.results.saved_estimates import check_criterion
from mixedfx.results.saved_family import read_family

Vector = NDArray[np.float64]

HEAD = {
    "mixedfx": str, "formula": str, "family": list[str], "nAGQ": int, "theta": Numbers, "beta": Numbers,
    "criterion": Numbers, "prior": dict[str, Any] | None, "course": dict[str, Any], "design": dict[str, Any],
}  # fmt: skip
LATER = {"phi": Numbers | None, "held": dict[str, float], "settled": Numbers | None, "priors": Any, "probes": int}
"""What files of version 0.1 lack."""


def save(design: Design, solution: GlmmSolution, call: Call | None, path: str | Path) -> Path:
    """Write a fit; see `GlmerFit.save`."""
    from importlib.metadata import version

    kind, prior = solution.model.family, solution.model.prior
    facts, members = saved_design(design)
    head = {
        "kind": "glmer",
        "mixedfx": version("mixedfx"),
        "formula": design.formula.text,
        "family": [kind.name, kind.link.name],
        "nAGQ": solution.nAGQ,
        "theta": plain(solution.theta),
        "beta": plain(solution.beta),
        "held": dict(kind.held),
        "phi": plain(solution.model.split(solution.psi)[2]),
        "settled": None if solution.settled is None else plain([solution.settled]),
        "criterion": plain([solution.criterion]),
        "prior": None if prior is None else plain_values.encode_record(prior),
        "priors": None if prior is None or call is None else plain_values.encode(call.priors),
        "course": saved_course(solution.optimization),
        "design": facts,
    }
    if solution.monte_carlo is not None:
        head["probes"] = solution.monte_carlo.probes
    return write_archive(path, head, members)


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Design, GlmmSolution, Call]:
    """Design, estimates and arguments of the fit that was saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        A design or a likelihood that are not those that were saved.
    """
    require(head, HEAD)
    require({name: head[name] for name in LATER if name in head}, {k: v for k, v in LATER.items() if k in head})
    kind = read_family(head["family"], head.get("held", {}))
    design = rebuilt_design(head["formula"], head["design"], members, kind, head["mixedfx"])
    solution = _solution_at(head, design, kind)
    check_criterion(head, solution.criterion)
    spread = None if design.dispersion is None else design.dispersion.formula.text
    nAGQ = solution.nAGQ if solution.settled is None else "auto"
    control = {"solver": "iterative"} if solution.iterative else None
    call = Call(
        **given_again(design),
        family=kind,
        nAGQ=nAGQ,
        dispersion=spread,
        priors=_priors(head, solution),
        control=control,
    )
    call.check()
    return design, solution, call


def _solution_at(head: Mapping[str, Any], design: Design, kind: Family) -> GlmmSolution:
    """The solution at the saved estimates, by one evaluation."""
    prior = None
    if head["prior"] is not None:
        prior = plain_values.decode_record(head["prior"], {"CoefficientPrior": CoefficientPrior})
        p = len(design.fixed_names)
        if prior.names != tuple(design.fixed_names) or prior.centring.shape != (p,) or len(prior.priors) != p:
            raise ValueError("its priors are those of another model")
    probes = head.get("probes")
    if probes is not None and prior is not None:
        raise ValueError("an iterative fit has no priors")
    model = replace(build_model(design, kind) if probes is None else _iterative(design, kind), prior=prior)
    p, r, a = model.sizes
    beta, theta = numbers(head["beta"], p), numbers(head["theta"], r)
    par = model.problem.parameters(theta) if r else theta
    with np.errstate(all="ignore"):
        psi = np.concatenate([model.problem.R @ beta, par, _phi(head, model, a)])
    if not np.isfinite(psi).all():
        raise ValueError("its estimates are not finite")
    if probes is not None:
        from mixedfx.glmm.iterative import MOST_PROBES
        from mixedfx.glmm.iterative_solution import solution_at

        if not 2 <= probes <= MOST_PROBES:
            raise ValueError(f"probes are from 2 to {MOST_PROBES}, and these are {probes}")
        return solution_at(model, psi, probes, read_course(head["course"]))
    nAGQ = head["nAGQ"]
    if nAGQ < 1 or (nAGQ > 1 and not design.random):
        raise ValueError(f"nAGQ={nAGQ} is none")
    if nAGQ > 1:
        check_quadrature(model, nAGQ)
    evaluation = criterion_function(nAGQ)(model, psi, None, False)
    settled = None if head.get("settled") is None else float(numbers(head["settled"], 1)[0])
    return GlmmSolution(model, evaluation, read_course(head["course"]), nAGQ, settled)


def _iterative(design: Design, kind: Family) -> Model:
    from mixedfx.glmm.iterative_model import build_iterative_model

    return build_iterative_model(design, kind)


def _phi(head: Mapping[str, Any], model: Model, a: int) -> Vector:
    """(a,) the family's parameters in the engine's coordinates; files of version 0.1 have them as users read them."""
    if head.get("phi") is not None:
        return numbers(head["phi"], a)
    return model.likelihood.parameters.coordinates(numbers(head.get("auxiliary", []), a))


def _priors(head: Mapping[str, Any], solution: GlmmSolution) -> Any:
    """Priors as the user gave them, for fits of other models and data; else as they were used, of older files."""
    prior = solution.model.prior
    if prior is None:
        return None
    if head.get("priors") is not None:
        return plain_values.decode(head["priors"])
    named = zip(prior.names, prior.priors, strict=True)
    return {"intercept" if name == "Intercept" else ("coef", name): one for name, one in named}
