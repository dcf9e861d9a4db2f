"""What meta-analyses test alike, whatever fitted them: all moderators together, and the (residual) heterogeneity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from mixedfx.inference.hypotheses import Constant, f_row
from mixedfx.meta.measure import Array


class Tested(ABC):
    """Tests of k estimates with p coefficients, from the coefficients, their covariance and Q."""

    @property
    @abstractmethod
    def k(self) -> int:
        """Number of estimates."""

    @property
    @abstractmethod
    def p(self) -> int:
        """Number of coefficients."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""

    @cached_property
    @abstractmethod
    def beta(self) -> Array:
        """(p,) coefficients."""

    @cached_property
    @abstractmethod
    def covariance(self) -> Array:
        """(p, p) covariance of the coefficients."""

    @property
    @abstractmethod
    def df(self) -> float:
        """Degrees of freedom of t, infinite where the coefficients are tested with z."""

    @property
    @abstractmethod
    def QE(self) -> float:
        """Q of the (residual) heterogeneity, chi square with k - p degrees of freedom where there is none."""

    @property
    def QE_p_value(self) -> float:
        """Its p value."""
        from scipy import special

        return float(special.chdtrc(self.k - self.p, self.QE)) if self.k > self.p else 1.0

    @property
    def tested(self) -> tuple[int, ...]:
        """Coefficients that the omnibus test is about: all but an intercept that has others beside it."""
        rest = tuple(i for i, name in enumerate(self.names) if name != "Intercept")
        return rest or (0,)

    @cached_property
    def omnibus(self) -> tuple[float, float, float, float]:
        """Numerator and denominator degrees of freedom, F (times the first: QM), p value of all moderators."""
        L = np.eye(self.p)[list(self.tested)]
        return f_row(L, self.beta, np.zeros(len(L)), Constant(self.covariance, self.df))

    @property
    def QM(self) -> float:
        """Omnibus statistic: chi square, or F where the test refers to t."""
        num, den, F, _ = self.omnibus
        return F * num if np.isinf(den) else F

    @property
    def QM_p_value(self) -> float:
        """Its p value."""
        return self.omnibus[3]
