"""The arguments of a fit, kept so that the model can be fitted again with some of them changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.errors import check_flag
from mixedfx.inference import calls
from mixedfx.reml.control import read_control

if TYPE_CHECKING:
    from mixedfx.formula.mixed_formula import MixedFormula


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of `mixedfx.lmer`; `data` and arrays are held by reference."""

    formula: str | MixedFormula
    data: Any
    REML: bool = True
    weights: Any = None
    offset: Any = None
    na: Literal["drop", "raise"] = "drop"
    contrasts: Mapping[str, Any] | None = None
    env: Mapping[str, Any] | None = None
    V: Any = None
    sigma: float | Literal["estimate"] | None = None
    control: Any = None
    dispersion: str | MixedFormula | None = None
    stream: bool | None = None

    @property
    def of_design(self) -> dict[str, Any]:
        """The arguments that `mixedfx.design.build.build_design` takes."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("REML", "control", "stream")}

    def check(self) -> None:
        """Refuse options of the solver that it does not have, before the data are read."""
        check_flag("REML", self.REML)
        read_control(self.control)


def changed(
    call: Call | None, fitted: MixedFormula, formula: str | None, data: Any, changes: Mapping[str, Any]
) -> Call:  # fmt: skip
    """The arguments of a fit with some changed; `fitted` is the formula that the dots of `formula` stand for.

    Raises
    ------
    OptionError
        For an argument `mixedfx.lmer` does not have.
    ModelError
        If the fit does not know the data it was made from.
    """
    return calls.changed(call, Call, "mixedfx.lmer", fitted, formula, data, changes)
