r"""Separation: coefficients that have no finite estimate, because a combination of predictors decides the response.

Call a row high where it has successes only, low where it has failures only (or a count of zero). If some b other than
zero has x'b >= 0 in all high rows, x'b <= 0 in all low ones, x'b = 0 in all others, and is not zero everywhere, then
the likelihood grows along beta + t b without end (Albert & Anderson 1984, Biometrika 71:1), whatever the random effects
are. Counts under the log link have low rows and others. Whether there is such a b is a linear programme (Konis 2007);
it is solved where a fitted coefficient moves the linear predictor so far over the range of its column that little else
is likely.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.families.family import Family

Vector = NDArray[np.float64]

SUSPECT = {"probit": 4.0, "cloglog": 3.0, "cauchit": 30.0}  # of eta, that a column moves over its range
SUSPECT_ELSEWHERE = 8.0
MOST_ROWS = 50_000  # distinct rows up to which the programme is solved
ZERO = 1e-7


def separated_columns(design: Design, family: Family, beta: Vector) -> tuple[str, ...]:
    """Names of columns a combination of which decides the response; none where there is no such combination.

    Parameters
    ----------
    design, family
        What was fitted.
    beta
        (p,) estimates.
    """
    outcome, p = family.outcome, design.X.shape[1]
    if outcome not in ("binary", "trials") and not (outcome == "count" and family.link.name == "log"):
        return ()
    X = design.X
    reach = np.abs(beta) * np.maximum(np.ptp(X, axis=0), np.abs(X).max(axis=0)) if len(X) and p else np.zeros(0)
    if not (reach > SUSPECT.get(family.link.name, SUSPECT_ELSEWHERE)).any():
        return ()
    signed, level = _sides(design, outcome)
    scaled = X / np.abs(X).max(axis=0)
    rows = np.unique(np.column_stack([scaled, signed, level]), axis=0)
    if len(rows) > MOST_ROWS:
        return ()
    scaled, signed, level = rows[:, :p], rows[:, p], rows[:, p + 1]
    A, E = scaled[level == 0] * signed[level == 0, None], scaled[level == 1]
    kept = np.arange(p)
    if not _separates(A, E, kept):
        return ()
    for j in range(p):  # leave out what is not needed
        fewer = kept[kept != j]
        if len(fewer) and _separates(A, E, fewer):
            kept = fewer
    names = [design.fixed_names[j] for j in kept]
    others = [name for name in names if name != "Intercept"]
    return tuple(others or names)


def _sides(design: Design, outcome: str) -> tuple[Vector, Vector]:
    """(n,) the sign that x'b must have, and whether it must be zero instead."""
    y = design.y
    if outcome == "count":
        return np.where(y == 0, -1.0, 0.0), (y > 0).astype(float)
    trials = np.ones(len(y)) if design.trials is None else design.trials
    mixed = (y > 0) & (y < trials)
    return np.where(mixed | (trials == 0), 0.0, np.where(y > 0, 1.0, -1.0)), mixed.astype(float)


def _separates(A: Vector, E: Vector, columns: NDArray[np.intp]) -> bool:
    """Whether some combination of the columns separates: A b >= 0, not all zero, and E b = 0."""
    from scipy.optimize import linprog

    a, e = A[:, columns], E[:, columns]
    if not len(a):
        return False
    total = a.sum(axis=0)
    found = linprog(
        -total, A_ub=-a, b_ub=np.zeros(len(a)), A_eq=e if len(e) else None, b_eq=np.zeros(len(e)) if len(e) else None,
        bounds=(-1.0, 1.0), method="highs",
    )  # fmt: skip
    return found.status == 0 and -found.fun > ZERO * max(1.0, float(np.abs(total).max()))


def in_words(columns: tuple[str, ...], family: Family, way: str) -> str:
    """What is said of them; `way` is how to fit the model with a prior."""
    what = "zeros only" if family.outcome == "count" else "successes only, or failures only"
    names = ", ".join(columns)
    return (
        f"separation: {names} tell{'s' if len(columns) == 1 else ''} rows apart that are "
        f"{what}. The likelihood grows without end as the coefficients run to infinity; estimates and standard "
        f"errors of {names} mean nothing. Leave a column out, join levels, or say what is plausible by a prior: "
        f"{way}; mx.bayes(..., priors=...) has its posterior."
    )
