"""Weighted generalised fits in files: what `WeightedGlmerFit.save` writes, and what is made of it.

As `mixedfx.surveys.storage`, with the family, its parameters in the coordinates phi, and the number of nodes; nodes are
placed anew at the estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.design import Design
from mixedfx.design.saved import rebuilt_design, saved_design
from mixedfx.results.saved_course import read_course, saved_course
from mixedfx.results.saved_estimates import check_estimates
from mixedfx.results.saved_family import read_family
from mixedfx.surveys.call import FAMILIES, GeneralCall
from mixedfx.surveys.generalised.estimates import GeneralRefits, checked_nodes
from mixedfx.surveys.generalised.maximum import GeneralMaximum, nodes_of_a_row, rules_of, sample_at
from mixedfx.surveys.generalised.problem import general_problem, parts
from mixedfx.surveys.generalised.responses import FURTHEST
from mixedfx.surveys.generalised.solution import GeneralSolution, solution_at
from mixedfx.surveys.saved_sample import read_refits, read_sample_of, saved_sample
from mixedfx.surveys.storage import finite

HEAD = {
    "mixedfx": str, "formula": str, "family": list[str], "held": dict[str, float], "nAGQ": int, "change": Numbers,
    "theta": Numbers, "beta": Numbers, "phi": Numbers, "criterion": Numbers, "course": dict[str, Any],
    "sample": dict[str, Any], "design": dict[str, Any],
}  # fmt: skip


def save(design: Design, solution: GeneralSolution, path: str | Path) -> Path:
    """Write a fit; see `WeightedGlmerFit.save`."""
    from importlib.metadata import version

    kind, problem = solution.family, solution.problem
    _, par, phi = problem.split(solution.maximum.at.psi)
    facts, members = saved_design(design)
    refits = {}
    if solution.refits is not None:
        one = solution.refits
        refits = {"beta": one.beta, "par": one.par, "phi": one.phi, "converged": one.converged.astype(np.float64)}
    sample, more = saved_sample(design, solution.asked, solution.weights, solution.sample, solution.replicates, refits)
    head = {
        "kind": "glmer_weighted",
        "mixedfx": version("mixedfx"),
        "formula": design.formula.text,
        "family": [kind.name, kind.link.name],
        "held": dict(kind.held),
        "nAGQ": solution.nAGQ,
        "change": plain([solution.change]),
        "theta": plain(problem.natural(par[None])[0]),
        "beta": plain(solution.beta),
        "phi": plain(phi),
        "criterion": plain([solution.criterion]),
        "course": saved_course(solution.optimization),
        "sample": sample,
        "design": facts,
    }
    return write_archive(path, head, {**members, **more})


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Design, GeneralSolution, GeneralCall]:
    """Design, estimates and arguments of the fit that was saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        A design or a pseudo likelihood that are not those that were saved.
    """
    require(head, HEAD)
    kind = read_family(head["family"], head["held"])
    if kind.name not in FAMILIES:
        raise ValueError(f"{kind.name} is not fitted with sampling weights")
    design = rebuilt_design(head["formula"], head["design"], members, kind, head["mixedfx"])
    found = read_sample_of(design, head["sample"], members)
    course = read_course(head["course"])
    problem = general_problem(found.design, found.nesting, kind)
    count = checked_nodes(problem, head["nAGQ"])
    p, r, a = problem.p, problem.n_parameters, len(problem.responses.names)
    beta, theta, phi = finite(head["beta"], p), finite(head["theta"], r), finite(head["phi"], a)
    if (np.abs(phi) > FURTHEST).any():
        raise ValueError("its parameters of the family are out of range")
    psi = np.concatenate([problem.R @ beta, problem.used(theta[None])[0], phi])
    weights = found.weights.conditional
    at = sample_at(problem, parts(problem, weights, nodes_of_a_row(problem, count)), psi, rules_of(problem, count))
    check_estimates(head, at.criterion, beta)
    refits = None
    if found.replicates is not None:
        own = read_refits(members, {"beta": (p,), "par": (r,), "phi": (a,), "converged": ()})
        refits = GeneralRefits(own["beta"], own["par"], own["phi"], own["converged"] > 0)
    maximum = GeneralMaximum(at, course.outcome, course.gradient, course.curvature, [])
    change = float(numbers(head["change"], 1)[0])
    solution = solution_at(
        found.design, problem, maximum, count, change, course, found.asked, found.weights, found.sample,
        found.replicates, refits,
    )  # fmt: skip
    call = GeneralCall(**found.arguments, family=kind, nAGQ=count if found.nesting.levels else None)
    return found.design, solution, call
