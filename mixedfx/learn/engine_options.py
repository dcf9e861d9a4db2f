"""Options that an estimator hands on to the function that fits, and those that it has a place of its own for."""

from __future__ import annotations

from collections.abc import Collection

from mixedfx.errors import OptionError


def refuse_repeated(options: Collection[str]) -> None:
    """Refuse options of a fit that an estimator gives itself (`OptionError`)."""
    given = {"formula": "the estimator's formula=", "data": "X of fit", "family": "the estimator's family="}
    for name, instead in {**given, "weights": "fit(..., sample_weight=)"}.items():
        if name in options:
            raise OptionError(
                f"options= has {name!r}, which the estimator gives the engine itself",
                hint=f"Leave it out: its place is {instead}, where the estimator has one.",
            )
