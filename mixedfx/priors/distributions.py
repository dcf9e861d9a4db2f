"""The prior distributions: what each has to have, and the registry of them.

A prior is a frozen value. Those of single parameters are in `location` and `positive`, those of many together in
`joint`. Densities of positive quantities come in two forms: `log_positive` on the natural scale, and `score_positive`,
the derivative with respect to log x, which samplers need on the unconstrained scale.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mixedfx.priors.joint import LKJ, R2D2, Decov, Horseshoe
from mixedfx.priors.location import Flat, Normal, StudentT
from mixedfx.priors.positive import Exponential, Gamma, InverseGamma

Array = NDArray[np.float64]


@runtime_checkable
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

    def draw(self, rng: np.random.Generator, size: int, positive: bool = ...) -> Array:
        """(size,) draws, positive if asked; refused where the distribution is improper."""
        ...

    def rescaled(self, unit: float, centre: float = 0.0) -> Any:
        """The same prior in the units of the data, its own numbers being in such units."""
        ...

    def times(self, factor: float) -> Any:
        """The distribution of `factor` times what has this one."""
        ...

    def __str__(self) -> str: ...


@runtime_checkable
class RealDistribution(Distribution, Protocol):
    """What a prior with `real_names` has besides."""

    @property
    def half(self) -> bool:
        """Whether a value is for positive quantities only."""
        ...

    def log_density(self, x: Array) -> Array:
        """Log density on the real line."""
        ...


@runtime_checkable
class JointDistribution(Protocol):
    """What a prior of many parameters together has; `SPECIAL` lists them.

    Attributes
    ----------
    name
        Its name, and that of the function users call.
    serves
        Kinds of parameters it can be given for: ``"coef"``, ``"sd"``, ``"cor"``.
    """

    name: ClassVar[str]
    serves: ClassVar[tuple[str, ...]]

    def __str__(self) -> str: ...


DISTRIBUTIONS: list[type[Distribution]] = [Normal, StudentT, Exponential, Gamma, InverseGamma, Flat]
"""Priors of single parameters. Another is a class and its place here, a function in `mixedfx.priors.construct`, and its
chunk of Stan text, ``mixedfx/_stan/priors/<stan>.stan``."""

SPECIAL = (LKJ, Decov, Horseshoe, R2D2)
"""Priors of many parameters together."""

SparsePrior = Horseshoe | R2D2
Real = Normal | StudentT | Flat
Positive = Normal | StudentT | Exponential | Gamma | InverseGamma | Flat
Prior = Normal | StudentT | Exponential | Gamma | InverseGamma | Flat | LKJ | Decov | Horseshoe | R2D2
