"""Prior distributions: what a user writes, their log densities, and draws from them.

A prior is a frozen value. The same location-scale family serves a coefficient, which may be any number, and a standard
deviation, which is positive: there the density is cut off at zero and divided by what remains, as in Stan programs. So
``normal(0, 1)`` for a standard deviation is the half-normal distribution.

Densities of positive quantities come in two forms: `log_positive` on the natural scale, and `score_positive`, the
derivative with respect to log x, which samplers need on the unconstrained scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

LOG_2PI = float(np.log(2 * np.pi))


class Distribution(Protocol):
    """What a prior of a single parameter has; `DISTRIBUTIONS` lists them.

    Attributes
    ----------
    stan
        Its name in Stan.
    numbers
        Its parameters, in Stan's order; attributes of the same names hold them.
    real_names, positive_names
        What users write for a quantity that may be any number (a coefficient), and for one that is positive; empty
        where it cannot serve. One with `real_names` has `half`: whether a value is for positive quantities only.
        Functions of these names are in `mixedfx.priors.construct`.
    exact
        Whether engines that integrate beta and u out can use it. As the prior of a coefficient it then is normal given
        a scale, with `loc`, `scale` and `df` (infinite for a normal distribution), or flat.
    location_scale
        Whether it has `loc` and `scale`: its width can be shrunk, and Stan can sample in units of it.
    autoscale
        Whether its numbers are in units of the data; see `mixedfx.priors.resolve`.
    """

    stan: ClassVar[str]
    numbers: ClassVar[tuple[str, ...]]
    real_names: ClassVar[tuple[str, ...]]
    positive_names: ClassVar[tuple[str, ...]]
    exact: ClassVar[bool]
    location_scale: ClassVar[bool]

    @property
    def autoscale(self) -> bool:
        """Whether its numbers are in units of the data."""
        ...

    def log_positive(self, x: Array) -> Array:
        """Log density of x > 0, what is below cut off."""
        ...

    def score_positive(self, x: Array) -> Array:
        """Derivative of `log_positive` with respect to log x."""
        ...

    def times(self, factor: float) -> Any:
        """The distribution of `factor` times what has this one."""
        ...


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

    def log_positive(self, x: Array) -> Array:
        """Zero everywhere."""
        return np.zeros_like(x)

    def score_positive(self, x: Array) -> Array:
        """Zero everywhere."""
        return np.zeros_like(x)

    def times(self, factor: float) -> Flat:
        """The constant 1 in any unit."""
        return self

    def __str__(self) -> str:
        return "flat()"


@dataclass(frozen=True)
class LKJ:
    """Density of a correlation matrix: its determinant to the power eta - 1; see `mixedfx.priors.lkj`."""

    eta: float = 1.0
    name: ClassVar[str] = "lkj"
    serves: ClassVar[tuple[str, ...]] = ("cor",)

    def __str__(self) -> str:
        return f"lkj({self.eta:.4g})"


@dataclass(frozen=True)
class Decov:
    """Decomposed covariance relative to sigma; see `mixedfx.priors.decov`."""

    regularization: float = 1.0
    concentration: float = 1.0
    shape: float = 1.0
    scale: float = 1.0
    name: ClassVar[str] = "decov"
    serves: ClassVar[tuple[str, ...]] = ("sd",)

    def __str__(self) -> str:
        numbers = (self.regularization, self.concentration, self.shape, self.scale)
        return f"decov({', '.join(f'{v:.4g}' for v in numbers)})"


@dataclass(frozen=True)
class Horseshoe:
    """Regularised horseshoe over many quantities together; see `mixedfx.priors.horseshoe`."""

    df: float = 1.0
    scale_global: float = 1.0
    df_global: float = 1.0
    df_slab: float = 4.0
    scale_slab: float = 2.0
    par_ratio: float | None = None
    autoscale: bool = True
    name: ClassVar[str] = "horseshoe"
    serves: ClassVar[tuple[str, ...]] = ("coef", "sd")

    def __str__(self) -> str:
        width = f"scale_global={self.scale_global:.4g}" if self.par_ratio is None else f"par_ratio={self.par_ratio:.4g}"
        return f"horseshoe({self.df:.4g}, {width}, slab {self.scale_slab:.4g})"


@dataclass(frozen=True)
class R2D2:
    """Prior of the share of explained variance, divided between many quantities; see `mixedfx.priors.r2d2`."""

    mean_R2: float = 0.5
    prec_R2: float = 2.0
    concentration: float = 0.5
    autoscale: bool = True
    name: ClassVar[str] = "r2d2"
    serves: ClassVar[tuple[str, ...]] = ("coef", "sd")

    def __str__(self) -> str:
        return f"r2d2({self.mean_R2:.4g}, {self.prec_R2:.4g}, {self.concentration:.4g})"


@dataclass(frozen=True)
class Share:
    """Place of one quantity under a `Horseshoe` or `R2D2` prior: the unit that its share is multiplied by."""

    unit: float
    autoscale: bool = False
    stan: ClassVar[str] = "share"
    exact: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"share, unit {self.unit:.4g}"


DISTRIBUTIONS: list[type[Distribution]] = [Normal, StudentT, Exponential, Gamma, InverseGamma, Flat]
"""Priors of single parameters. Another is a class and its place here, a function in `mixedfx.priors.construct`, and its
chunk of Stan text, ``mixedfx/_stan/priors/<stan>.stan``."""

SPECIAL = (LKJ, Decov, Horseshoe, R2D2)
"""Priors of many parameters together."""

SparsePrior = Horseshoe | R2D2
Real = Normal | StudentT | Flat
Positive = Normal | StudentT | Exponential | Gamma | InverseGamma | Flat
Prior = Normal | StudentT | Exponential | Gamma | InverseGamma | Flat | LKJ | Decov | Horseshoe | R2D2
