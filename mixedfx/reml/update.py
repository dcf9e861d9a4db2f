"""Fitting again with some arguments changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.errors import ModelError, OptionError

if TYPE_CHECKING:
    from mixedfx.formula.mixed_formula import MixedFormula
    from mixedfx.reml.fit import LmerFit


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


def update(fit: LmerFit, formula: str | None = None, data: Any = None, **changes: Any) -> LmerFit:
    """Fit again with some arguments of the call changed.

    Raises
    ------
    OptionError
        For an argument `mixedfx.lmer` does not have.
    ModelError
        If the fit does not know the data it was made from.
    """
    from mixedfx.formula.update import update_formula
    from mixedfx.reml.lmer import lmer

    known = [f.name for f in fields(Call)]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise OptionError(f"update has no argument {unknown[0]!r}", hint=f"It takes {', '.join(known)}.")
    if fit.call is None:
        raise ModelError("this fit does not know the data it was made from", hint="Call mixedfx.lmer with the data.")
    call = replace(fit.call, **changes)
    if formula is not None:
        call = replace(call, formula=update_formula(fit.design.formula, formula))
    if data is not None:
        call = replace(call, data=data)
    return lmer(**{name: getattr(call, name) for name in known})
