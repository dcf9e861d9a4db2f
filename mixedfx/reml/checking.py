"""From a fit to its check page, its influence tables and its residuals by kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.rows import functional_for
from mixedfx.errors import ModelError
from mixedfx.inference import checks
from mixedfx.inference.findings import CheckReport, Finding, rows_left_out
from mixedfx.inference.influence import Influence, group_influence, influence_by
from mixedfx.inference.response_kind import response_kind
from mixedfx.pls.projection import Projection
from mixedfx.progress import Asked
from mixedfx.reml.deletion import refitted_influence
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution
from mixedfx.results.optimization import Optimization
from mixedfx.results.singularity import SingularityReport

DENSE_ROWS = 5000  # rows up to which the (n, n) matrix behind least confounded residuals is formed


def projection_of(design: Design, solution: Solution) -> Projection:
    """Rows of a fit as theta-hat sees them.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if isinstance(solution, LeastSquares):
        raise ModelError(
            "leverage, influence and checks are those of a mixed model; this formula has no random term",
            hint="Add one, such as (1 | group).",
        )
    rows = functional_for(design, None, "error")
    return Projection(design, solution.joint, rows.fixed, rows.random)


def projected_residuals(design: Design, solution: Solution, kind: str) -> NDArray[np.float64]:
    """(n,) residuals of the kinds in `mixedfx.reml.rows.PROJECTED`."""
    marginal = design.y - design.X @ solution.beta - design.offset
    if kind == "marginal":
        return marginal
    projection = projection_of(design, solution)
    if kind == "marginal_standardized":
        return marginal / np.sqrt(projection.marginal_variances())
    rest = np.sqrt(1.0 - projection.leverage)
    return np.where(rest > 1e-6, projection.residual / (solution.sigma * np.where(rest > 1e-6, rest, 1.0)), np.nan)


def influence_of(
    design: Design, solution: Solution, projection: Projection, by: str | None, refit: bool, progress: Asked = None
) -> Influence:  # fmt: skip
    """Influence of rows (`by` None) or of the levels of a column or grouping factor."""
    assert not isinstance(solution, LeastSquares)
    return influence_by(
        design, projection, by, refit,
        lambda sets, index, of: refitted_influence(design, solution, projection, sets, index, of, progress),
    )  # fmt: skip


def least_confounded(projection: Projection, sigma: float) -> pd.DataFrame:
    """Least confounded residuals (Hilden-Minton 1995), the least confounded first.

    With I - H = sum_k d_k v_k v_k', the combinations v_k'e / (sigma sqrt(d_k)) are uncorrelated with variance one, and
    a share 1 - d_k of the variance of each comes from the random effects instead of the errors.

    Raises
    ------
    ModelError
        For more than 5,000 rows: the matrix is (n, n).
    """
    n = len(projection.fixed)
    if n > DENSE_ROWS:
        raise ModelError(
            f"least confounded residuals need a matrix of {n} x {n}", hint='Use residuals("standardized").'
        )
    values, vectors = np.linalg.eigh(projection.complement(np.arange(n)))
    kept = values > 1e-8
    residual = (vectors[:, kept].T @ projection.residual) / (sigma * np.sqrt(values[kept]))
    table = pd.DataFrame({"residual": residual, "confounded": np.clip(1.0 - values[kept], 0.0, 1.0)})
    return table.iloc[::-1].reset_index(drop=True)


def check(
    design: Design,
    solution: Solution,
    singularity: SingularityReport,
    projection: Projection,
    without_groups: Mapping[str, tuple[str, ...]],
) -> CheckReport:
    """Every check of a fit, and the tables of its pictures.

    `without_groups`: coefficients whose degrees of freedom act as if a grouping factor did not exist.
    """
    given = checks.CheckInput(projection, solution.sigma, solution.factors)
    largest = max(design.random, key=lambda t: len(t.levels) if len(t.levels) < len(design.y) / 2 else 0)
    influence = group_influence(projection, design.fixed_names, largest.codes, largest.levels, largest.label)
    findings = (
        *rows_left_out(design.rows),
        _convergence(solution.optimization),
        _singularity(singularity, without_groups),
        response_kind(design.y, design.response_name),
        checks.residual_shape(given),
        checks.mode_shape(given),
        checks.spread(given),
        checks.spread_between_groups(given),
        checks.outlying_groups(given),
        checks.omitted_slopes(given),
        checks.collinearity(given),
        checks.leverage(given, influence.cooks_distance, influence.dfbetas, largest.label),
    )
    pictures = {
        "residuals": pd.DataFrame({"fitted": given.fitted, "residual": given.residual}),
        "modes": pd.concat(
            [
                pd.DataFrame({"group": term.label, "column": column, "mode": modes[:, c]})
                for term, modes in zip(design.random, given.modes, strict=True)
                for c, column in enumerate(term.columns)
            ],
            ignore_index=True,
        ),
        "influence": pd.DataFrame(
            {"group": list(largest.levels), "cooks_distance": influence.cooks_distance.to_numpy()}
        ),
    }
    return CheckReport(f"Check of {design.formula}", findings, pictures)


def _convergence(course: Optimization) -> Finding:
    if course.converged:
        return Finding("convergence", "ok", f"{course.message}, after {course.evaluations} evaluations")
    return Finding(
        "convergence", "problem", course.message,
        "The estimates may not be those of the criterion's minimum. Centre and scale the covariates, or fit a smaller "
        "random part.",
    )  # fmt: skip


def _singularity(report: SingularityReport, without_groups: Mapping[str, tuple[str, ...]]) -> Finding:
    """Null directions, and whether degrees of freedom act as if groups did not exist.

    `without_groups`: grouping factor -> coefficients concerned.
    """
    if not report.singular:
        return Finding("singularity", "ok", report.found)
    bayes = "mx.bayes, whose prior keeps the variance away from zero"
    if not without_groups and not report.kept:
        return Finding(
            "singularity", "note", report.found,
            "The estimate lies on the boundary: fixed effects stand, but tests of this variance do not. Try "
            f"{report.to_try}, or {bayes}.",
        )  # fmt: skip
    told = [
        f"Satterthwaite's degrees of freedom for {', '.join(names)} act as if the levels of {label} did not exist: "
        "their intervals are too short and their p values too small."
        for label, names in without_groups.items()
    ]
    if report.kept:
        told += [report.to_keep, *([f"Try {report.to_try}."] if report.to_try else [])]
    else:
        told.append('Use ddf="kenward-roger", which counts the levels.')
    return Finding("singularity", "problem", report.found, " ".join([*told, f"Or fit {bayes}."]))
