"""Predictions of a transformed response in the units of its variable."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.backtransform import Unknown, read_transformation
from mixedfx.design.design import Design
from mixedfx.design.transforms import Transformation
from mixedfx.errors import OptionError, check_flag, check_option
from mixedfx.families.family import Family

Array = NDArray[np.float64]


PredictionKind = Literal["response", "link", "predictive"]


def kind_of_prediction(kind: PredictionKind, interval: str | None) -> PredictionKind:
    """What is predicted: an interval for a new response asks for one, and so does ``kind="predictive"``.

    Raises
    ------
    OptionError
        For names that there are not, and where the two contradict each other.
    """
    check_option("kind", kind, ("response", "link", "predictive"))
    check_option("interval", interval, (None, "confidence", "prediction"))
    if interval == "prediction" and kind == "link":
        raise OptionError(
            f"interval={interval!r} and kind={kind!r} ask for different scales", hint='Use kind="response".'
        )
    if interval == "confidence" and kind == "predictive":
        raise OptionError(
            f"interval={interval!r} is for the mean of the response and kind={kind!r} for a new one",
            hint="Leave one of them out.",
        )
    return "predictive" if interval == "prediction" else kind


def check_scales(kind: PredictionKind, back: Transformation | None, bias_adjust: bool) -> None:
    """Refuse a scale that is none of those a transformed response has (`OptionError`)."""
    if back is not None and (kind == "link" or (bias_adjust and kind != "response")):
        what = "back_transform=True" if kind == "link" else "bias_adjust=True"
        raise OptionError(f"{what} and kind={kind!r} ask for different scales", hint='Use kind="response".')


def transformation_to_undo(
    design: Design, family: Family, back_transform: bool, bias_adjust: bool
) -> Transformation | None:
    """The transformation that predictions are asked to undo; None where there is nothing to undo.

    Raises
    ------
    OptionError
        A response that cannot be taken back to a variable, or a mean of it that does not exist.
    """
    check_flag("back_transform", back_transform)
    check_flag("bias_adjust", bias_adjust)
    if not back_transform:
        if bias_adjust:
            raise OptionError("bias_adjust=True is about a variable taken back", hint="Add back_transform=True.")
        return None
    found = read_transformation(design, family)
    if isinstance(found, Unknown):
        raise OptionError(
            f"the response {found.text} cannot be taken back to the scale of a variable: {found.reason}",
            hint="Leave back_transform out.",
        )
    if found is None or not bias_adjust or found.affine is not None:
        return found
    hint = f"Leave bias_adjust out: predictions are then {found.kind}s of {found.variable}."
    if not found.has_mean:
        raise OptionError(f"under a normal distribution of {found.text}, {found.variable} has no mean", hint=hint)
    if design.known_sd is not None:
        raise OptionError(
            "se(...) is the error of each row's own estimate, and no part of what varies in the population", hint=hint
        )
    if not family.linear_gaussian:
        raise OptionError(
            f"means behind {found.text} are known for the gaussian family with the identity link, not for "
            f"{family.name} ({family.link.name})",
            hint=hint,
        )
    return found


def taken_back(values: Any, back: Transformation, residual_sd: Array | None, *, prediction: bool) -> Any:
    """Predictions in units of the variable: a Series, or a table with estimate, se, lower and upper.

    Parameters
    ----------
    values
        Predictions on the scale of the response as modelled.
    back
        The transformation.
    residual_sd
        (n,) standard deviations of the residuals, for means of the variable; None for the plain inverse.
    prediction
        Whether intervals are for a new response, whose quantiles pass through the plain inverse whatever its mean is.
    """
    if isinstance(values, pd.Series):
        return pd.Series(_value(back, values.to_numpy(), residual_sd), index=values.index, name=values.name)
    center = values["estimate"].to_numpy()
    slope = back.slope(center) if residual_sd is None else back.mean_slope(center, residual_sd)
    ends = [_value(back, values[end].to_numpy(), None if prediction else residual_sd) for end in ("lower", "upper")]
    return values.assign(
        estimate=_value(back, center, residual_sd),
        se=np.abs(slope) * values["se"],
        lower=np.minimum(*ends),
        upper=np.maximum(*ends),
    )


def _value(back: Transformation, center: Array, residual_sd: Array | None) -> Array:
    return back.inverse(center) if residual_sd is None else back.mean(center, residual_sd)
