"""What kind of numbers a response holds, where a linear model with normal residuals may be the wrong one for them.

A response of two values has residuals of two values: their distribution and spread follow from the probability and say
nothing that a transformation or another residual distribution could mend. What mends it is a model of the probability.
Few whole numbers are often ordered answers, many of them counts; there the tests of the residuals keep their meaning
and only the way out is another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.inference.findings import Finding

Vector = NDArray[np.float64]

FEW = 7  # whole numbers up to which answers are looked at as ordered categories
CHECK = "kind of response"


def two_valued(y: Vector) -> bool:
    """Whether a response takes two values only."""
    return bool(np.isin(y, (y.min(), y.max())).all())


def response_kind(y: Vector, name: str) -> Finding:
    """What the response is, and the family that is made for it where there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.response_kind import response_kind
    >>> response_kind(np.array([0.0, 1.0, 1.0, 0.0]), "passed").status
    'problem'
    """
    if two_valued(y):
        low, high = (f"{v:g}" for v in (y.min(), y.max()))
        code = "" if (low, high) == ("0", "1") else f" (recode {low} and {high} to 0 and 1)"
        return Finding(
            CHECK, "problem", f"{name} takes two values only, {low} and {high}",
            "This is a linear probability model: its effects are differences of proportions, but fitted values can "
            "leave the range and the residual variance changes with them. Fit mx.glmer or mx.bayes(..., "
            f"family='bernoulli'){code}, whose mx.effects are differences of probabilities too; where the linear model "
            "is wanted, give tests vcov=fit.vcov_robust().",
        )  # fmt: skip
    values = np.unique(y) if _whole(y) else np.empty(0)
    if 2 < len(values) <= FEW:
        return Finding(
            CHECK, "note", f"{name} takes {len(values)} whole numbers",
            "If these are ordered answers, distances between them are taken as equal; mx.bayes(..., "
            "family='cumulative') does without that.",
        )  # fmt: skip
    return Finding(CHECK, "ok", f"{name} is a count" if len(values) and y.min() >= 0 else f"{name} is a number")


def other_model(y: Vector) -> str:
    """The model to fit where residuals are not normal, by what the response can be."""
    if y.min() >= 0 and _whole(y):
        return "for counts fit mx.bayes(..., family='negbinomial')"
    if y.min() > 0 and y.max() < 1:
        return "for shares fit mx.bayes(..., family='beta')"
    return "transform the response, or fit mx.bayes(..., family='student')"


def _whole(y: Vector) -> bool:
    return bool(np.equal(np.round(y), y).all())
