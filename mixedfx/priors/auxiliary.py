"""The auxiliary parameters of families: what they are, where they live, and their prior in each named set.

A family names those it has (`mixedfx.families.family.Family.auxiliary`). This is the only list of them: keys of priors,
the sets of priors, declarations in Stan programs and error messages are read off it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixedfx.priors.construct import exponential, gamma, half_student_t, inv_gamma
from mixedfx.priors.distributions import Positive


@dataclass(frozen=True)
class AuxiliaryParameter:
    """One auxiliary parameter.

    Attributes
    ----------
    what
        What it is, in words.
    lower
        The number above which it lies.
    limit
        Where it goes if the response does not vary: ``"0"`` or ``"infinity"``.
    priors
        Name of a set of priors -> its prior there; in every set of `mixedfx.priors.sets.SETS`.
    """

    what: str
    lower: int
    limit: str
    priors: Mapping[str, Positive]


AUXILIARY: dict[str, AuxiliaryParameter] = {
    "sigma": AuxiliaryParameter(
        "residual standard deviation",
        0,
        "0",
        {
            "default": exponential(1.0, autoscale=True),
            "rstanarm": exponential(1.0, autoscale=True),
            "brms": half_student_t(3.0, 1.0, autoscale=True),
        },
    ),
    "nu": AuxiliaryParameter(
        "degrees of freedom",
        1,
        "infinity",
        {"default": gamma(2.0, 0.1), "rstanarm": gamma(2.0, 0.1), "brms": gamma(2.0, 0.1)},
    ),
    "shape": AuxiliaryParameter(
        "shape",
        0,
        "infinity",
        {"default": half_student_t(3.0, 20.0), "rstanarm": exponential(1.0), "brms": inv_gamma(0.4, 0.3)},
    ),
    "phi": AuxiliaryParameter(
        "precision",
        0,
        "infinity",
        {"default": half_student_t(3.0, 20.0), "rstanarm": exponential(1.0), "brms": gamma(0.01, 0.01)},
    ),
}
"""Name in models, draws and Stan programs -> the parameter."""


def auxiliary_priors(name: str) -> dict[str, Positive]:
    """Priors of all auxiliary parameters in a named set."""
    return {parameter: about.priors[name] for parameter, about in AUXILIARY.items()}
