"""Linear mixed models in files: what `LmerFit.save` writes, and what `mixedfx.load` makes of it.

A file holds formula and data (`mixedfx.design.saved`), theta, and the course of the optimiser. The design is built
anew, and the criterion evaluated once at theta: everything else, beta, u and their covariances, follows. What comes out
is compared with the criterion and the coefficients that were saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.design import Design
from mixedfx.design.saved import given_again, rebuilt_design, saved_design
from mixedfx.inference.parameters import factors_of
from mixedfx.pls.evaluate import evaluate
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import build_problem
from mixedfx.reml.call import Call
from mixedfx.reml.least_squares import LeastSquares, least_squares
from mixedfx.reml.solution import Solution
from mixedfx.reml.solve import RemlSolution
from mixedfx.results.optimization import Optimization
from mixedfx.results.saved_course import read_course, saved_course
from mixedfx.results.saved_estimates import check_estimates

Vector = np.ndarray[Any, np.dtype[np.float64]]

HEAD = {
    "mixedfx": str, "formula": str, "REML": bool, "theta": Numbers, "beta": Numbers, "criterion": Numbers,
    "course": dict[str, Any], "design": dict[str, Any],
}  # fmt: skip


def saved(design: Design, solution: Solution, kind: str = "lmer") -> tuple[dict[str, Any], dict[str, bytes]]:
    """Head and tables of a fit."""
    from importlib.metadata import version

    facts, members = saved_design(design)
    head = {
        "kind": kind,
        "mixedfx": version("mixedfx"),
        "formula": design.formula.text,
        "REML": solution.REML,
        "theta": plain(solution.theta),
        "beta": plain(solution.beta),
        "criterion": plain([solution.criterion]),
        "course": saved_course(solution.optimization),
        "design": facts,
    }
    if not isinstance(solution, LeastSquares) and solution.monte_carlo is not None:
        head["probes"] = solution.monte_carlo.probes
    return head, members


def save(design: Design, solution: Solution, path: str | Path) -> Path:
    """Write a fit; see `LmerFit.save`."""
    return write_archive(path, *saved(design, solution))


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Design, Solution, Call]:
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
    theta = numbers(head["theta"])
    course = read_course(head["course"])
    if "probes" not in head:
        solution, control = _solution_at(design, head["REML"], theta, course), None
    else:
        require(head, {"probes": int})
        solution = _solution_by_probes(design, head["REML"], theta, course, head["probes"])
        control = {"solver": "iterative"}
    check_estimates(head, solution.criterion, solution.beta)
    return design, solution, _call(design, head["REML"], control)


def _solution_at(design: Design, REML: bool, theta: Vector, course: Optimization) -> Solution:
    """The solution whose covariance parameters are known, by one evaluation."""
    if not design.random:
        return least_squares(design, REML)
    problem = build_problem(design, REML)
    if len(theta) != problem.n_parameters or not np.isfinite(theta).all():
        raise ValueError(f"theta has {problem.n_parameters} finite numbers, and these are {len(theta)}")
    evaluation = evaluate(problem, problem.parameters(theta))
    joint = Joint(design, problem, evaluation)
    return RemlSolution(
        evaluation.criterion, joint.sigma, joint.beta, joint.u, tuple(factors_of(design, theta)), theta, joint.vcov,
        course, REML, problem.dof, joint, problem,
    )  # fmt: skip


def _solution_by_probes(design: Design, REML: bool, theta: Vector, course: Optimization, probes: int) -> Solution:
    """The same of a fit by iteration, with as many probes as it had."""
    from mixedfx.pls.iterative_joint import IterativeJoint
    from mixedfx.pls.iterative_problem import build_iterative
    from mixedfx.pls.stochastic import evaluate_by_probes
    from mixedfx.reml.iterative import MOST_PROBES, with_errors

    if not 2 <= probes <= MOST_PROBES:
        raise ValueError(f"probes are from 2 to {MOST_PROBES}, and these are {probes}")
    problem = build_iterative(design, REML)
    if len(theta) != problem.n_parameters or not np.isfinite(theta).all():
        raise ValueError(f"theta has {problem.n_parameters} finite numbers, and these are {len(theta)}")
    evaluation, noise = with_errors(problem, evaluate_by_probes(problem, problem.parameters(theta), probes), design)
    joint = IterativeJoint(design, problem, evaluation)
    return RemlSolution(
        evaluation.criterion, joint.sigma, joint.beta, joint.u, tuple(factors_of(design, theta)), theta, joint.vcov,
        course, REML, problem.dof, joint, problem, noise,
    )  # fmt: skip


def _call(design: Design, REML: bool, control: Mapping[str, Any] | None) -> Call:
    """The arguments that fit the saved rows again."""
    V = design.known_covariance
    if V is None and design.known_sd is not None and not design.formula.knows_errors:
        V = design.known_sd**2
    spread = None if design.dispersion is None else design.dispersion.formula.text
    return Call(**given_again(design), REML=REML, V=V, sigma=design.scale, dispersion=spread, control=control)
