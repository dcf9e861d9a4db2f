"""Tests of a fit against data simulated from it: a number of the data, and the same number of many simulated ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.results.numbers import p_values
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedTest(Shown):
    """One number of the data held against its distribution under the fit.

    Attributes
    ----------
    name
        What is tested.
    statistic
        What the number is.
    observed
        That of the data.
    simulated
        (B,) those of simulated data.
    """

    name: str
    statistic: str
    observed: float
    simulated: Array

    @property
    def expected(self) -> float:
        """Mean of the simulated numbers."""
        return float(self.simulated.mean())

    @property
    def ratio(self) -> float:
        """Observed over expected; 1 where both are zero."""
        if self.expected == 0.0:
            return 1.0 if self.observed == 0.0 else float("inf")
        return self.observed / self.expected

    @property
    def p_greater(self) -> float:
        """Probability of a number as large, the data counted with the simulated ones."""
        return float((1.0 + (self.simulated >= self.observed).sum()) / (1.0 + len(self.simulated)))

    @property
    def p_less(self) -> float:
        """Probability of a number as small."""
        return float((1.0 + (self.simulated <= self.observed).sum()) / (1.0 + len(self.simulated)))

    @property
    def p_value(self) -> float:
        """Two-sided: twice the smaller, at most 1."""
        return min(1.0, 2.0 * min(self.p_greater, self.p_less))

    def content(self) -> SummaryContent:
        """The test in words."""
        facts = (
            ("Statistic", self.statistic),
            ("Observed", f"{self.observed:.4g}"),
            ("Expected", f"{self.expected:.4g} (mean of {len(self.simulated)} simulated data sets)"),
            ("Ratio", f"{self.ratio:.3f}"),
            ("p", f"{p_values([self.p_value])[0]} (two-sided)"),
        )
        return SummaryContent(self.name, (SummaryFacts(facts),))
