r"""Replicate weights: which they are, what they multiply, and the variance of estimates by them.

A replicate is the sample with other weights: W_i^(r) = f_i^(r) W_i for row i. The covariance of estimates t is

    V = sum_r c_r (t_r - t)(t_r - t)',

about the estimate t of the full weights, with c_r = 1 / R for balanced repeated replication (McCarthy 1969), 1 / (R
(1 - rho)^2) for Fay's (Judkins 1990, Journal of Official Statistics 6:223), (R - 1) / R for the jackknife, 1 for the
jackknife of pairs, and (n_h - 1) / n_h for that of strata (Wolter 2007, Introduction to Variance Estimation).

**Levels.** What a replicate multiplies a whole unit by is a weight of that unit, and not of its rows: with f_u the mean
of f_i over the rows of unit u, weighted by W_i, the conditional weight of unit u in unit k is multiplied by f_u / f_k,
that of row i by f_i / f_u. Left in the weights of rows, scaling within units would take it out again, and a school left
out of a replicate would be an empty one. Weights that were scaled keep the scale of the full sample.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.frame import nearest
from mixedfx.errors import DataError, OptionError, some_rows
from mixedfx.surveys.levels import Nesting
from mixedfx.surveys.options import ReplicateMethod, Replicates
from mixedfx.surveys.weights import LevelWeights, SampleWeights

Array = NDArray[np.float64]

ALIKE = 0.02  # differences of factors that are adjustments for non-response, or rounding
MOSTLY = 0.9  # share of rows that have to agree with a method for it to be seen
UNLIKE = 1.5  # times the sum of the full weights that those of replicates may be, or the inverse, on average
CONSTANT = 1e-9  # relative differences of factors within units that are rounding


@dataclass(frozen=True, eq=False)
class ReplicateMethods:
    """One method.

    Attributes
    ----------
    words
        What it is called.
    factor
        Factor of the squared deviations, from the number of replicates and rho.
    """

    words: str
    factor: Any


METHODS: dict[ReplicateMethod, ReplicateMethods] = {
    "brr": ReplicateMethods("balanced repeated replication", lambda R, rho: 1.0 / R),
    "fay": ReplicateMethods("Fay's balanced repeated replication", lambda R, rho: 1.0 / (R * (1.0 - rho) ** 2)),
    "jk1": ReplicateMethods("the jackknife without strata", lambda R, rho: (R - 1.0) / R),
    "jk2": ReplicateMethods("the jackknife of pairs", lambda R, rho: 1.0),
    "jkn": ReplicateMethods("the jackknife of strata", lambda R, rho: 1.0),
}


def replicate_columns(asked: Replicates, names: Sequence[Any]) -> tuple[str, ...]:
    """Names of the columns of replicate weights; empty where they were given as values.

    Columns of a pattern are in the order of the numbers in their names.

    Examples
    --------
    >>> from mixedfx.surveys.options import replicates
    >>> from mixedfx.surveys.replication import replicate_columns
    >>> replicate_columns(replicates("W*"), ["y", "W10", "W2", "W1"])
    ('W1', 'W2', 'W10')
    """
    given = asked.columns
    if isinstance(given, str):
        pattern = re.compile(".*".join(map(re.escape, given.split("*"))))
        found = [name for name in names if isinstance(name, str) and pattern.fullmatch(name)]
        if len(found) < 2:
            raise OptionError(
                f"replicates={given!r} matches {len(found)} columns",
                hint=nearest(given.replace("*", "1"), names) or 'Write a pattern, "W_FSTURWT*", or list the columns.',
            )
        return tuple(sorted(found, key=lambda name: [int(d) for d in re.findall(r"\d+", name)] or [0]))
    if isinstance(given, Sequence) and all(isinstance(one, str) for one in given):
        if len(given) < 2:
            raise OptionError("replicates= names fewer than two columns")
        return tuple(given)
    return ()


def replicate_values(asked: Replicates, columns: Sequence[str], frame: pd.DataFrame) -> Array:
    """(N, R) replicate weights of all rows of the data.

    Raises
    ------
    DataError
        Values of another shape, or negative ones.
    """
    try:
        values = np.asarray(frame.loc[:, list(columns)] if columns else asked.columns, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("replicate weights are not numbers throughout") from None
    if values.ndim != 2 or len(values) != len(frame) or values.shape[1] < 2:
        raise DataError(
            f"replicate weights have the shape {values.shape}, and the data {len(frame)} rows",
            hint="Give an array (rows, replicates), or name the columns.",
        )
    bad = np.flatnonzero((values < 0).any(axis=1) | np.isinf(values).any(axis=1))
    if len(bad):
        raise DataError(f"replicate weights are negative or infinite in {some_rows(bad)} (counted from 0)")
    return values


@dataclass(frozen=True, eq=False)
class ReplicateWeights:
    """Replicates of one design.

    Attributes
    ----------
    factors
        (R, n) what each multiplies the overall weight of each sorted row by.
    scales
        (R,) factors of squared deviations.
    df
        Rank of the replicate weights less one.
    words
        Method and number in a sentence fragment.
    asked, columns
        What the user said, and the columns that were named, if any.
    """

    factors: Array
    scales: Array
    df: int
    words: str
    asked: Replicates
    columns: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of replicates R."""
        return len(self.factors)

    def covariance(self, full: Array, replicates: Array) -> Array:
        """(m, m) covariance of estimates (m,) from those of the replicates (R, m)."""
        rest = (replicates - full) * np.sqrt(self.scales)[:, None]
        return rest.T @ rest


