r"""Standard errors and intervals of predictions, with the sources of uncertainty that are asked for.

For a row c = (x, z) over (beta, u) the sources are: beta and u, both given theta (alone, each is its block of the joint
covariance of their errors); u of unseen levels, new G new'; theta, that the variances are estimated; and the residual
of a new response, sigma^2 / w. The rule for theta is that of effects, `mixedfx.reml.full_estimate`: the mean of a row
that holds fixed effects alone has the standard error and the t interval that `tidy` and `emmeans` give it, everything
else is averaged over nodes of theta and sigma. So one number has one interval, whoever is asked. Without random
effects everything is t with n - p degrees of freedom, and exact; with theta left out, intervals are normal.

Rows are worked off in blocks, and rows with the same levels share the covariance of their effects, so that memory does
not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.alignment import row_labels
from mixedfx.design.estimable import Null
from mixedfx.design.functional import Functional
from mixedfx.design.rows_used import row_weights, weights_columns
from mixedfx.errors import OptionError, check_option
from mixedfx.inference.profile import quantile
from mixedfx.pls.joint import Joint
from mixedfx.reml.estimate import JointUncertainty, new_level_root
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.results.tables import t_test
from mixedfx.results.undetermined import warn_rows

if TYPE_CHECKING:
    from mixedfx.reml.state import LmerState
    from mixedfx.results.protocol import NewLevels

Vector = NDArray[np.float64]
Source = Literal["beta", "u", "theta", "residual"]
SOURCES = ("beta", "u", "theta", "residual")
IntervalKind = Literal["confidence", "prediction"]
ROWS = 10_000  # rows in one block, each of them at every node of theta


def row_variances(joint: JointUncertainty, fixed: Vector, random: sparse.csr_array) -> Vector:
    """(s,) variances of fixed (beta-hat - beta) + random (u-hat - u), shared among rows with the same levels.

    Parameters
    ----------
    joint
        The joint distribution of (beta, u).
    fixed, random
        (s, p) and sparse (s, q) coefficients.
    """
    if not isinstance(joint, Joint) or random.nnz == 0:
        return joint.variances(fixed, random)
    out = np.empty(len(fixed))
    count = np.diff(random.indptr)
    for k in np.unique(count):
        rows = np.flatnonzero(count == k)
        at = random.indptr[rows][:, None] + np.arange(k)
        columns, z = random.indices[at].astype(np.intp), random.data[at]
        patterns, which = _patterns(columns)
        if k == 0 or len(patterns) * k > len(rows):
            out[rows] = joint.variances(fixed[rows], sparse.csr_array(random[rows]))
            continue
        among, with_beta = joint.group_covariances(patterns)
        x = fixed[rows]
        own = np.einsum("sp,pr,sr->s", x, joint.vcov, x, optimize=True)
        half = np.einsum("sp,spk->sk", x, with_beta[which]) * 2.0 + np.einsum("skl,sl->sk", among[which], z)
        out[rows] = own + (half * z).sum(axis=1)
    return out


def _patterns(columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Distinct rows of (s, k) whole numbers, and which of them each row is."""
    s, k = columns.shape
    which = np.zeros(s, dtype=np.intp)
    for j in range(k):
        column = np.unique(columns[:, j], return_inverse=True)[1].reshape(-1)
        which = np.unique(which * (int(column.max(initial=0)) + 1) + column, return_inverse=True)[1].reshape(-1)
    first = np.unique(which, return_index=True)[1]
    return columns[first], which


def check_sources(
    uncertainty: Collection[Source] | None, interval: IntervalKind | None, level: float
) -> tuple[frozenset[str], float]:
    """What is asked for: the sources of uncertainty and the normal quantile.

    Raises
    ------
    OptionError
        A source or an interval that there is not.
    """
    if interval is not None:
        check_option("interval", interval, ("confidence", "prediction"))
    if uncertainty is None:
        asked = frozenset(SOURCES if interval == "prediction" else SOURCES[:3])
    else:
        asked = frozenset([uncertainty] if isinstance(uncertainty, str) else uncertainty)
        unknown = sorted(asked - set(SOURCES))
        if unknown or not asked:
            what = f"{unknown[0]!r} is no source of uncertainty" if unknown else "no source of uncertainty is named"
            raise OptionError(what, hint=f"Use any of {', '.join(map(repr, SOURCES))}.")
        if interval == "prediction" and "residual" not in asked:
            raise OptionError(
                "a prediction interval is for a new response, so 'residual' is one of its sources",
                hint="Add it, or ask for interval='confidence'.",
            )
    return asked, quantile(level)


