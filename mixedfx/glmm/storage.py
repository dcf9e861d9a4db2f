"""Generalised linear mixed models in files: what `GlmerFit.save` writes, and what `mixedfx.load` makes of it.

A file holds formula and data (`mixedfx.design.saved`), beta, theta, the parameters of the family, the priors, and the
course of the optimiser. The design is built anew, and the criterion evaluated once at these estimates: the modes of the
random effects and all covariances follow. What comes out is compared with the criterion that was saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.design import Design
from mixedfx.design.saved import given_again, rebuilt_design, saved_design
from mixedfx.errors import DataError
from mixedfx.families.family import Family
from mixedfx.families.registry import family
from mixedfx.glmm.call import Call
from mixedfx.glmm.coefficient_prior import CoefficientPrior
from mixedfx.glmm.integration import check_quadrature
from mixedfx.glmm.model import build_model
from mixedfx.glmm.solve import GlmmSolution, criterion_function
from mixedfx.priors import plain_values
from mixedfx.results.saved_course import read_course, saved_course

HEAD = {
    "mixedfx": str, "formula": str, "family": list[str], "nAGQ": int, "theta": Numbers, "beta": Numbers,
    "auxiliary": Numbers, "criterion": Numbers, "prior": dict[str, Any] | None, "course": dict[str, Any],
    "design": dict[str, Any],
}  # fmt: skip
CLOSE = 1e-6  # of the criterion, relative, that another machine's rounding may differ by


def save(design: Design, solution: GlmmSolution, path: str | Path) -> Path:
    """Write a fit; see `GlmerFit.save`."""
    from importlib.metadata import version

    kind, prior = solution.model.family, solution.model.prior
    facts, members = saved_design(design)
    head = {
        "format": 1,
        "kind": "glmer",
        "mixedfx": version("mixedfx"),
        "formula": design.formula.text,
        "family": [kind.name, kind.link.name],
        "nAGQ": solution.nAGQ,
        "theta": plain(solution.theta),
        "beta": plain(solution.beta),
        "auxiliary": plain(list(solution.auxiliary.values())),
        "criterion": plain([solution.criterion]),
        "prior": None if prior is None else plain_values.encode_record(prior),
        "course": saved_course(solution.optimization),
        "design": facts,
    }
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
    kind = family(*head["family"])
    design = rebuilt_design(head["formula"], head["design"], members, kind, head["mixedfx"])
    solution = _solution_at(head, design, kind)
    wanted = float(numbers(head["criterion"], 1)[0])
    if not abs(solution.criterion - wanted) <= CLOSE * (1.0 + abs(wanted)):
        raise DataError(
            "this version of mixedfx finds another likelihood at the saved estimates than was saved",
            hint=f"Read the file with mixedfx {head['mixedfx']}, which wrote it.",
        )
    priors = None if solution.model.prior is None else _priors(solution.model.prior)
    return design, solution, Call(**given_again(design), family=kind, nAGQ=solution.nAGQ, priors=priors)


def _solution_at(head: Mapping[str, Any], design: Design, kind: Family) -> GlmmSolution:
    """The solution at the saved estimates, by one evaluation."""
    prior = None
    if head["prior"] is not None:
        prior = plain_values.decode_record(head["prior"], {"CoefficientPrior": CoefficientPrior})
        p = len(design.fixed_names)
        if prior.names != tuple(design.fixed_names) or prior.centring.shape != (p,) or len(prior.priors) != p:
            raise ValueError("its priors are those of another model")
    model = replace(build_model(design, kind), prior=prior)
    p, r, a = model.sizes
    beta, theta, auxiliary = numbers(head["beta"], p), numbers(head["theta"], r), numbers(head["auxiliary"], a)
    par = model.problem.parameters(theta) if r else theta
    with np.errstate(all="ignore"):
        psi = np.concatenate([model.problem.R @ beta, par, np.log(auxiliary)])
    if not np.isfinite(psi).all():
        raise ValueError("its estimates are not finite")
    nAGQ = head["nAGQ"]
    if nAGQ < 1 or (nAGQ > 1 and not design.random):
        raise ValueError(f"nAGQ={nAGQ} is none")
    if nAGQ > 1:
        check_quadrature(model, nAGQ)
    evaluation = criterion_function(nAGQ)(model, psi, None, False)
    return GlmmSolution(model, evaluation, read_course(head["course"]), nAGQ)


def _priors(prior: CoefficientPrior) -> dict[Any, Any]:
    """Priors as they were used, for a fit to other data."""
    named = zip(prior.names, prior.priors, strict=True)
    return {"intercept" if name == "Intercept" else ("coef", name): one for name, one in named}
