"""Priors on the real line: normal, Student's t, and none.

The same location-scale family serves a coefficient, which may be any number, and a standard deviation, which is
positive: there the density is cut off at zero and divided by what remains, as in Stan programs. So ``normal(0, 1)`` for
a standard deviation is the half-normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.errors import ImproperPosteriorError

Array = NDArray[np.float64]

LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Normal:
    """Normal distribution; see `mixedfx.priors.normal`.

    Attributes
    ----------
    loc, scale
        Mean and standard deviation.
    autoscale
        Whether `scale` is in units of the data; see `mixedfx.priors.resolve`.
    half
        Whether it may serve for a positive quantity only.
    """

    loc: float = 0.0
    scale: float = 1.0
    autoscale: bool = False
    half: bool = False
    stan: ClassVar[str] = "normal"
    numbers: ClassVar[tuple[str, ...]] = ("loc", "scale")
    real_names: ClassVar[tuple[str, ...]] = ("normal",)
    positive_names: ClassVar[tuple[str, ...]] = ("half_normal",)
    exact: ClassVar[bool] = True
    df: ClassVar[float] = np.inf
    location_scale: ClassVar[bool] = True

    def log_density(self, x: Array) -> Array:
        """Log density on the real line."""
        return -0.5 * LOG_2PI - np.log(self.scale) - 0.5 * ((x - self.loc) / self.scale) ** 2

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0, the negative half cut off."""
        return self.log_density(x) - special.log_ndtr(self.loc / self.scale)

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        return -x * (x - self.loc) / self.scale**2

    def draw(self, rng: np.random.Generator, size: int, positive: bool = False) -> Array:
        """(size,) draws, positive if asked."""
        if not positive:
            return rng.normal(self.loc, self.scale, size)
        below = special.ndtr(-self.loc / self.scale)
        return self.loc + self.scale * special.ndtri(below + (1 - below) * rng.random(size))

    def rescaled(self, unit: float, centre: float = 0.0) -> Normal:
        """The same prior in the units of the data."""
        return replace(self, loc=self.loc + centre, scale=self.scale * unit, autoscale=False)

    def times(self, factor: float) -> Normal:
        """The distribution of `factor` times what has this one."""
        return replace(self, loc=self.loc * factor, scale=self.scale * factor)

    def __str__(self) -> str:
        if self.half:
            return f"half_normal({self.scale:.4g})"
        return f"normal({self.loc:.4g}, {self.scale:.4g})"


@dataclass(frozen=True)
class StudentT:
    """Student's t distribution; see `mixedfx.priors.student_t`. One degree of freedom is the Cauchy distribution."""

    df: float
    loc: float = 0.0
    scale: float = 1.0
    autoscale: bool = False
    half: bool = False
    stan: ClassVar[str] = "student_t"
    numbers: ClassVar[tuple[str, ...]] = ("df", "loc", "scale")
    real_names: ClassVar[tuple[str, ...]] = ("student_t", "cauchy")
    positive_names: ClassVar[tuple[str, ...]] = ("half_student_t", "half_cauchy")
    exact: ClassVar[bool] = True
    location_scale: ClassVar[bool] = True

    def log_density(self, x: Array) -> Array:
        """Log density on the real line."""
        half = self.df / 2
        constant = special.gammaln(half + 0.5) - special.gammaln(half) - 0.5 * np.log(self.df * np.pi)
        return constant - np.log(self.scale) - (half + 0.5) * np.log1p(((x - self.loc) / self.scale) ** 2 / self.df)

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0, the negative half cut off."""
        return self.log_density(x) - np.log(special.stdtr(self.df, self.loc / self.scale))

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        z = (x - self.loc) / self.scale
        return -(self.df + 1) * z * x / self.scale / (self.df + z**2)

    def draw(self, rng: np.random.Generator, size: int, positive: bool = False) -> Array:
        """(size,) draws, positive if asked."""
        if not positive:
            return self.loc + self.scale * rng.standard_t(self.df, size)
        below = special.stdtr(self.df, -self.loc / self.scale)
        return self.loc + self.scale * special.stdtrit(self.df, below + (1 - below) * rng.random(size))

    def rescaled(self, unit: float, centre: float = 0.0) -> StudentT:
        """The same prior in the units of the data."""
        return replace(self, loc=self.loc + centre, scale=self.scale * unit, autoscale=False)

    def times(self, factor: float) -> StudentT:
        """The distribution of `factor` times what has this one."""
        return replace(self, loc=self.loc * factor, scale=self.scale * factor)

    def __str__(self) -> str:
        prefix = "half_" if self.half else ""
        numbers = [self.scale] if self.half else [self.loc, self.scale]
        if self.df == 1:
            return f"{prefix}cauchy({', '.join(f'{v:.4g}' for v in numbers)})"
        return f"{prefix}student_t({', '.join(f'{v:.4g}' for v in [self.df, *numbers])})"


@dataclass(frozen=True)
class Flat:
    """The constant 1: no prior information, and no proper distribution."""

    autoscale: bool = False
    stan: ClassVar[str] = "flat"
    numbers: ClassVar[tuple[str, ...]] = ()
    real_names: ClassVar[tuple[str, ...]] = ("flat",)
    positive_names: ClassVar[tuple[str, ...]] = ("flat",)
    exact: ClassVar[bool] = True
    half: ClassVar[bool] = False
    location_scale: ClassVar[bool] = False

    def log_density(self, x: Array) -> Array:
        """Zero everywhere."""
        return np.zeros_like(x)

    def log_positive(self, x: Array) -> Array:
        """Zero everywhere."""
        return np.zeros_like(x)

    def score_positive(self, x: Array) -> Array:
        """Zero everywhere."""
        return np.zeros_like(x)

    def draw(self, rng: np.random.Generator, size: int, positive: bool = False) -> Array:
        """There are none (`ImproperPosteriorError`)."""
        raise ImproperPosteriorError("flat priors have no draws", hint="Give proper priors.")

    def rescaled(self, unit: float, centre: float = 0.0) -> Flat:
        """The constant 1 in any unit."""
        return self

    def times(self, factor: float) -> Flat:
        """The constant 1 in any unit."""
        return self

    def __str__(self) -> str:
        return "flat()"
