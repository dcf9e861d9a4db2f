"""The arguments of a fit with some of them changed, for `update`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from mixedfx.errors import ModelError, OptionError
from mixedfx.formula.mixed_formula import MixedFormula

Arguments = TypeVar("Arguments")


def changed(
    call: Arguments | None, kind: type[Arguments], maker: str, fitted: MixedFormula, formula: str | None, data: Any,
    changes: Mapping[str, Any],
) -> Arguments:  # fmt: skip
    """The arguments of a fit with some changed.

    Parameters
    ----------
    call
        The arguments, a dataclass of this `kind` with fields `formula` and `data`; None where they are not known.
    maker
        The function that takes them.
    fitted
        The formula that the dots of `formula` stand for.
    formula, data, changes
        As in `update`; None leaves formula and data as they are.

    Raises
    ------
    OptionError
        For an argument that `maker` does not have.
    ModelError
        If the fit does not know the data it was made from.
    """
    from mixedfx.formula.update import update_formula

    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise OptionError(f"update has no argument {unknown[0]!r}", hint=f"It takes {', '.join(known)}.")
    if call is None:
        raise ModelError("this fit does not know the data it was made from", hint=f"Call {maker} with the data.")
    given: Any = call
    given = replace(given, **changes)
    if formula is not None:
        given = replace(given, formula=update_formula(fitted, formula))
    return given if data is None else replace(given, data=data)
