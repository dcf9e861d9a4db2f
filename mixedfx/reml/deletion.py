"""The same model without some of its rows, from a warm start: what deletion does to the variances as well.

The rows are taken out of the design, not of the data: columns, contrasts and scales stay what they were, so that the
estimates with and without the rows are of the same parameters. Levels that lose all their rows leave the random terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError
from mixedfx.inference.influence import Influence, influence_from_changes
from mixedfx.inference.resampling import take_rows
from mixedfx.pls.problem import build_problem
from mixedfx.pls.projection import Projection
from mixedfx.progress import Asked, Progress
from mixedfx.reml.solve import RemlSolution, solve_problem
from mixedfx.reml.starting import off_boundary
from mixedfx.results import tables

Vector = NDArray[np.float64]


def without(design: Design, solution: RemlSolution, rows: NDArray[np.intp]) -> RemlSolution | None:
    """The fit without `rows`, started at the theta of all rows; None where those left do not determine the model."""
    kept = np.setdiff1d(np.arange(len(design.y)), rows)
    if len(kept) <= design.X.shape[1]:
        return None
    try:
        left = take_rows(design, kept, [term.codes[kept] for term in design.random])
        if any(term.n_levels < 2 or term.n_levels * term.n_columns >= len(kept) for term in left.random):
            return None
        problem = build_problem(left, solution.REML)
        return solve_problem(left, problem, off_boundary(problem, problem.parameters(solution.theta)))
    except (ModelError, np.linalg.LinAlgError):
        return None


def refitted_influence(
    design: Design, solution: RemlSolution, projection: Projection, sets: Sequence[NDArray[np.intp]], index: pd.Index,
    by: str, progress: Asked = None,
) -> Influence:  # fmt: skip
    """Influence of each set of rows, theta and sigma estimated anew without it."""
    changes = np.full((len(sets), len(solution.beta)), np.nan)
    names = _parameter_names(design, solution)
    variances = np.full((len(sets), len(names)), np.nan)
    with Progress(progress, f"without each {by}", len(sets), "refits") as report:
        for s, rows in report.over(enumerate(sets)):
            found = without(design, solution, rows)
            if found is not None:
                changes[s] = solution.beta - found.beta
                variances[s] = _varcorr(design, found)["sdcor"].to_numpy(dtype=np.float64)
    varcorr = pd.DataFrame(variances, index=index, columns=list(names))
    sizes = pd.Series([len(rows) for rows in sets], index=index, name="n")
    return influence_from_changes(projection, changes, design.fixed_names, index, sizes, by, varcorr)


def _varcorr(design: Design, solution: RemlSolution) -> pd.DataFrame:
    return tables.varcorr_table(design.random, solution.factors, solution.sigma, design.sigma is None)


def _parameter_names(design: Design, solution: RemlSolution) -> list[str]:
    table = tables.ran_pars_table(_varcorr(design, solution))
    return [f"{g}: {t}" if g != "Residual" else "sigma" for g, t in zip(table["group"], table["term"], strict=True)]
