"""What an answer is made of: the table, the joint quantities behind it, and the question that was asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.design.transforms import Transformation
from mixedfx.effects.averages import Averages
from mixedfx.effects.comparisons import Comparison
from mixedfx.effects.quantities import Exact, Quantities
from mixedfx.effects.subgroups import Overlap, Plan
from mixedfx.effects.treatment import Treatment
from mixedfx.effects.wording import PLAIN, Wording
from mixedfx.errors import EffectsError
from mixedfx.results.protocol import Fit, Uncertainty


@dataclass(frozen=True, eq=False)
class Question:
    """What was asked.

    Attributes
    ----------
    treated
        The treatment and its values.
    plan
        The subgroups.
    comparison
        How two average outcomes become one number; None where the outcomes themselves were asked for.
    scale, groups, new_levels
        As in `mixedfx.effects.effects.effects`.
    newdata
        Whether it was asked about other rows than those of the fit.
    weights
        The column, or the number that all rows have; ``"weights"`` where numbers were given, None for none.
    uncertainty, bias_adjust
        As in `mixedfx.effects.effects.effects`.
    back
        The transformation of the response that the answer undoes; None where it is in units of the response.
    """

    treated: Treatment
    plan: Plan
    comparison: Comparison | None
    scale: str = "response"
    groups: str = "fitted"
    new_levels: str = "sample"
    newdata: bool = False
    weights: str | float | None = None
    uncertainty: Uncertainty = "full"
    back: Transformation | None = None
    bias_adjust: bool = False


@dataclass(frozen=True, eq=False)
class Overall:
    """The number for all rows, which contrasts against the overall and the complement need.

    Attributes
    ----------
    quantities
        One row for each contrast of treatment values and category.
    count, weight
        Rows averaged over, and their summed weights.
    """

    quantities: Quantities
    count: int
    weight: float


@dataclass(frozen=True, repr=False, eq=False)
class EffectsState:
    """Effects of one treatment, or average outcomes, for subgroups.

    Attributes
    ----------
    table
        One row for each subgroup, contrast of treatment values and category of the response. Columns: the `by` columns
        (after `margin` where there are several margins) or `subgroup`; contrast (which values of the treatment);
        category (where the response has categories); n (rows averaged over); weight (their weights, or trials);
        estimate; sd; lower; upper; null; prob_above_null; unseen (share of the weight in cells the fit has no data
        for). Average outcomes have no contrast, null and prob_above_null. ``table.attrs`` holds level, uncertainty and
        notes.
    quantities
        The rows of the table with their joint distribution: linear functionals of (beta, u), or joint draws.
    fit
        The fit that answers.
    labels
        Name of each row's subgroup.
    keys
        Columns of the table that name the subgroup.
    question
        What was asked.
    level
        Probability the intervals hold.
    notes
        What a reader must know to read the table.
    warnings
        What the question was warned about.
    overall
        The number for all rows; None in a table of contrasts.
    averages
        The average outcomes that were compared.
    seed
        Passed to fits that need random numbers to answer.
    overlap
        The two subgroups of the table with most members in common; None where no two have any.
    aspect
        What of the effects or averages the numbers are; empty where they are these themselves.
    wording
        How a reader names columns and levels, for pictures.
    sets
        The answers of several data sets that are pooled here; empty where there is one, and in a table of contrasts.
    """

    table: pd.DataFrame
    quantities: Quantities
    fit: Fit
    labels: tuple[str, ...]
    keys: tuple[str, ...]
    question: Question
    level: float
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    overall: Overall | None = None
    averages: Averages | None = None
    seed: int | None = None
    overlap: Overlap | None = None
    aspect: str = ""
    wording: Wording = PLAIN
    sets: tuple[EffectsState, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def treatment(self) -> str:
        """Column of the treatment; empty for average outcomes."""
        return self.question.treated.column

    @property
    def response(self) -> str:
        """What the numbers are about: the response, or the variable that it is a transformation of."""
        back = self.question.back
        return self.fit.design.response_name if back is None else back.variable

    @property
    def comparison(self) -> Comparison | None:
        """How two average outcomes become one number; None for average outcomes."""
        return self.question.comparison

    @property
    def names(self) -> list[str]:
        """Columns of the table that name a row."""
        return [*self.keys, *(c for c in ("contrast", "category") if c in self.table)]

    @property
    def per_subgroup(self) -> int:
        """Rows of the table for each subgroup: contrasts of treatment values times categories."""
        averages, pairs = self.averages, len(self.question.treated.pairs)
        return max(pairs, 1) * (1 if averages is None else averages.shape[2])

    @property
    def functional(self) -> Functional:
        """The rows of the table as linear functionals of (beta, u).

        Raises
        ------
        EffectsError
            Where the numbers are not linear in (beta, u).
        """
        if isinstance(self.quantities, Exact):
            return self.quantities.functional
        raise EffectsError("these numbers are no linear functionals of (beta, u)", hint="Use .draws().")

    @property
    def uncertainty(self) -> str:
        """One sentence on what the intervals include and what they leave out."""
        return self.fit.uncertainty

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the table."""
        return self.table.copy()

    def draws(self, n: int | None = None, seed: int | None = None) -> NDArray[np.float64]:
        """Joint draws of all rows.

        Parameters
        ----------
        n
            Number of draws. Where None, those a posterior has; a fit that makes its draws when asked makes 4,000.
        seed
            For fits that make their draws when asked; where None, that of the question, or 0.

        Returns
        -------
        ndarray
            (n, rows of the table).
        """
        return self.quantities.draws(n, seed)
