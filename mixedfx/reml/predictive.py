r"""Standard errors and intervals of predictions, with the sources of uncertainty that are asked for.

For a row c = (x, z) over (beta, u) the sources are: beta and u, both given theta (alone, each is its block of the joint
covariance of their errors); u of unseen levels, new G new'; theta, that the variances are estimated; and the residual
of a new response, sigma^2 / w. The rule for theta is that of effects, `mixedfx.inference.full_estimate`: the mean of a
row that holds fixed effects alone has the standard error and the t interval that `tidy` and `emmeans` give it,
everything else is averaged over nodes of theta and sigma. So one number has one interval, whoever is asked. Without
random effects everything is t with n - p degrees of freedom, and exact; with theta left out, intervals are normal.

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
from mixedfx.design.design import Design
from mixedfx.design.estimable import Null
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.design.rows_used import row_weights, weights_columns
from mixedfx.errors import IterativeSolverError, OptionError, check_option
from mixedfx.inference.normal_estimate import JointUncertainty, new_level_root
from mixedfx.inference.profile import quantile
from mixedfx.inference.row_variances import row_variances
from mixedfx.reml.least_squares import LeastSquares
from mixedfx.reml.solution import Solution, residual_df
from mixedfx.reml.uncertainty import Uncertain
from mixedfx.results.tables import t_test
from mixedfx.results.undetermined import warn_rows

if TYPE_CHECKING:
    from mixedfx.results.protocol import NewLevels

Vector = NDArray[np.float64]
Source = Literal["beta", "u", "theta", "residual"]
SOURCES = ("beta", "u", "theta", "residual")
IntervalKind = Literal["confidence", "prediction"]
ROWS = 10_000  # rows in one block, each of them at every node of theta


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
    known: Uncertain,
    newdata: Any,
    new_levels: NewLevels,
    groups: str,
    interval: IntervalKind | None,
    level: float,
    uncertainty: Collection[Source] | None,
    weights: Any,
) -> pd.DataFrame:
    """Estimate, se, lower and upper for each row; see `LmerFit.predict`."""
    design, solution = known.design, known.solution
    asked, z = check_sources(uncertainty, interval, level)
    if known.iterative:
        if uncertainty is not None and "theta" in asked:
            raise IterativeSolverError(
                "the uncertainty of theta is averaged over fits at other theta, each by the factor that an iterative "
                "fit does without",
                hint='Leave \'theta\' out of uncertainty=, or fit with control={"solver": "direct"}.',
            )
        asked -= {"theta"}
    labels = row_labels(newdata)
    if newdata is not None:
        newdata = design.spec.fetch(newdata, also=weights_columns(design, weights))
    parts: list[Vector] = []
    needs: list[Null | None] = []
    done = 0
    residual = None
    if "residual" in asked:
        n = len(design.y) if newdata is None else len(newdata)
        residual = row_weights(design, newdata, weights, labels, n)
    for rows in _blocks(design, newdata, "population" if groups == "average" else new_levels):
        if groups == "average":
            rows = replace(rows, random=sparse.csr_array(rows.random.shape))
        noise = None if residual is None else 1.0 / residual[done : done + len(rows)]
        done += len(rows)
        needs.append(rows.null)
        if isinstance(solution, LeastSquares):
            parts.append(_of_least_squares(solution, rows, noise, asked, level, residual_df(design, solution)))
        elif "theta" in asked:
            found = known.full(rows, residual=noise, fixed="beta" in asked, random="u" in asked)
            parts.append(np.column_stack([found.mean, found.sd, found.interval(level)]))
        else:
            mean, se = _given_theta(solution, rows, noise, asked)
            parts.append(np.column_stack([mean, se, mean - z * se, mean + z * se]))
    table = pd.DataFrame(np.concatenate(parts), columns=["estimate", "se", "lower", "upper"])
    null = Null.stack(needs, [len(part) for part in parts])
    if null is not None:
        table[~null.estimable] = np.nan
        warn_rows(design, null)
    table.attrs["level"] = level
    return table


def _given_theta(
    solution: Solution, rows: Functional, noise: Vector | None, asked: frozenset[str]
) -> tuple[Vector, Vector]:  # fmt: skip
    """(s,) predictions and standard errors with theta and sigma taken as known; `noise` as multiples of sigma^2."""
    joint = cast(JointUncertainty, solution.joint)
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
    solution: LeastSquares, rows: Functional, noise: Vector | None, asked: frozenset[str], level: float,
    residual: float,
) -> Vector:  # fmt: skip
    """(s, 4) prediction, standard error and ends where there are no random effects."""
    mean, variance = rows.fixed @ solution.beta + rows.offset, np.zeros(len(rows))
    if "beta" in asked:
        variance += solution.joint.variances(rows.fixed, rows.random)
    if noise is not None:
        variance += solution.sigma**2 * noise
    se = np.sqrt(variance)
    df = residual if "theta" in asked else np.inf
    half = t_test(np.zeros_like(se), se, np.full(len(se), df), level)[1]
    return np.column_stack([mean, se, mean - half, mean + half])


def _blocks(design: Design, newdata: pd.DataFrame | None, new_levels: NewLevels) -> Iterator[Functional]:
    """Functionals of the rows, a block at a time."""
    if newdata is None:
        whole = functional_for(design, None, "error")
        for begin in range(0, max(len(whole), 1), ROWS):
            part = slice(begin, begin + ROWS)
            fixed = whole.fixed[part]
            none = sparse.csr_array((len(fixed), 0))
            random = sparse.csr_array(whole.random[part])
            yield Functional(fixed, random, none, (), whole.offset[part], whole.unseen[part])
        return
    for begin in range(0, max(len(newdata), 1), ROWS):
        yield functional_for(design, newdata.iloc[begin : begin + ROWS], new_levels)
