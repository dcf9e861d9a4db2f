"""Linear mixed models with sampling weights in files: what `WeightedFit.save` writes, and what is made of it.

A file holds formula and data, what is known of the sample (`saved_sample.py`), theta, the estimates with replicate
weights and the course of the optimiser. The design is built anew and the criterion evaluated once at theta; what comes
out is compared with the criterion and the coefficients that were saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.design import Design
from mixedfx.design.saved import rebuilt_design, saved_design
from mixedfx.results.saved_course import read_course, saved_course
from mixedfx.results.saved_estimates import check_estimates
from mixedfx.surveys.call import WeightedCall
from mixedfx.surveys.estimates import refits_of, solved_at
from mixedfx.surveys.saved_sample import read_refits, read_sample_of, saved_sample
from mixedfx.surveys.solution import WeightedSolution, solution_of

Array = NDArray[np.float64]

HEAD = {
    "mixedfx": str, "formula": str, "theta": Numbers, "beta": Numbers, "criterion": Numbers, "course": dict[str, Any],
    "sample": dict[str, Any], "design": dict[str, Any],
}  # fmt: skip


def save(design: Design, solution: WeightedSolution, path: str | Path) -> Path:
    """Write a fit; see `WeightedFit.save`."""
    from importlib.metadata import version

    facts, members = saved_design(design)
    refits = {}
    if solution.refits is not None:
        one = solution.refits
        refits = {"beta": one.beta, "par": one.par, "sigma": one.sigma, "converged": one.converged.astype(np.float64)}
    sample, more = saved_sample(design, solution.asked, solution.weights, solution.sample, solution.replicates, refits)
    head = {
        "kind": "lmer_weighted",
        "mixedfx": version("mixedfx"),
        "formula": design.formula.text,
        "theta": plain(solution.solved.estimates.par[0]),
        "beta": plain(solution.beta),
        "criterion": plain([solution.criterion]),
        "course": saved_course(solution.optimization),
        "sample": sample,
        "design": facts,
    }
    return write_archive(path, head, {**members, **more})


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Design, WeightedSolution, WeightedCall]:
    """Design, estimates and arguments of the fit that was saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        A design or estimates that are not those that were saved.
    """
    require(head, HEAD)
    design = rebuilt_design(head["formula"], head["design"], members, None, head["mixedfx"])
    found = read_sample_of(design, head["sample"], members)
    course = read_course(head["course"])
    r = sum(term.covariance.n_parameters for term in found.design.random)
    theta = finite(head["theta"], r)
    solved = solved_at(found.design, found.nesting, found.weights.conditional, theta, course.outcome, course.curvature)
    check_estimates(head, float(solved.estimates.criterion[0]), solved.estimates.beta[0])
    refits = None
    if found.replicates is not None:
        p = solved.problem.p
        own = read_refits(members, {"beta": (p,), "par": (r,), "sigma": (), "converged": ()})
        refits = refits_of(solved.problem, own["beta"], own["par"], own["sigma"], own["converged"] > 0)
    solution = solution_of(
        found.design, solved, course, found.asked, found.weights, found.sample, found.replicates, refits
    )
    return found.design, solution, WeightedCall(**found.arguments)


def finite(values: Any, size: int) -> Array:
    """(size,) parameters of a head (`ValueError` otherwise)."""
    found = numbers(values, size)
    if not np.isfinite(found).all():
        raise ValueError("its parameters are not finite")
    return found
