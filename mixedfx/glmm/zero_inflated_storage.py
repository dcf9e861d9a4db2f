"""Zero-inflated models in files: what `ZeroInflatedFit.save` writes, and what `mixedfx.load` makes of it.

As `mixedfx.glmm.storage`, with two designs: the tables of the zeros have the names of those of the counts after
``zero_``. The criterion is evaluated once at the saved estimates, and compared with the one that was saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mixedfx.archive import Numbers, numbers, plain, require, write_archive
from mixedfx.design.saved import given_again, rebuilt_design, saved_design
from mixedfx.design.two_designs import data_of, of_the_same_rows
from mixedfx.families.family import Family
from mixedfx.families.registry import family
from mixedfx.glmm.call import Call
from mixedfx.glmm.model import build_model
from mixedfx.glmm.pairs import stacked
from mixedfx.glmm.solve import GlmmSolution, criterion_function
from mixedfx.glmm.zero_inflation import NAMES, Both, family_of
from mixedfx.results.saved_course import read_course, saved_course
from mixedfx.results.saved_estimates import check_criterion

HEAD = {
    "mixedfx": str, "family": str, "formulas": list[str], "theta": Numbers, "beta": Numbers, "phi": Numbers,
    "criterion": Numbers, "course": dict[str, Any], "design": dict[str, Any], "zero_design": dict[str, Any],
}  # fmt: skip
ZERO = "zero_"


def save(both: Both, solution: GlmmSolution, path: str | Path) -> Path:
    """Write a fit; see `ZeroInflatedFit.save`."""
    from importlib.metadata import version

    facts, members = saved_design(both.count)
    zero_facts, zero_members = saved_design(both.zero)
    head = {
        "kind": "glmer_zi",
        "mixedfx": version("mixedfx"),
        "family": solution.model.family.name,
        "formulas": [both.count.formula.text, both.zero.formula.text],
        "theta": plain(solution.theta),
        "beta": plain(solution.beta),
        "phi": plain(solution.model.split(solution.psi)[2]),
        "criterion": plain([solution.criterion]),
        "course": saved_course(solution.optimization),
        "design": facts,
        "zero_design": zero_facts,
    }
    return write_archive(path, head, members | {ZERO + name: table for name, table in zero_members.items()})


def read(head: Mapping[str, Any], members: Mapping[str, bytes]) -> tuple[Both, GlmmSolution, Call]:
    """Designs, estimates and arguments of the fit that was saved.

    Raises
    ------
    ValueError
        Values that are not what they should be.
    DataError
        A design or a likelihood that are not those that were saved.
    """
    require(head, HEAD)
    if head["family"] not in NAMES or len(head["formulas"]) != 2:
        raise ValueError(f"its family {head['family']!r:.60} or its formulas are none")
    counts, (first, second), writer = family(NAMES[head["family"]]), head["formulas"], head["mixedfx"]
    other = {name.removeprefix(ZERO): table for name, table in members.items() if name.startswith(ZERO)}
    both = Both(
        rebuilt_design(first, head["design"], members, counts, writer),
        rebuilt_design(second, head["zero_design"], other, counts, writer),
    )
    if not of_the_same_rows(both.count, both.zero):
        raise ValueError("its parts are of different rows")
    solution = _solution_at(head, both, counts)
    check_criterion(head, solution.criterion)
    spread = None if both.count.dispersion is None else both.count.dispersion.formula.text
    given, own = given_again(both.count), both.count.spec
    data = data_of(both.count, both.zero)
    given["data"] = data.drop(columns=[own.given_offset]) if own.offset_is_own else data
    return both, solution, Call(**given, family=counts, dispersion=spread)


def _solution_at(head: Mapping[str, Any], both: Both, counts: Family) -> GlmmSolution:
    """The solution at the saved estimates, by one evaluation."""
    model = build_model(stacked(both.count, both.zero), family_of(counts))
    p, r, a = model.sizes
    beta, theta, phi = numbers(head["beta"], p), numbers(head["theta"], r), numbers(head["phi"], a)
    par = model.problem.parameters(theta) if r else theta
    with np.errstate(all="ignore"):
        psi = np.concatenate([model.problem.R @ beta, par, phi])
    if not np.isfinite(psi).all():
        raise ValueError("its estimates are not finite")
    evaluation = criterion_function(1)(model, psi, None, False)
    return GlmmSolution(model, evaluation, read_course(head["course"]))
