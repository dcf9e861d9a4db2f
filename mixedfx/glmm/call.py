"""The arguments of a fit, kept so that the model can be fitted again with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.errors import OptionError, check_count
from mixedfx.families.family import Family
from mixedfx.families.registry import find_family
from mixedfx.glmm.control import read_control
from mixedfx.glmm.penalised import read_priors
from mixedfx.inference import calls

if TYPE_CHECKING:
    from mixedfx.formula.mixed_formula import MixedFormula

FAMILIES = (
    "bernoulli", "binomial", "beta_binomial", "poisson", "negbinomial", "nbinom1", "truncated_poisson",
    "truncated_negbinomial", "gamma", "tweedie", "beta", "gaussian", "student", "cumulative",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of `mixedfx.glmer`; `data` and arrays are held by reference."""

    formula: str | MixedFormula
    data: Any
    family: str | Family
    link: str | None = None
    nAGQ: int | Literal["auto"] = 1
    weights: Any = None
    offset: Any = None
    na: Literal["drop", "raise"] = "drop"
    contrasts: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
    control: Any = None
    dispersion: str | MixedFormula | None = None
    priors: Any = None

    @property
    def of_design(self) -> dict[str, Any]:
        """The arguments that `mixedfx.design.build.build_design` takes."""
        names = ("formula", "data", "weights", "offset", "na", "contrasts", "env", "dispersion")
        return {name: getattr(self, name) for name in names} | {"family": self.found_family}

    @property
    def found_family(self) -> Family:
        """The family with its link.

        Raises
        ------
        OptionError
            A family that is not known or not fitted by maximum likelihood, or a link that it does not have.
        """
        found = find_family(self.family, self.link)
        if found.name not in FAMILIES:
            raise OptionError(
                f"mx.glmer does not fit family={found.name!r}",
                hint=f"It fits {', '.join(FAMILIES)}; mx.bayes has all families.",
            )
        return found

    def check(self) -> None:
        """Refuse options of the solver that it does not have, before the data are read."""
        if self.nAGQ != "auto":
            check_count("nAGQ", self.nAGQ, 1)
        read_control(self.control)
        read_priors(self.priors)


def changed(
    call: Call | None, fitted: MixedFormula, formula: str | None, data: Any, changes: Mapping[str, Any]
) -> Call:  # fmt: skip
    """The arguments of a fit with some changed; see `mixedfx.inference.calls.changed`."""
    return calls.changed(call, Call, "mixedfx.glmer", fitted, formula, data, changes)
