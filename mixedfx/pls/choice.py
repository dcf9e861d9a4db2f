"""Which solver a model with crossed terms gets, by what each is forecast to take, before anything large is allocated.

The factor of the second level fills in where levels meet at random, and then takes 8 q^2 bytes and q^3 operations.
How far a level reaches is seen from a few of them: their rows' levels of the first factor, and all columns of the
rows of these. Where a level reaches much of the second level in one step, or in two without the levels that
everything meets, no order keeps the factor sparse. That takes a few passes over the codes; nothing is sorted or
multiplied.

The iterative solver holds rows, four bytes for each column, and a few dozen vectors of effects for each right-hand
side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.precision import Independent
from mixedfx.errors import MemoryForecastError
from mixedfx.pls.coupling import CORNERS_HELD, DENSE_COST, DENSE_SHARE
from mixedfx.pls.iterative import BATCH, SINGLE_FROM

Solver = Literal["auto", "direct", "iterative"]

SAMPLE = 8  # levels that are followed
REACHED = 0.3  # share of the second level that is reached in two steps where the factor fills in
FILLED = 0.95  # share of the columns that such a factor leaves dense
HUB = 10.0  # times the mean rows of a level, above which it connects everything and says nothing of the rest
SLOW = 120.0  # seconds of the direct solver that iteration may be preferred to
GAIN = 4.0  # times that it has to be faster for it
EVALUATIONS = 6.0  # a fit takes, each as long as `DENSE_COST` says of one factor with its inverse
PASSES = 600.0  # over the rows, with one right-hand side
PASS_COST = 6e-9  # seconds a row and column of the second level
FREE = 0.9  # share of the free memory that may be planned with


@dataclass(frozen=True)
class Forecast:
    """What the solvers would take.

    Attributes
    ----------
    columns
        Random effects of the second level.
    tail
        Those whose factor is dense; 0 where it stays sparse, as far as can be seen from a few levels.
    direct, iterative
        Megabytes on top of the data.
    direct_seconds, iterative_seconds
        Time of a fit.
    """

    columns: int
    tail: int
    direct: float
    iterative: float
    direct_seconds: float
    iterative_seconds: float


def forecast(design: Design, row: float = 0.0, times: float = 1.0) -> Forecast:
    """What each solver would take for a design.

    Parameters
    ----------
    design
        What is fitted.
    row
        Bytes that the iterative solver holds for each row besides those of a linear mixed model.
    times
        How many times as long as a linear mixed model's a fit takes by either.
    """
    sizes: dict[str, int] = {}
    codes: dict[str, NDArray[np.intp]] = {}
    for term in design.random:
        sizes[term.label] = sizes.get(term.label, 0) + term.n_levels * term.n_columns
        codes[term.label] = term.codes
    first = max(sizes, key=lambda label: sizes[label])
    columns = sum(sizes.values()) - sizes[first]
    n, width = len(design.y), sum(t.n_columns for t in design.random if t.label != first)
    k1 = sum(t.n_columns for t in design.random if t.label == first)
    tail = _tail(codes[first], {label: c for label, c in codes.items() if label != first}, sizes)
    number = 4 if n >= SINGLE_FROM else 8
    valued = not isinstance(design.precision, Independent) or design.precision.weights is not None
    valued = valued or width + k1 > len(sizes)
    rows = n * (4.0 * width + (8.0 * (width + k1) if valued else 0.0) + row)
    vectors = BATCH * (number * HELD_SECOND * columns + 8.0 * HELD_FIRST * sizes[first])
    return Forecast(
        columns, tail, CORNERS_HELD * 8.0 * float(tail) ** 2 / 2**20, (rows + vectors) / 2**20,
        times * EVALUATIONS * DENSE_COST * float(tail) ** 3, times * PASSES * PASS_COST * n * max(width, 1),
    )  # fmt: skip


HELD_SECOND = 14.0  # vectors of the second level for each probe that is solved for at the same time
HELD_FIRST = 4.0  # and of the first


def _tail(first: NDArray[np.intp], others: dict[str, NDArray[np.intp]], sizes: dict[str, int]) -> int:
    """Columns whose factor fills in, from how far a few levels of the largest factor reach."""
    label = max(others, key=lambda name: sizes[name])
    second, columns = others[label], sum(sizes[name] for name in others)
    counts1, counts2 = np.bincount(first), np.bincount(second)
    plain1, plain2 = counts1 <= HUB * counts1.mean(), counts2 <= HUB * counts2.mean()
    levels = np.random.default_rng(0).choice(len(counts2), min(SAMPLE, len(counts2)), replace=False)
    marked = np.zeros((len(levels), len(counts2)), dtype=bool)
    marked[np.arange(len(levels)), levels] = True
    once = _reached(first, second, marked, np.ones(len(counts1), dtype=bool))
    if once.mean() > DENSE_SHARE:
        return columns
    twice = _reached(first, second, once & plain2, plain1)
    return int(FILLED * columns) if twice.mean() > REACHED else 0


def _reached(
    first: NDArray[np.intp], second: NDArray[np.intp], marked: NDArray[np.bool_], through: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(s, q2) levels that share a level of the first factor, one that they may go `through`, with those `marked`."""
    rows = np.flatnonzero(np.asarray(marked.any(axis=0))[second])
    one, two = first[rows], second[rows]
    met = np.zeros((len(marked), len(through)), dtype=bool)
    for m in range(len(marked)):
        met[m, one[marked[m, two]]] = True
    met &= through
    rows = np.flatnonzero(np.asarray(met.any(axis=0))[first])
    one, two = first[rows], second[rows]
    out = marked.copy()
    for m in range(len(met)):
        out[m, two[met[m, one]]] = True
    return out


def choose(design: Design, solver: Solver, row: float = 0.0, times: float = 1.0) -> bool:
    """Whether a design is to be solved by iteration; `row` and `times` as in `forecast`.

    Raises
    ------
    MemoryForecastError
        If what was asked for, or either, would not fit in the memory that is free.
    """
    import psutil

    from mixedfx.pls.iterative_problem import refusal

    found = forecast(design, row, times)
    free = FREE * psutil.virtual_memory().available / 2**20
    possible = not refusal(design)
    if solver == "auto" and possible:
        slow = found.direct_seconds > SLOW and found.direct_seconds > GAIN * found.iterative_seconds
        if (found.direct > free or slow) and found.iterative <= free:
            return True
    if found.direct > free:
        least = f"; the iterative solver {found.iterative:,.0f} MB" if possible else ""
        raise MemoryForecastError(
            f"a fit of this model needs {found.direct:,.0f} MB ({found.tail:,} crossed random effects fill in){least}; "
            f"{free / FREE:,.0f} MB are free",
            hint='Say control={"solver": "iterative"} if that fits, drop levels with few rows, move the second largest '
            "grouping factor to the fixed part, or fit on a machine with more memory.",
        )
    return False
