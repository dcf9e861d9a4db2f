r"""Influence of rows and groups on a generalised linear mixed model: one step without them, or a refit.

At the mode the model is a weighted linear one with theta known: working responses eta + s / w with weights w, s the
score and w the information of each row. Deletion there is exact (`mixedfx.pls.projection`) and is one Newton step of
deletion here, as in generalised linear models (Pregibon 1981, Annals of Statistics 9:705; Williams 1987, Applied
Statistics 36:181).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.rows import functional_for
from mixedfx.errors import ModelError
from mixedfx.glmm.joint import mode_joint
from mixedfx.glmm.model import build_model
from mixedfx.glmm.questions import varcorr
from mixedfx.glmm.solve import GlmmSolution, refused, solve_model
from mixedfx.inference.influence import Influence, influence_by, influence_from_changes
from mixedfx.inference.resampling import take_rows
from mixedfx.pls.projection import Projection
from mixedfx.progress import Asked, Progress
from mixedfx.results import tables

Vector = NDArray[np.float64]

LEAST = 1e-10  # information of a row below which it says nothing


def projection_of(design: Design, solution: GlmmSolution) -> Projection:
    """Rows of a fit as its working linear model sees them.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if not design.random:
        raise ModelError(
            "influence and checks are those of a mixed model; this formula has no random term",
            hint="Add one, such as (1 | group).",
        )
    if solution.iterative:
        raise refused("checks and influence take the leverage of every row, and are found")
    mode, order = solution.evaluation.mode, solution.model.rows.order
    w = mode.w
    if (w <= LEAST).any():  # not concave there, or flat: the expected information
        w = np.where(w > LEAST, w, np.maximum(solution.model.likelihood.information(mode.eta, mode.phi), LEAST))
    weights, working = np.empty(len(w)), np.empty(len(w))
    weights[order], working[order] = w, mode.eta + mode.s / w
    joint = mode_joint(solution.model, mode, solution.criterion, solution.par, None)
    rows = functional_for(design, None, "error")
    return Projection(replace(design, y=working, weights=weights, known_sd=None), joint, rows.fixed, rows.random)


def influence_of(
    design: Design, solution: GlmmSolution, projection: Projection, by: str | None, refit: bool, progress: Asked
) -> Influence:  # fmt: skip
    """Influence of rows (`by` None) or of the levels of a column or grouping factor; see `GlmerFit.influence`."""
    return influence_by(
        design, projection, by, refit,
        lambda sets, index, of: _refitted(design, solution, projection, sets, index, of, progress),
    )  # fmt: skip


def without(design: Design, solution: GlmmSolution, rows: NDArray[np.intp]) -> GlmmSolution | None:
    """The fit without `rows`, from the estimates of all; None where those left do not determine the model."""
    kept = np.setdiff1d(np.arange(len(design.y)), rows)
    if len(kept) <= design.X.shape[1]:
        return None
    try:
        left = take_rows(design, kept, [term.codes[kept] for term in design.random])
        if any(term.n_levels < 2 for term in left.random):
            return None
        model = replace(build_model(left, solution.model.family), prior=solution.model.prior)
        gamma = model.problem.R @ solution.beta
        par = model.problem.parameters(solution.theta)
        start = np.concatenate([gamma, par, solution.model.split(solution.psi)[2]])
        return solve_model(model, start, solution.nAGQ)
    except (ModelError, np.linalg.LinAlgError):
        return None


def _refitted(
    design: Design, solution: GlmmSolution, projection: Projection, sets: Sequence[NDArray[np.intp]], index: pd.Index,
    by: str, progress: Asked,
) -> Influence:  # fmt: skip
    """Influence of each set of rows, all parameters estimated anew without it."""
    changes = np.full((len(sets), len(solution.beta)), np.nan)
    table = tables.ran_pars_table(varcorr(design, solution))
    names = [f"{g}: {t}" if g != "Residual" else "sigma" for g, t in zip(table["group"], table["term"], strict=True)]
    variances = np.full((len(sets), len(names)), np.nan)
    with Progress(progress, f"without each {by}", len(sets), "refits") as report:
        for s, rows in report.over(enumerate(sets)):
            found = without(design, solution, rows)
            if found is not None:
                changes[s] = solution.beta - found.beta
                variances[s] = varcorr(found.design, found)["sdcor"].to_numpy(dtype=np.float64)
    found = pd.DataFrame(variances, index=index, columns=names)
    sizes = pd.Series([len(rows) for rows in sets], index=index, name="n")
    return influence_from_changes(projection, changes, design.fixed_names, index, sizes, by, found)
