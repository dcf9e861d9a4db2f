"""Priors of positive quantities only: exponential, gamma and inverse gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Exponential:
    """Exponential distribution; see `mixedfx.priors.exponential`."""

    rate: float = 1.0
    autoscale: bool = False
    stan: ClassVar[str] = "exponential"
    numbers: ClassVar[tuple[str, ...]] = ("rate",)
    real_names: ClassVar[tuple[str, ...]] = ()
    positive_names: ClassVar[tuple[str, ...]] = ("exponential",)
    exact: ClassVar[bool] = True
    location_scale: ClassVar[bool] = False

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0."""
        return np.log(self.rate) - self.rate * x

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return -self.rate * x

    def draw(self, rng: np.random.Generator, size: int, positive: bool = True) -> Array:
        """(size,) draws."""
        return rng.exponential(1 / self.rate, size)

    def rescaled(self, unit: float, centre: float = 0.0) -> Exponential:
        """The same prior in the units of the data."""
        return Exponential(self.rate / unit)

    def times(self, factor: float) -> Exponential:
        """The distribution of `factor` times what has this one."""
        return self.rescaled(factor)

    def __str__(self) -> str:
        return f"exponential({self.rate:.4g})"


@dataclass(frozen=True)
class Gamma:
    """Gamma distribution, mean shape / rate; see `mixedfx.priors.gamma`."""

    shape: float
    rate: float
    autoscale: bool = False
    stan: ClassVar[str] = "gamma"
    numbers: ClassVar[tuple[str, ...]] = ("shape", "rate")
    real_names: ClassVar[tuple[str, ...]] = ()
    positive_names: ClassVar[tuple[str, ...]] = ("gamma",)
    exact: ClassVar[bool] = False
    location_scale: ClassVar[bool] = False

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0."""
        constant = self.shape * np.log(self.rate) - special.gammaln(self.shape)
        return constant + (self.shape - 1) * np.log(x) - self.rate * x

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return self.shape - 1 - self.rate * x

    def draw(self, rng: np.random.Generator, size: int, positive: bool = True) -> Array:
        """(size,) draws."""
        return rng.gamma(self.shape, 1 / self.rate, size)

    def rescaled(self, unit: float, centre: float = 0.0) -> Gamma:
        """The same prior in the units of the data."""
        return Gamma(self.shape, self.rate / unit)

    def times(self, factor: float) -> Gamma:
        """The distribution of `factor` times what has this one."""
        return self.rescaled(factor)

    def __str__(self) -> str:
        return f"gamma({self.shape:.4g}, {self.rate:.4g})"


@dataclass(frozen=True)
class InverseGamma:
    """Distribution of 1 / x where x has a gamma distribution; see `mixedfx.priors.inv_gamma`."""

    shape: float
    scale: float
    autoscale: bool = False
    stan: ClassVar[str] = "inv_gamma"
    numbers: ClassVar[tuple[str, ...]] = ("shape", "scale")
    real_names: ClassVar[tuple[str, ...]] = ()
    positive_names: ClassVar[tuple[str, ...]] = ("inv_gamma",)
    exact: ClassVar[bool] = False
    location_scale: ClassVar[bool] = False

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0."""
        constant = self.shape * np.log(self.scale) - special.gammaln(self.shape)
        return constant - (self.shape + 1) * np.log(x) - self.scale / x

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return -(self.shape + 1) + self.scale / x

    def draw(self, rng: np.random.Generator, size: int, positive: bool = True) -> Array:
        """(size,) draws."""
        return self.scale / rng.gamma(self.shape, 1.0, size)

    def rescaled(self, unit: float, centre: float = 0.0) -> InverseGamma:
        """The same prior in the units of the data."""
        return InverseGamma(self.shape, self.scale * unit)

    def times(self, factor: float) -> InverseGamma:
        """The distribution of `factor` times what has this one."""
        return self.rescaled(factor)

    def __str__(self) -> str:
        return f"inv_gamma({self.shape:.4g}, {self.scale:.4g})"
