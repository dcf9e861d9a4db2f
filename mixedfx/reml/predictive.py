r"""Standard errors and intervals of predictions, with the sources of uncertainty that are asked for.

For a row c = (x, z) over (beta, u) the error of the prediction has variance

    Var(x'(beta-hat - beta) + z'(u-hat - u))  +  new G new'  +  2 d' Sigma_theta d  +  sigma^2 / w,

the parts named beta and u (both given theta; alone, each is its block of the joint covariance), u of unseen levels,
theta, and residual. d = d(c'(beta-hat, u-hat)) / dtheta, by central differences, and Sigma_theta is twice the inverse
Hessian of the criterion, sigma profiled out. d' Sigma_theta d is what estimating theta adds to the variance
(Kackar & Harville 1984, JASA 79:853), and once more as much corrects the first part, which is biased down by it to
the same order (Prasad & Rao 1990, JASA 85:163; Datta & Lahiri 2000 for REML). A theta on its boundary is held there.

Rows are worked off in blocks, and rows with the same levels share the covariance of their effects, so that memory does
not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.frame import to_pandas
from mixedfx.design.functional import Functional
from mixedfx.errors import DataError, OptionError, check_option
from mixedfx.inference.profile import quantile
from mixedfx.pls.evaluate import Evaluation, evaluate
from mixedfx.pls.joint import Joint
from mixedfx.pls.problem import Problem
from mixedfx.reml.estimate import JointUncertainty, new_level_root
from mixedfx.reml.least_squares import LeastSquares

if TYPE_CHECKING:
    from mixedfx.reml.state import LmerState
    from mixedfx.results.protocol import NewLevels

Vector = NDArray[np.float64]
Source = Literal["beta", "u", "theta", "residual"]
SOURCES = ("beta", "u", "theta", "residual")
IntervalKind = Literal["confidence", "prediction"]
ROWS = 50_000  # rows in one block
DIFFERENCE = 1e-4  # step of the central differences, relative to theta


@dataclass(frozen=True)
class ThetaError:
    """What not knowing theta does to (beta-hat, u-hat): root (p + q, r) with root root' their covariance."""

    fixed: Vector
    random: Vector

    def variances(self, rows: Functional) -> Vector:
        """(s,) twice the variance that the estimation of theta adds."""
        change = rows.fixed @ self.fixed + rows.random @ self.random
        return 2.0 * (change**2).sum(axis=1)


def theta_error(fit: LmerState) -> ThetaError:
    """Derivatives of (beta-hat, u-hat) with respect to theta, times a root of the covariance of theta-hat."""
    solution = fit.solution
    p, q = len(solution.beta), fit.design.n_random
    if isinstance(solution, LeastSquares) or len(solution.theta) == 0:
        return ThetaError(np.zeros((p, 0)), np.zeros((q, 0)))
    problem, par = solution.problem, solution.par
    free = _free(problem, par)
    hessian, change = np.zeros((len(free), len(free))), np.zeros((p + q, len(free)))
    for m, k in enumerate(free):
        step = DIFFERENCE * max(abs(float(par[k])), 0.1)
        moved = par.copy()
        ends: list[tuple[Evaluation, Joint]] = []
        for sign in (1.0, -1.0):
            moved[k] = par[k] + sign * step
            found = evaluate(problem, moved)
            ends.append((found, Joint(fit.design, problem, found)))
        (up, above), (down, below) = ends
        hessian[m] = (_gradient(up) - _gradient(down))[free] / (2.0 * step)
        change[:p, m] = (above.beta - below.beta) / (2.0 * step)
        change[p:, m] = (above.u - below.u) / (2.0 * step)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2.0)
    kept = values > 1e-8 * max(float(values.max(initial=0.0)), 1e-300)  # the others: flat, or a boundary
    root = vectors[:, kept] * np.sqrt(2.0 / values[kept])
    return ThetaError(change[:p] @ root, change[p:] @ root)


def _gradient(evaluation: Evaluation) -> Vector:
    assert evaluation.gradient is not None
    return evaluation.gradient


