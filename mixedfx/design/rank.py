"""Which columns of X are linear combinations of the columns before them.

R's rule (the pivoted LINPACK QR behind ``lm``): going from left to right, a column is aliased where its distance from
the space of the columns kept so far is less than 1e-7 of its own length. Here the length is that of the column about
its mean: a Julian day is mostly constant, and what is measured of it is how far the days differ. So that rounding is
not taken for a difference, the distance must also be 1e-12 of the whole length. With the columns scaled to unit length
the distance is the diagonal of the Cholesky factor of X'X, which costs one pass over the rows. Forming X'X halves the
digits, so the factor is trusted only where it is far from singular; otherwise X is reduced to its p x p factor R by
one QR, and the rule is applied to the columns of R, which have the same lengths and angles as those of X.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import RankDeficiencyWarning, outside

TOLERANCE = 1e-7
ROUNDING = 1e-12
_TRUSTED = 1e-3


def independent_columns(X: NDArray[np.float64], tolerance: float = TOLERANCE) -> NDArray[np.intp]:
    """Positions of the columns of X (n, p) that are kept, left to right.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.design.rank import independent_columns
    >>> x = np.arange(4.0)
    >>> independent_columns(np.column_stack([np.ones(4), x, 2 * x - 1, x**2])).tolist()
    [0, 1, 3]
    """
    n, p = X.shape
    every = np.arange(p, dtype=np.intp)
    if p == 0:
        return every
    if n >= p and _far_from_singular(X):
        return every
    largest = np.abs(X).max(axis=0, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)  # squares of the entries would else overflow before the QR does
    scaled = X / scale
    least = np.maximum(
        tolerance * np.linalg.norm(scaled - scaled.mean(axis=0), axis=0), ROUNDING * np.linalg.norm(scaled, axis=0)
    )
    return np.array(_left_to_right(np.asarray(np.linalg.qr(scaled, mode="r")), least), dtype=np.intp)


def _far_from_singular(X: NDArray[np.float64]) -> bool:
    with np.errstate(all="ignore"):  # where squares overflow or vanish, comparisons with NaN send X to the QR
        gram = X.T @ X
        length = np.sqrt(gram.diagonal())
        correlation = gram / (length[:, None] * length)
    if not np.isfinite(correlation).all():
        return False
    try:
        return bool(np.linalg.cholesky(correlation).diagonal().min() > _TRUSTED)
    except np.linalg.LinAlgError:
        return False


def _left_to_right(R: NDArray[np.float64], least: NDArray[np.float64]) -> list[int]:
    """Columns whose distance from those kept before is at least `least` (p,), and not zero."""
    kept: list[int] = []
    basis = np.empty((R.shape[0], 0))
    for j in range(R.shape[1]):
        column = R[:, j]
        rest = column
        for _ in range(2):  # twice is enough for orthogonality to machine precision
            rest = rest - basis @ (basis.T @ rest)
        distance = float(np.linalg.norm(rest))
        if distance > 0 and distance >= least[j] and len(kept) < R.shape[0]:
            kept.append(j)
            basis = np.column_stack([basis, rest / distance])
    return kept


def combination(
    X: NDArray[np.float64], kept: NDArray[np.intp], aliased: int, tolerance: float = 1e-6
) -> NDArray[np.intp]:
    """Positions of the kept columns that column `aliased` is a combination of."""
    scale = np.linalg.norm(X[:, kept], axis=0)
    length = np.linalg.norm(X[:, aliased])
    if length == 0 or len(kept) == 0:
        return np.empty(0, dtype=np.intp)
    coefficients = np.linalg.lstsq(X[:, kept] / scale, X[:, aliased] / length, rcond=None)[0]
    return kept[np.abs(coefficients) > tolerance]


def full_rank(
    full: NDArray[np.float64], columns: Sequence[str], constant: Mapping[str, str]
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Find the columns of a fixed part to keep and the labels of those dropped, and warn of the latter.

    Parameters
    ----------
    full, columns
        (n, p) all columns, and their labels.
    constant
        Factors with one level, which have no column: name -> level.
    """
    kept = independent_columns(full)
    return kept, warn_dropped(full, kept, columns, constant)


def warn_dropped(
    full: NDArray[np.float64], kept: NDArray[np.intp], columns: Sequence[str], constant: Mapping[str, str]
) -> tuple[str, ...]:
    """Labels of the columns of a fixed part that are not `kept`, with a warning; arguments as in `full_rank`."""
    dropped = [j for j in range(full.shape[1]) if j not in set(kept.tolist())]
    if not dropped and not constant:
        return ()
    lines = []
    for name, level in constant.items():
        lines.append(f"{name}: has the one level '{level}', which the intercept stands for already")
    for j in dropped:
        others = [columns[int(i)] for i in combination(full, kept, j)]
        why = "a combination of " + ", ".join(others) if others else "zero in every row"
        lines.append(f"{columns[j]}: {'constant, as the intercept is' if others == ['Intercept'] else why}")
    said = "the fixed part is rank deficient; dropped:\n  " + "\n  ".join(lines)
    warnings.warn(said, RankDeficiencyWarning, stacklevel=outside())
    return (*constant, *(columns[j] for j in dropped))