def predict_table(
    fit: LmerState,
    newdata: Any,
    new_levels: NewLevels,
    groups: str,
    interval: IntervalKind | None,
    level: float,
    uncertainty: Collection[Source] | None,
    weights: Any,
) -> pd.DataFrame:
    """Estimate, se, lower and upper for each row; see `LmerFit.predict`."""
    asked, z = check_sources(uncertainty, interval, level)
    labels = row_labels(newdata)
    if newdata is not None:
        newdata = fit.design.spec.fetch(newdata, also=weights_columns(fit.design, weights))
    parts: list[Vector] = []
    needs: list[Null | None] = []
    done = 0
    residual = None
    if "residual" in asked:
        n = fit.nobs if newdata is None else len(newdata)
        residual = row_weights(fit.design, newdata, weights, labels, n)
    for rows in _blocks(fit, newdata, "population" if groups == "average" else new_levels):
        if groups == "average":
            rows = replace(rows, random=sparse.csr_array(rows.random.shape))
        noise = None if residual is None else 1.0 / residual[done : done + len(rows)]
        done += len(rows)
        needs.append(rows.null)
        if isinstance(fit.solution, LeastSquares):
            parts.append(_of_least_squares(fit.solution, rows, noise, asked, level, fit.nobs))
        elif "theta" in asked:
            found = fit.full_estimate(rows, residual=noise, fixed="beta" in asked, random="u" in asked)
            parts.append(np.column_stack([found.mean, found.sd, found.interval(level)]))
        else:
            mean, se = _given_theta(fit, rows, noise, asked)
            parts.append(np.column_stack([mean, se, mean - z * se, mean + z * se]))
    table = pd.DataFrame(np.concatenate(parts), columns=["estimate", "se", "lower", "upper"])
    null = Null.stack(needs, [len(part) for part in parts])
    if null is not None:
        table[~null.estimable] = np.nan
        warn_rows(fit.design, null, stacklevel=4)
    table.attrs["level"] = level
    return table


def _given_theta(
    fit: LmerState, rows: Functional, noise: Vector | None, asked: frozenset[str]
) -> tuple[Vector, Vector]:  # fmt: skip
    """(s,) predictions and standard errors with theta and sigma taken as known; `noise` as multiples of sigma^2."""
    solution, joint = fit.solution, cast(JointUncertainty, fit.solution.joint)
    variance = np.zeros(len(rows))
    if asked & {"beta", "u"}:
        fixed = rows.fixed if "beta" in asked else np.zeros_like(rows.fixed)
        random = rows.random if "u" in asked else sparse.csr_array(rows.random.shape)
        variance += row_variances(joint, fixed, random)
    if "u" in asked and rows.new_levels:
        new = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, solution.sigma))
        variance += np.asarray(new.multiply(new).sum(axis=1)).ravel()
    if noise is not None:
        variance += solution.sigma**2 * noise
    return rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset, np.sqrt(variance)


def _of_least_squares(
    solution: LeastSquares, rows: Functional, noise: Vector | None, asked: frozenset[str], level: float, n: int
) -> Vector:
    """(s, 4) prediction, standard error and ends where there are no random effects."""
    mean, variance = rows.fixed @ solution.beta + rows.offset, np.zeros(len(rows))
    if "beta" in asked:
        variance += solution.joint.variances(rows.fixed, rows.random)
    if noise is not None:
        variance += solution.sigma**2 * noise
    se = np.sqrt(variance)
    df = float(n - len(solution.beta)) if "theta" in asked else np.inf
    half = t_test(np.zeros_like(se), se, np.full(len(se), df), level)[1]
    return np.column_stack([mean, se, mean - half, mean + half])


def _blocks(fit: LmerState, newdata: pd.DataFrame | None, new_levels: NewLevels) -> Iterator[Functional]:
    """Functionals of the rows, a block at a time."""
    if newdata is None:
        whole = fit.design_for(None)
        for begin in range(0, max(len(whole), 1), ROWS):
            part = slice(begin, begin + ROWS)
            fixed = whole.fixed[part]
            none = sparse.csr_array((len(fixed), 0))
            random = sparse.csr_array(whole.random[part])
            yield Functional(fixed, random, none, (), whole.offset[part], whole.unseen[part])
        return
    for begin in range(0, max(len(newdata), 1), ROWS):
        yield fit.design_for(newdata.iloc[begin : begin + ROWS], new_levels)
