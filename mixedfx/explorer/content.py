r"""What a page to explore holds: people in cells, and what is known of effects in each cell, jointly.

A cell is a combination of the columns from which readers choose. Any subgroup of theirs is a set of cells, and its
number comes from weights w_c that sum to one:

* ``linear``: the number is sum_c w_c x_c of effects (or averages) x_c of cells, or a monotone function of that;
* ``compared``: averages under each value of the treatment are averaged over cells first and compared then, draw by
  draw, as a ratio of two means has to be.

Joint draws of the cells answer both. Where the fit knows more than draws, the page does too (`ExactLaw`): intervals are
then those of the fit, whatever the subgroup, and not quantiles of draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Functions that are undone, outermost first: ("log",), ("affine", shift, factor).
Steps = Sequence[tuple[str | float, ...]]


@dataclass(frozen=True)
class Column:
    """A column from which readers choose: its name in the data, what readers call it, and the same of its levels."""

    name: str
    label: str
    keys: tuple[str, ...]
    levels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ExactLaw:
    r"""What a fit knows of any linear combination w of s cells, without draws, in J series.

    Of cells with random effects it is the mixture over nodes k of `mixedfx.inference.full_estimate`: means w'm_k about
    the estimate, variances ``sum_r loadings_kr w'B_r w + (w'gap)^2``. The covariances of cells at K nodes are K points
    of a space of few dimensions, the matrices B_r. Of cells without, t: variance w'C w, and degrees of freedom with
    ``1 / df = 1 / nu + sum_m (w'D_m w)^2 / (w'C w)^2`` (`mixedfx.inference.satterthwaite`).

    Attributes
    ----------
    random
        (J, s) cells with random effects.
    weights
        (K,) of the nodes; empty where no cell has random effects.
    means
        (J, K, s) means at the nodes.
    loadings, basis
        (J, K, R) and (J, R, s (s + 1) / 2) upper triangles, row by row.
    gap
        (J, s) estimate less mean of the mixture.
    cov, derivatives
        (J, s (s + 1) / 2) and (J, M, s (s + 1) / 2) upper triangles of C and D_m.
    nu
        Degrees of freedom of the residual variance.
    """

    random: NDArray[np.bool_]
    weights: Array
    means: Array
    loadings: Array
    basis: Array
    gap: Array
    cov: Array
    derivatives: Array
    nu: float


@dataclass(frozen=True, eq=False)
class PooledLaw:
    r"""What m data sets know of any linear combination of s cells, in J series, for Rubin's rules.

    Of a combination w, data set k has the estimate w'means_k and the variance w'mixed_k w where w holds random effects,
    w'fixed_k w where it does not, with degrees of freedom as in `ExactLaw`.

    Attributes
    ----------
    random
        (m, J, s) cells with random effects.
    means
        (m, J, s) estimates.
    mixed, fixed
        (m, J, s (s + 1) / 2) upper triangles, row by row; empty where they are not needed.
    derivatives
        (m, J, M, s (s + 1) / 2).
    nu
        (m,) degrees of freedom of the residual variances.
    """

    random: NDArray[np.bool_]
    means: Array
    mixed: Array
    fixed: Array
    derivatives: Array
    nu: Array


@dataclass(frozen=True, eq=False)
class Rule:
    """How averages become a number, draw by draw.

    Attributes
    ----------
    name
        Of the comparison.
    pairs
        (higher, lower) values of the treatment.
    categories
        How many categories the response has, 1 where it has none.
    back
        What is undone before two averages are compared; empty for nothing.
    increments
        Whether the second value holds what a unit adds to the first.
    units
        Units between the two values.
    """

    name: str
    pairs: tuple[tuple[int, int], ...]
    categories: int
    back: Steps = ()
    increments: bool = False
    units: float = 1.0


@dataclass(frozen=True, eq=False)
class Law:
    """What is known of s cells in J series (contrasts of treatment values times categories).

    Attributes
    ----------
    draws
        (D, J, s) joint draws; (D, V K, s) averages under each value of the treatment where there is a `rule`.
        Those of several `sets` follow each other, as many of each.
    total
        How many draws there were before they were thinned.
    lost
        (J, s) cells whose numbers the data do not determine.
    means
        (J, s) estimates, of several sets their (m, J, s); None where there is a rule.
    exact
        None where draws are all that is known.
    curve
        The monotone function of what is linear; empty for none.
    rule
        How averages are compared; None for what is linear.
    sets
        Data sets whose draws are pooled; 1 where draws are of the answer itself.
    """

    draws: Array
    total: int
    lost: NDArray[np.bool_]
    means: Array | None = None
    exact: ExactLaw | PooledLaw | None = None
    curve: Steps = ()
    rule: Rule | None = None
    sets: int = 1


@dataclass(frozen=True, eq=False)
class Population:
    """Whom averages are over: s cells as (s, columns) codes of levels, their rows and what they weigh.

    Of several data sets rows and weights are means over them; where they differ, `weights` has those of each.
    """

    label: str
    codes: NDArray[np.intp]
    n: Array
    weight: Array
    law: Law
    weights: Array | None = None


@dataclass(frozen=True, eq=False)
class SlopeSums:
    """Sums over cells from which the slope of the response on a numeric treatment follows.

    Attributes
    ----------
    swx, swxx, swxy
        (1, K, c) sums of the weighted treatment less its mean, of its squares, and of products with responses.
    factor
        What a slope is multiplied with, where the response is a multiple of what the answer is about.
    """

    swx: Array
    swxx: Array
    swxy: Array
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Raw:
    """What rows alone say, as sums over cells, so that a mean of any subgroup follows from them.

    Attributes
    ----------
    errors
        Of a mean: ``"rows"`` (from the spread of rows), ``"shares"`` (of trials), ``"known"`` (sums of precisions),
        ``"reported"`` (estimates with a known covariance instead of sums).
    codes
        (c, columns) cells that rows are in.
    count, sw, swy, swyy
        (V, K, c) rows, sums of weights, of weighted responses less `centre`, and of their weighted squares.
    centre
        Subtracted from responses, so that nothing cancels.
    comparison, pairs
        How means are compared; None for the means themselves.
    back
        What is undone before.
    estimates, cov
        (J, s) and (J, s, s) of what was reported.
    slope
        Of a numeric treatment, whose raw estimate is a slope.
    """

    errors: Literal["rows", "shares", "known", "reported"]
    codes: NDArray[np.intp]
    count: NDArray[np.int64]
    sw: Array
    swy: Array
    swyy: Array
    centre: float = 0.0
    comparison: str | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    back: Steps = ()
    estimates: Array | None = None
    cov: Array | None = None
    slope: SlopeSums | None = None


@dataclass(frozen=True, eq=False)
class Content:
    """All that a page holds.

    Attributes
    ----------
    title, lead, model
        The question in words, the answer for everybody, the formula.
    quantity, short, unit
        What the numbers are, in a sentence and at the head of a column, and their unit.
    null
        The value that says "nothing"; None for averages.
    threshold
        With which the page begins.
    level
        Probability the intervals hold.
    counted
        What n counts.
    columns
        From which readers choose.
    contrasts, categories
        Names; categories are one empty name where the response has none.
    populations
        The first is shown first.
    raw
        One for each data set; empty where rows alone say nothing.
    caveats, computed
        Sentences.
    code
        Python that asks the same question.
    """

    title: str
    lead: str
    model: str
    quantity: str
    short: str
    unit: str
    null: float | None
    level: float
    counted: str
    columns: tuple[Column, ...]
    contrasts: tuple[str, ...]
    categories: tuple[str, ...]
    populations: tuple[Population, ...]
    raw: tuple[Raw, ...] = ()
    caveats: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    code: str = ""
    threshold: float = 0.0
