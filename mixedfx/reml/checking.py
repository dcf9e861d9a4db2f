"""From a fit to its check page, its influence tables and its residuals by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.design.grouping import rows_of
from mixedfx.errors import ModelError, OptionError
from mixedfx.inference import checks
from mixedfx.inference.findings import CheckReport, Finding
from mixedfx.inference.influence import Influence, group_influence, row_influence
from mixedfx.inference.response_kind import response_kind
from mixedfx.pls.projection import Projection
from mixedfx.reml.deletion import refitted_influence
from mixedfx.reml.least_squares import LeastSquares

if TYPE_CHECKING:
    from mixedfx.reml.state import LmerState

DENSE_ROWS = 5000  # rows up to which the (n, n) matrix behind least confounded residuals is formed


def projection_of(fit: LmerState) -> Projection:
    """Rows of a fit as theta-hat sees them.

    Raises
    ------
    ModelError
        For a fit without random terms.
    """
    if isinstance(fit.solution, LeastSquares):
        raise ModelError(
            "leverage, influence and checks are those of a mixed model; this formula has no random term",
            hint="Add one, such as (1 | group).",
        )
    rows: Functional = fit.design_for()
    return Projection(fit.design, fit.solution.joint, rows.fixed, rows.random)


def projected_residuals(fit: LmerState, kind: str) -> NDArray[np.float64]:
    """(n,) residuals of the kinds in `mixedfx.reml.rows.PROJECTED`."""
    marginal = fit.design.y - fit.design.X @ fit.solution.beta - fit.design.offset
    if kind == "marginal":
        return marginal
    projection = projection_of(fit)
    if kind == "marginal_standardized":
        return marginal / np.sqrt(projection.marginal_variances())
    rest = np.sqrt(1.0 - projection.leverage)
    return np.where(rest > 1e-6, projection.residual / (fit.sigma * np.where(rest > 1e-6, rest, 1.0)), np.nan)


def influence_of(fit: LmerState, projection: Projection, by: str | None, refit: bool) -> Influence:
    """Influence of rows (`by` None) or of the levels of a column or grouping factor."""
    assert not isinstance(fit.solution, LeastSquares)
    index = fit.design.frame.index
    if by is None and not refit:
        return row_influence(projection, fit.design.fixed_names, index)
    if by is None:
        sets = [np.array([i]) for i in range(fit.nobs)]
        return refitted_influence(fit.design, fit.solution, projection, sets, index, "row")
    codes, levels = _groups(fit, by)
    if not refit:
        return group_influence(projection, fit.design.fixed_names, codes, levels, by)
    sets = rows_of(codes, len(levels))
    return refitted_influence(fit.design, fit.solution, projection, sets, pd.Index(list(levels), name=by), by)


def _groups(fit: LmerState, by: str) -> tuple[NDArray[np.intp], Sequence[str]]:
    for term in fit.design.random:
        if term.label == by:
            return term.codes, term.levels
    if by in fit.design.frame.columns:
        codes, values = pd.factorize(fit.design.frame[by], sort=True)
        return codes.astype(np.intp), [str(v) for v in values]
    known = dict.fromkeys([*(t.label for t in fit.design.random), *map(str, fit.design.frame.columns)])
    raise OptionError(
        f"by={by!r} is no grouping factor or column of the fit", hint=f"Use one of {', '.join(map(repr, known))}."
    )


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
    fit: LmerState, projection: Projection, without_groups: Mapping[str, tuple[str, ...]] | None = None
) -> CheckReport:
    """Every check of a fit, and the tables of its pictures.

    `without_groups`: coefficients whose degrees of freedom act as if a grouping factor did not exist.
    """
    given = checks.CheckInput(projection, fit.sigma, fit.solution.factors)
    largest = max(fit.design.random, key=lambda t: len(t.levels) if len(t.levels) < len(fit.design.y) / 2 else 0)
    influence = group_influence(projection, fit.design.fixed_names, largest.codes, largest.levels, largest.label)
    findings = (
        _convergence(fit),
        _singularity(fit, without_groups or {}),
        response_kind(fit.design.y, fit.design.response_name),
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
                for term, modes in zip(fit.design.random, given.modes, strict=True)
                for c, column in enumerate(term.columns)
            ],
            ignore_index=True,
        ),
        "influence": pd.DataFrame(
            {"group": list(largest.levels), "cooks_distance": influence.cooks_distance.to_numpy()}
        ),
    }
    return CheckReport(f"Check of {fit.formula}", findings, pictures)


def _convergence(fit: LmerState) -> Finding:
    course = fit.optimization
    if course.converged:
        return Finding("convergence", "ok", f"{course.message}, after {course.evaluations} evaluations")
    return Finding(
        "convergence", "problem", course.message,
        "The estimates may not be those of the criterion's minimum. Centre and scale the covariates, or fit a smaller "
        "random part.",
    )  # fmt: skip


def _singularity(fit: LmerState, without_groups: Mapping[str, tuple[str, ...]]) -> Finding:
    """Null directions, and whether degrees of freedom act as if groups did not exist.

    `without_groups`: grouping factor -> coefficients concerned.
    """
    report = fit.singularity
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
