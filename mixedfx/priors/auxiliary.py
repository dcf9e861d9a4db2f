"""The auxiliary parameters of families: what they are, where they live, and their prior in each named set.

A family names those it has (`mixedfx.families.family.Family.auxiliary`). This is the only list of them: keys of priors,
the sets of priors, declarations in Stan programs, error messages and the coordinates in which `mixedfx.glmer` estimates
them are read off it.

**Coordinates.** A parameter v that lies above l is l + exp(phi), one between l and h is l + (h - l) / (1 + exp(-phi)):
phi has no bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mixedfx.priors.construct import exponential, flat, gamma, half_student_t, inv_gamma
from mixedfx.priors.distributions import Positive

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class AuxiliaryParameter:
    """One auxiliary parameter.

    Attributes
    ----------
    what
        What it is, in words.
    bounds
        The numbers between which it lies; either may be infinite.
    limit
        Where it goes if the response does not vary, in words: ``"0"``, ``"infinity"``.
    priors
        Name of a set of priors -> its prior there; in every set of `mixedfx.priors.sets.SETS`.
    """

    what: str
    bounds: tuple[float, float]
    limit: str
    priors: Mapping[str, Positive]

    def __post_init__(self) -> None:
        lower, upper = self.bounds
        if not lower < upper:
            raise ValueError(f"no number lies between the bounds {lower:g} and {upper:g} of {self.what}")

    @property
    def bounded(self) -> bool:
        """Whether it has both bounds: then a flat prior is a proper one, the uniform distribution between them."""
        return math.isfinite(self.bounds[0]) and math.isfinite(self.bounds[1])

    @property
    def constraint(self) -> str:
        """The bounds as a Stan program declares them: ``"<lower=1, upper=2>"``; empty where there are none."""
        pairs = zip(("lower", "upper"), self.bounds, strict=True)
        said = [f"{side}={number:g}" for side, number in pairs if math.isfinite(number)]
        return f"<{', '.join(said)}>" if said else ""

    def value(self, phi: Vector) -> Vector:
        """The parameter at coordinates phi (...).

        Examples
        --------
        >>> import numpy as np
        >>> from mixedfx.priors.auxiliary import AUXILIARY
        >>> nu = AUXILIARY["nu"]
        >>> nu.value(np.array([0.0])), nu.coordinate(np.array([2.0]))
        (array([2.]), array([0.]))
        """
        lower, upper = self.bounds
        return lower + (upper - lower) * special.expit(phi) if self.bounded else lower + np.exp(phi)

    def coordinate(self, value: Vector) -> Vector:
        """Coordinates phi (...) of the parameter; an end of its range is an infinite one."""
        lower, upper = self.bounds
        with np.errstate(divide="ignore"):
            return special.logit((value - lower) / (upper - lower)) if self.bounded else np.log(value - lower)

    def slope(self, phi: Vector) -> Vector:
        """Derivative of the parameter in its coordinate."""
        lower, upper = self.bounds
        return (upper - lower) * special.expit(phi) * special.expit(-phi) if self.bounded else np.exp(phi)


AUXILIARY: dict[str, AuxiliaryParameter] = {
    "sigma": AuxiliaryParameter(
        "residual standard deviation",
        (0, math.inf),
        "0",
        {
            "default": exponential(1.0, autoscale=True),
            "rstanarm": exponential(1.0, autoscale=True),
            "brms": half_student_t(3.0, 1.0, autoscale=True),
        },
    ),
    "nu": AuxiliaryParameter(
        "degrees of freedom",
        (1, math.inf),
        "infinity",
        {"default": gamma(2.0, 0.1), "rstanarm": gamma(2.0, 0.1), "brms": gamma(2.0, 0.1)},
    ),
    "shape": AuxiliaryParameter(
        "shape",
        (0, math.inf),
        "infinity",
        {"default": half_student_t(3.0, 20.0), "rstanarm": exponential(1.0), "brms": inv_gamma(0.4, 0.3)},
    ),
    "phi": AuxiliaryParameter(
        "precision",
        (0, math.inf),
        "infinity",
        {"default": half_student_t(3.0, 20.0), "rstanarm": exponential(1.0), "brms": gamma(0.01, 0.01)},
    ),
    "power": AuxiliaryParameter(
        "power of the variance",
        (1, 2),
        "infinity",
        {"default": flat(), "rstanarm": flat(), "brms": flat()},
    ),
    "dispersion": AuxiliaryParameter(
        "dispersion",
        (0, math.inf),
        "0",
        {"default": half_student_t(3.0, 5.0), "rstanarm": exponential(1.0), "brms": gamma(0.01, 0.01)},
    ),
}
"""Name in models, draws and Stan programs -> the parameter."""


def auxiliary_priors(name: str) -> dict[str, Positive]:
    """Priors of all auxiliary parameters in a named set."""
    return {parameter: about.priors[name] for parameter, about in AUXILIARY.items()}
