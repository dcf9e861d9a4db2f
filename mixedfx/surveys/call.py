"""The arguments of a fit with sampling weights, kept for fits with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mixedfx.errors import OptionError, check_count
from mixedfx.families.family import Family
from mixedfx.families.registry import find_family

FAMILIES = (
    "bernoulli", "binomial", "beta_binomial", "poisson", "negbinomial", "nbinom1", "truncated_poisson",
    "truncated_negbinomial", "gamma", "beta", "gaussian", "student",
)  # fmt: skip
"""What is fitted with sampling weights: one linear predictor, and parameters that are single numbers."""


@dataclass(frozen=True, eq=False)
class WeightedCall:
    """The arguments of `mixedfx.lmer` that made a weighted fit; `data` and arrays are held by reference."""

    formula: Any
    data: Any
    sampling_weights: Any = None
    replicates: Any = None
    weights: Any = None
    offset: Any = None
    na: Literal["drop", "raise"] = "drop"
    contrasts: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
    progress: Any = None


@dataclass(frozen=True, eq=False)
class GeneralCall(WeightedCall):
    """The arguments of `mixedfx.glmer` that made a weighted fit."""

    family: str | Family = "bernoulli"
    link: str | None = None
    nAGQ: int | Literal["auto"] | None = None

    @property
    def found_family(self) -> Family:
        """The family with its link.

        Raises
        ------
        OptionError
            A family that is not known or not fitted with sampling weights, or a link that it does not have.
        """
        found = find_family(self.family, self.link)
        if found.name not in FAMILIES:
            raise OptionError(
                f"mx.glmer does not fit family={found.name!r} with sampling weights",
                hint=f"With these it fits {', '.join(FAMILIES)}.",
            )
        return found

    def check(self) -> None:
        """Refuse a number of nodes that is none, before the data are read (`OptionError`)."""
        if self.nAGQ is not None and self.nAGQ != "auto":
            check_count("nAGQ", self.nAGQ, 1)


def refuse_beside(given: Mapping[str, Any]) -> None:
    """Refuse arguments (name -> value, None where not given) that are not fitted with sampling weights.

    Raises
    ------
    OptionError
        Naming the first.
    """
    for name, value in given.items():
        if value is not None:
            raise OptionError(
                f"{name}= and sampling weights are not fitted together",
                hint=f"Leave {name}= out, or sampling_weights=.",
            )
