"""The functions a formula may use: the whole list, and what it evaluates to.

Formula text is untrusted, so a function is available because it stands here, never because Python or formulaic knows
it. Each entry lists the parameters that may be written; everything else (``out=``, ``dtype=``, formulaic's private
``_state=``) is refused.

Left out on purpose: ``lag`` (it would shift values from one group into the next), ``hashed`` (its columns have no
names to report), and summaries such as ``np.mean(x)`` (on new data they would be computed anew; ``center(x)`` and
``scale(x)`` remember theirs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType, SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Signature:
    """What may be written between the brackets of one function.

    Attributes
    ----------
    parameters
        Names of the parameters, in order; those after the first `positional` must be given by name.
    required
        How many of the first parameters must be given.
    positional
        How many may be given without their name; all of them where None.
    literals
        Whether arguments may be strings, lists, tuples, dictionaries, booleans or None.
    by_name
        Whether arguments may be given by name at all.
    counts
        Parameters that say how many columns to make; these must be whole numbers, see `MAX_COUNT`.
    """

    parameters: tuple[str, ...]
    required: int = 1
    positional: int | None = None
    literals: bool = False
    by_name: bool = True
    counts: frozenset[str] = frozenset()


MAX_COUNT = 100
"""Largest number of columns a function may be asked for (``degree=``, ``df=``)."""

_ONE = Signature(("x",), by_name=False)
_TWO = Signature(("x", "y"), required=2, by_name=False)
_CUBIC = Signature(
    ("x", "df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation"),
    positional=6,
    literals=True,
    counts=frozenset({"df"}),
)
_FACTOR = Signature(("data", "contrasts", "levels", "spans_intercept"), positional=2, literals=True)

PLAIN = ("log", "log2", "log10", "log1p", "exp", "exp2", "exp10", "expm1", "sqrt", "abs", "logit")
"""Elementwise functions that need no ``np.`` in front."""

FUNCTIONS: MappingProxyType[str, Signature] = MappingProxyType(
    dict.fromkeys(PLAIN, _ONE)
    | {
        "I": _ONE,
        "Q": Signature(("variable",), literals=True, by_name=False),
        "C": _FACTOR,
        "factor": _FACTOR,
        "center": _ONE,
        "scale": Signature(("data", "center", "scale", "ddof"), literals=True),
        "standardize": Signature(("x", "center", "rescale", "ddof"), literals=True),
        "poly": Signature(("x", "degree", "raw"), literals=True, counts=frozenset({"degree"})),
        "bs": Signature(
            ("x", "df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation"),
            literals=True,
            counts=frozenset({"df", "degree"}),
        ),
        "cr": _CUBIC,
        "cs": _CUBIC,
        "cc": _CUBIC,
    }
)
"""Functions called by their name alone."""

_NUMPY_ONE = (
    *("abs", "absolute", "fabs", "sign", "sqrt", "cbrt", "square", "reciprocal", "negative"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p"),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh"),
    *("deg2rad", "rad2deg", "radians", "degrees"),
    *("floor", "ceil", "trunc", "rint", "isnan", "isfinite", "logical_not"),
)
_NUMPY_TWO = (
    *("add", "subtract", "multiply", "divide", "power", "mod", "floor_divide"),
    *("maximum", "minimum", "fmax", "fmin", "hypot", "arctan2", "logaddexp"),
    *("logical_and", "logical_or", "logical_xor"),
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
)

NUMPY: MappingProxyType[str, Signature] = MappingProxyType(
    dict.fromkeys(_NUMPY_ONE, _ONE)
    | dict.fromkeys(_NUMPY_TWO, _TWO)
    | {
        "round": Signature(("a", "decimals"), literals=True),
        "clip": Signature(("a", "a_min", "a_max"), required=3, literals=True),
        "where": Signature(("condition", "x", "y"), required=3, literals=True, by_name=False),
    }
)
"""Functions called as ``np.<name>``; all work row by row."""

NUMPY_CONSTANTS = ("pi", "e")
"""Values written as ``np.<name>``."""

CONTRASTS: MappingProxyType[str, Signature] = MappingProxyType(
    {
        "treatment": Signature(("base",), required=0, literals=True),
        "SAS": Signature(("base",), required=0, literals=True),
        "sum": Signature((), required=0),
        "helmert": Signature(("reverse", "scale"), required=0, literals=True),
        "diff": Signature(("backward",), required=0, literals=True),
        "poly": Signature(("scores",), required=0, literals=True),
        "custom": Signature(("contrasts", "names"), literals=True),
    }
)
"""Contrasts, written as ``contr.<name>`` or ``contr.<name>(...)`` inside ``C(x, ...)``."""

CONTRAST_NAMES: MappingProxyType[str, Signature] = MappingProxyType(
    {
        "Treatment": Signature(("reference",), required=0, literals=True),
        "Sum": CONTRASTS["sum"],
        "Helmert": CONTRASTS["helmert"],
        "Diff": CONTRASTS["diff"],
        "Poly": CONTRASTS["poly"],
    }
)
"""The same contrasts under their names in patsy, inside ``C(x, ...)``."""

TRANSLATIONS: MappingProxyType[str, str] = MappingProxyType(
    {
        "as.factor": "factor(x)",
        "as.numeric": "the column itself, made numeric beforehand",
        "relevel": "C(x, Treatment('level'))",
        "ordered": "C(x, contr.poly), or a categorical column in its own order",
        "ns": "cr(x, df=4)",
        "s": "bs(x, df=6)",
        "rcs": "cr(x, df=4)",
        "ifelse": "np.where(condition, a, b)",
        "pmin": "np.minimum(x, y)",
        "pmax": "np.maximum(x, y)",
        "cbind": "successes | trials(total), with family='binomial', or one response",
        "lag": "a lagged column, made beforehand within each group",
        "hashed": "a column of hashed levels, made beforehand",
        "round": "np.round(x)",
        "pow": "np.power(x, y)",
        "qlogis": "logit(x)",
    }
)
"""Functions known elsewhere, and what to write here."""


def formula_functions() -> dict[str, Callable[..., Any] | SimpleNamespace]:
    """Give the documented functions: what names in a formula evaluate to, besides columns and the caller's ``env``.

    Returns
    -------
    dict
        The documented functions, and the name spaces ``np`` and ``contr`` cut down to what is documented. A fresh
        dictionary, to be changed freely.

    Examples
    --------
    >>> from mixedfx.formula.functions import formula_functions
    >>> functions = formula_functions()
    >>> float(functions["np"].log(1.0)), hasattr(functions["np"], "load")
    (0.0, False)
    """
    return dict(_functions())


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    # formulaic is slow to import, and text alone does not need it.
    import numpy as np
    from formulaic.transforms import TRANSFORMS
    from scipy.special import logit

    special = {"exp10": lambda x: np.power(10.0, x), "factor": TRANSFORMS["C"], "logit": logit}
    numpy_names = {name: getattr(np, name) for name in (*NUMPY, *NUMPY_CONSTANTS)}
    contrasts = {name: getattr(TRANSFORMS["contr"], name) for name in CONTRASTS}
    own = {name: special.get(name) or (getattr(np, name) if name in PLAIN else TRANSFORMS[name]) for name in FUNCTIONS}
    return (
        own
        | {name: TRANSFORMS[name] for name in CONTRAST_NAMES}
        | {"np": SimpleNamespace(**numpy_names), "contr": SimpleNamespace(**contrasts)}
    )
