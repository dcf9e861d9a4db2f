r"""Ways back from the scale of an analysis, and between standardised differences, correlations and log odds ratios.

Conversions carry sampling variances by the delta method. With a = (n1 + n2)^2 / (n1 n2), which is 4 for groups of equal
size, a standardised difference d and the correlation r with group membership obey r = d / sqrt(d^2 + a) (Borenstein
2009, in Cooper, Hedges and Valentine, The Handbook of Research Synthesis, ch. 12), Fisher's z is artanh r, and a log
odds ratio is d pi / sqrt(3) where the outcome behind it is logistic (Hasselblad and Hedges 1995, Psychological
Bulletin 117(1)), 1.65 d by Cox's approximation for a normal one (Cox and Snell 1989, Analysis of Binary Data).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.errors import DataError, OptionError, check_option
from mixedfx.meta.measure import Array

Scale = Literal["d", "r", "z", "log_odds"]
SCALES = ("d", "r", "z", "log_odds")
PER_SD = {"logistic": np.pi / np.sqrt(3), "cox": 1.65}


def exp(y: Array) -> Array:
    """From logarithms."""
    return np.exp(y)


def expit(y: Array) -> Array:
    """From logits."""
    return special.expit(y)


def sin_squared(y: Array) -> Array:
    """From arcsine square roots; below 0 is 0, above pi / 2 is 1."""
    return np.sin(np.clip(y, 0.0, np.pi / 2)) ** 2


def square(y: Array) -> Array:
    """From square roots; below 0 is 0."""
    return np.maximum(y, 0.0) ** 2


def exp_complement(y: Array) -> Array:
    """From -log(1 - alpha)."""
    return -np.expm1(-np.asarray(y))


def cube_complement(y: Array) -> Array:
    """From 1 - (1 - alpha)^(1/3)."""
    return 1 - (1 - np.asarray(y)) ** 3


BACK: dict[str, Callable[[Array], Array]] = {
    "exp": exp,
    "expit": expit,
    "tanh": np.tanh,
    "sin_squared": sin_squared,
    "square": square,
    "exp_complement": exp_complement,
    "cube_complement": cube_complement,
}


def find_back(transf: str | Callable[[Array], Array] | None) -> Callable[[Array], Array]:
    """The function that leads back: a name of `BACK`, a function of arrays, or None for the identity.

    Raises
    ------
    OptionError
        For another name.
    """
    if transf is None:
        return lambda y: y
    if callable(transf):
        return transf
    if transf not in BACK:
        known = ", ".join(map(repr, BACK))
        raise OptionError(f"transf={transf!r} is not known", hint=f"Use {known}, or a function of arrays.")
    return BACK[transf]


def proportion_of_double_arcsine(y: Any, n: Any) -> Array:
    """The proportion behind a double arcsine of measure ``"PFT"`` (Miller 1978, The American Statistician 32(4)).

    Parameters
    ----------
    y
        Transformed proportions.
    n
        Sample sizes; for a mean of several studies the harmonic mean of theirs.

    Examples
    --------
    >>> from mixedfx.meta.effect_sizes.transforms import proportion_of_double_arcsine
    >>> from mixedfx.meta.effect_sizes.measures_correlations import double_arcsine
    >>> float(proportion_of_double_arcsine(double_arcsine(3.0, 20.0), 20.0).round(12))
    0.15
    """
    y, n = np.broadcast_arrays(np.asarray(y, dtype=np.float64), np.asarray(n, dtype=np.float64))
    least, most = np.arcsin(np.sqrt(1 / (n + 1))) / 2, (np.arcsin(np.sqrt(n / (n + 1))) + np.pi / 2) / 2
    inside = np.clip(y, least, most)
    sine = np.sin(2 * inside)
    root = np.sqrt(np.maximum(1 - (sine + (sine - 1 / sine) / n) ** 2, 0.0))
    return np.where(y <= least, 0.0, np.where(y >= most, 1.0, (1 - np.sign(np.cos(2 * inside)) * root) / 2))


def convert_effects(
    yi: Any,
    vi: Any = None,
    *,
    source: Scale,
    target: Scale,
    n1i: Any = None,
    n2i: Any = None,
    odds: Literal["logistic", "cox"] = "logistic",
) -> pd.DataFrame:
    """Convert effect sizes between d, r, Fisher's z and the log odds ratio, with their sampling variances.

    Parameters
    ----------
    yi
        Effects on the scale of `source`.
    vi
        Their sampling variances; NaN where None.
    source, target
        ``"d"``, a standardised mean difference; ``"r"``, a correlation; ``"z"``, Fisher's z; ``"log_odds"``, a log odds
        ratio.
    n1i, n2i
        Sizes of the groups, for between d and r; equal where None.
    odds
        How an odds ratio arises from a difference: ``"logistic"`` (pi / sqrt(3) for one sd) or ``"cox"`` (1.65).

    Returns
    -------
    DataFrame
        yi, vi on the scale of `target`.

    Raises
    ------
    OptionError
        An unknown scale.
    DataError
        Correlations outside (-1, 1).

    Examples
    --------
    >>> import mixedfx as mx
    >>> mx.convert_effects([0.5], [0.04], source="d", target="log_odds").round(4)
           yi      vi
    0  0.9069  0.1316
    """
    check_option("source", source, SCALES)
    check_option("target", target, SCALES)
    check_option("odds", odds, tuple(PER_SD))
    y = np.atleast_1d(np.asarray(yi, dtype=np.float64))
    v = np.full(y.shape, np.nan) if vi is None else np.broadcast_to(np.asarray(vi, dtype=np.float64), y.shape)
    a = 4.0 if n1i is None or n2i is None else _share_constant(n1i, n2i)
    if source == "r" and (np.abs(y) >= 1).any():
        raise DataError("a correlation of -1 or 1, or beyond, has no effect size on another scale")
    if source == target:
        return pd.DataFrame({"yi": y, "vi": v})
    path = ("z", "r", "d", "log_odds")
    at, end = path.index(source), path.index(target)
    while at != end:
        step = 1 if end > at else -1
        y, v = _STEPS[path[at], path[at + step]](y, v, a, PER_SD[odds])
        at += step
    return pd.DataFrame({"yi": y, "vi": v})


def _share_constant(n1i: Any, n2i: Any) -> Any:
    n1, n2 = np.asarray(n1i, dtype=np.float64), np.asarray(n2i, dtype=np.float64)
    return (n1 + n2) ** 2 / (n1 * n2)


_STEPS: dict[tuple[str, str], Callable[[Array, Array, Any, float], tuple[Array, Array]]] = {
    ("z", "r"): lambda y, v, a, f: (np.tanh(y), v * (1 - np.tanh(y) ** 2) ** 2),
    ("r", "z"): lambda y, v, a, f: (np.arctanh(y), v / (1 - y**2) ** 2),
    ("r", "d"): lambda y, v, a, f: (np.sqrt(a) * y / np.sqrt(1 - y**2), a * v / (1 - y**2) ** 3),
    ("d", "r"): lambda y, v, a, f: (y / np.sqrt(y**2 + a), a**2 * v / (y**2 + a) ** 3),
    ("d", "log_odds"): lambda y, v, a, f: (f * y, f**2 * v),
    ("log_odds", "d"): lambda y, v, a, f: (y / f, v / f**2),
}
