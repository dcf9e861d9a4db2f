"""What every fit offers to the layers above, whatever made it."""

from __future__ import annotations

from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.errors import MixedfxWarning
from mixedfx.families.family import Family

NewLevels = Literal["error", "population", "sample"]
Uncertainty = Literal["full", "given theta"]
UNCERTAINTIES: tuple[Uncertainty, ...] = ("full", "given theta")


class LinearEstimate(Protocol):
    """What a fit knows about s linear functionals of (beta, u), on the scale of the linear predictor."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """(s,) point estimates: BLUE/BLUP, or posterior means."""
        ...

    @property
    def cov(self) -> NDArray[np.float64]:
        """(s, s) covariance of estimate minus truth."""
        ...

    def draws(self, n: int | None = None, seed: int | None = None) -> NDArray[np.float64]:
        """(n, s) joint draws; a posterior ignores `seed` and returns its own draws when `n` is None."""
        ...


class IntervalEstimate(Protocol):
    """A `LinearEstimate` that says itself what its intervals are.

    Of one that does not, mean and covariance are those of a normal distribution, or (where its attribute `exact` is
    False) its draws say everything.
    """

    @property
    def mean(self) -> NDArray[np.float64]:
        """(s,) point estimates."""
        ...

    @property
    def sd(self) -> NDArray[np.float64]:
        """(s,) standard errors."""
        ...

    def interval(self, level: float) -> NDArray[np.float64]:
        """(s, 2) ends of central intervals."""
        ...

    def probability(self, greater: float | None = None, less: float | None = None) -> NDArray[np.float64]:
        """(s,) probability of lying above `greater` and below `less`."""
        ...


@runtime_checkable
class AnswersByUncertainty(Protocol):
    """A fit that can leave a part of its uncertainty out."""

    def with_uncertainty(self, uncertainty: Uncertainty) -> Fit:
        """The same fit, answering with all its uncertainty or with that given theta-hat.

        Raises
        ------
        OptionError
            Where there is only one of them.
        """
        ...


@runtime_checkable
class Fit(Protocol):
    """A fitted model, as the effects layer sees it."""

    @property
    def design(self) -> Design:
        """What was fitted."""
        ...

    @property
    def family(self) -> Family:
        """Distribution of the response, with its link."""
        ...

    @property
    def uncertainty(self) -> str:
        """One sentence on what the intervals of this fit include and what they leave out."""
        ...

    def design_for(self, newdata: Any = None, new_levels: NewLevels = "error") -> Functional:
        """Rows of the linear predictor for `newdata` (the data of the fit where None)."""
        ...

    def apply(self, functional: Functional) -> LinearEstimate:
        """Mean, covariance and draws of linear functionals of (beta, u)."""
        ...

    def expected(self, functional: Functional, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """(D, m) draws of the mean response of the rows, (D, m, K) probabilities of K categories.

        The residual variation is left out. `chosen` are numbers of draws, all where None.
        """
        ...

    @property
    def varcorr(self) -> pd.DataFrame:
        """Variances and covariances: columns grp, var1, var2, vcov, sdcor."""
        ...


@runtime_checkable
class SaysConcerns(Protocol):
    """A fit whose numbers may rest on a sampler that failed."""

    @property
    def concerns(self) -> tuple[tuple[type[MixedfxWarning], str], ...]:
        """What speaks against its numbers, the class of the warning first; empty where all is well."""
        ...