def replicate_weights(
    asked: Replicates, values: Array, weights: SampleWeights, used: NDArray[np.intp], columns: Sequence[str] = ()
) -> ReplicateWeights:
    """Factors of the rows of a design, and what the method makes of them.

    Parameters
    ----------
    asked
        What the user said.
    values
        (N, R) weights of all rows of the data.
    weights
        The full weights.
    used
        (n,) positions of the sorted rows of the design.
    columns
        Names of the columns that hold them.

    Raises
    ------
    DataError
        Missing replicate weights.
    OptionError
        Weights that are no replicates of the full ones, a method that cannot be seen from them, or `scales` of another
        number.
    """
    own = values[used]
    lacking = np.flatnonzero(np.isnan(own).any(axis=1))
    if len(lacking):
        raise DataError(f"replicate weights are missing in {some_rows(np.sort(used[lacking]))} (counted from 0)")
    factors = (own / weights.overall[:, None]).T
    R = len(factors)
    size = float(own.sum() / (R * weights.overall.sum()))
    if not 1.0 / UNLIKE < size < UNLIKE:
        raise OptionError(
            f"replicate weights add up to {size:.3g} times the full weights of rows on average, and are no replicates "
            "of them",
            hint='Give the weights that were replicated as "row": sampling_weights={"row": "W_FSTUWT", ...}.',
        )
    seen = asked.method is None and asked.scales is None
    method, rho = (asked.method, asked.rho) if not seen else seen_method(factors)
    if asked.scales is not None:
        scales = np.broadcast_to(np.asarray(asked.scales, dtype=np.float64), (R,)) if np.ndim(asked.scales) == 0 else (
            np.asarray(asked.scales, dtype=np.float64)
        )  # fmt: skip
        if scales.shape != (R,):
            raise OptionError(f"scales= has {len(scales)} factors for {R} replicates")
    else:
        assert method is not None
        scales = np.full(R, METHODS[method].factor(R, rho))
    name = "replicates with factors as given" if method is None else METHODS[method].words
    of_rho = f" (rho {rho:g})" if method == "fay" else ""
    centred = factors * np.sqrt(weights.overall)
    values_of = np.linalg.eigvalsh(centred @ centred.T)
    df = int((values_of > 1e-10 * values_of[-1]).sum()) - 1
    words = (
        f"{R} replicate weights, {name}{of_rho}{', as seen from the weights' if seen else ''}: {df} degrees of freedom"
    )
    return ReplicateWeights(factors, np.array(scales, dtype=np.float64), df, words, asked, tuple(columns))


def seen_method(factors: Array) -> tuple[ReplicateMethod, float]:
    """Which replicates (R, n) factors of full weights are.

    Raises
    ------
    OptionError
        Where they are like none of the methods.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.surveys.replication import seen_method
    >>> seen_method(np.array([[0.5, 1.5, 0.5, 1.5], [1.5, 0.5, 0.5, 1.5]]))
    ('fay', 0.5)
    >>> seen_method(np.array([[0.0, 2.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 2.0, 0.0, 1.0, 1.0]]))
    ('jk2', 0.5)
    """
    R = len(factors)

    def mostly(hit: NDArray[np.bool_]) -> bool:
        return bool(hit.mean() >= MOSTLY)

    def near(value: float) -> NDArray[np.bool_]:
        return np.abs(factors - value) <= ALIKE * max(value, 1.0)

    if mostly(near(0.0) | near(2.0)) and not near(1.0).any():
        return "brr", 0.5
    low = factors[factors < 1.0 - ALIKE]
    rho = float(np.round(np.median(low), 2)) if len(low) else 0.0
    if rho > ALIKE and mostly(near(rho) | near(2.0 - rho)):
        return "fay", rho
    if mostly(near(1.0) | near(0.0) | near(2.0)) and near(2.0).any() and near(1.0).mean() > 0.5:
        return "jk2", 0.5
    if R > 2 and mostly(near(0.0) | near(R / (R - 1.0))) and not near(2.0).any() and near(0.0).any():
        return "jk1", 0.5
    raise OptionError(
        "what kind of replicates these are cannot be seen from the weights",
        hint='Say it: replicates=mx.replicates("W*", method="fay", rho=0.5); methods are '
        + ", ".join(f'"{name}" ({one.words})' for name, one in METHODS.items())
        + ".",
    )


def level_weights(weights: SampleWeights, nesting: Nesting, factors: Array) -> LevelWeights:
    """Conditional weights of replicates from factors (R, n) of the overall weights of sorted rows."""
    full = weights.conditional
    if not nesting.levels:
        return LevelWeights(full.rows * factors, ())
    W = weights.overall
    of_units = []
    for level in nesting.levels:
        total = np.add.reduceat(factors * W, level.first_rows, axis=1)
        of_units.append(total / np.add.reduceat(W, level.first_rows))
    units = []
    for depth, (mean, w) in enumerate(zip(of_units, full.units, strict=True)):
        if depth < len(of_units) - 1:
            above = nesting.levels[depth + 1]
            size = np.diff(np.append(above.starts, mean.shape[1]))
            mean = _share(mean, np.repeat(of_units[depth + 1], size, axis=1))
        units.append(w * mean)
    size = np.diff(np.append(nesting.levels[0].starts, len(W)))
    share = _share(factors, np.repeat(of_units[0], size, axis=1))
    rows = full.rows if np.abs(share - 1.0).max() <= CONSTANT else full.rows * share
    return LevelWeights(rows, tuple(units))


def _share(part: Array, whole: Array) -> Array:
    """Factors of members over that of their unit; one where that is zero, and the unit left out anyway."""
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0.0)