def _free(problem: Problem, par: Vector) -> NDArray[np.intp]:
    """Parameters off the boundary: those whose column of T has a diagonal entry that is not zero."""
    null = {(f, b) for (f, a, b), value in zip(problem.entries, par, strict=True) if a == b and value == 0.0}
    return np.array([m for m, (f, _, b) in enumerate(problem.entries) if (f, b) not in null], dtype=np.intp)


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
            raise OptionError(what, mend=f"Use any of {', '.join(map(repr, SOURCES))}.")
        if interval == "prediction" and "residual" not in asked:
            raise OptionError(
                "a prediction interval is for a new response, so 'residual' is one of its sources",
                mend="Add it, or ask for interval='confidence'.",
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
    joint = cast(JointUncertainty, fit.solution.joint)
    theta = theta_error(fit) if "theta" in asked else None
    parts: list[Vector] = []
    variances: list[Vector] = []
    for rows in _blocks(fit, newdata, "population" if groups == "average" else new_levels):
        if groups == "average":
            rows = replace(rows, random=sparse.csr_array(rows.random.shape))
        solution = fit.solution
        parts.append(rows.fixed @ solution.beta + rows.random @ solution.u + rows.offset)
        variance = np.zeros(len(rows))
        if asked & {"beta", "u"}:
            fixed = rows.fixed if "beta" in asked else np.zeros_like(rows.fixed)
            random = rows.random if "u" in asked else sparse.csr_array(rows.random.shape)
            variance += row_variances(joint, fixed, random)
        if "u" in asked and rows.new_levels:
            new = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, solution.factors, solution.sigma))
            variance += np.asarray(new.multiply(new).sum(axis=1)).ravel()
        if theta is not None:
            variance += theta.variances(rows)
        variances.append(variance)
    estimate, variance = np.concatenate(parts), np.concatenate(variances)
    if "residual" in asked:
        variance = variance + fit.sigma**2 / residual_weights(fit, newdata, weights, len(estimate))
    se = np.sqrt(variance)
    table = pd.DataFrame({"estimate": estimate, "se": se, "lower": estimate - z * se, "upper": estimate + z * se})
    table.attrs["level"] = level
    return table


def _blocks(fit: LmerState, newdata: Any, new_levels: NewLevels) -> Iterator[Functional]:
    """Functionals of the rows, a block at a time."""
    if newdata is None:
        whole = fit.design_for(None)
        for begin in range(0, len(whole), ROWS):
            part = slice(begin, begin + ROWS)
            fixed = whole.fixed[part]
            none = sparse.csr_array((len(fixed), 0))
            random = sparse.csr_array(whole.random[part])
            yield Functional(fixed, random, none, (), whole.offset[part], whole.unseen[part])
        return
    frame = newdata if isinstance(newdata, pd.DataFrame) else to_pandas(newdata)
    for begin in range(0, max(len(frame), 1), ROWS):
        yield fit.design_for(frame.iloc[begin : begin + ROWS], new_levels)


def residual_weights(fit: LmerState, newdata: Any, weights: Any, n: int) -> Vector:
    """(n,) precision weights of the rows to predict.

    Those given (values, or a column of the new data); else those of the fit for its own rows, the column that the fit
    was weighted by where the new data have it, and 1 otherwise.

    Raises
    ------
    DataError
        Weights that are not n positive numbers.
    """
    if weights is None:
        if newdata is None:
            return np.ones(n) if fit.design.weights is None else fit.design.weights
        name = None if fit.call is None else fit.call.weights
        if not (isinstance(name, str) and name in newdata.columns):
            return np.ones(n)
        weights = name
    if isinstance(weights, str):
        frame = fit.design.frame if newdata is None else to_pandas(newdata)
        if weights not in frame.columns:
            raise DataError(f"the data have no column {weights!r} of weights")
        weights = frame[weights]
    out = np.asarray(weights, dtype=np.float64).reshape(-1)
    if len(out) != n or not np.all(out > 0) or not np.all(np.isfinite(out)):
        raise DataError(f"weights must be {n} positive numbers, one for each row", mend="The default is 1.")
    return out
