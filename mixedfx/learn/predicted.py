"""Predicted effects, and whether they may be judged on the rows that they are about.

A model is good on what it has seen: effects predicted for the rows a learner was fitted to rank these rows by their own
noise, and every policy that is valued on them looks too good. A `Cate` knows whether it was cross-fitted; numbers from
elsewhere come with the statement that they were (`cross_fitted=True`), since nothing in them shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import DataError, OptionError, some_rows

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cate:
    """Predicted effects of n people.

    Attributes
    ----------
    values
        (n,) effects, or (n, K - 1) of each arm against the control.
    contrasts
        What they compare.
    cross_fitted
        Whether no model has seen the outcome of the person it predicts.
    learner
        Its name; empty for numbers from elsewhere.
    target
        Whom they are for.
    groups
        (n,) groups, where they are known.
    seen
        How many of the rows are like one that the learner was fitted to.
    """

    values: Array
    contrasts: tuple[str, ...]
    cross_fitted: bool
    learner: str = ""
    target: str = ""
    groups: NDArray[Any] | None = None
    seen: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype)

    def of(self, contrast: str) -> Cate:
        """The effects of one arm."""
        if contrast not in self.contrasts:
            raise OptionError(f"there is no contrast {contrast!r}", hint=f"Contrasts: {', '.join(self.contrasts)}.")
        values = self.values if self.values.ndim == 1 else self.values[:, self.contrasts.index(contrast)]
        return Cate(values, (contrast,), self.cross_fitted, self.learner, self.target, self.groups, self.seen)

    def __repr__(self) -> str:
        made = "cross-fitted" if self.cross_fitted else "in sample"
        return f"<Cate: {len(self)} effects, {', '.join(self.contrasts)}, {made}>"


def read_effects(cate: Any, n: int | None = None, contrast: str | None = None) -> Array:
    """(n,) effects of one contrast, which `contrast` names where a `Cate` has several.

    Raises
    ------
    DataError
        Another length, several contrasts, or effects that are missing, by counts.
    OptionError
        The fit of a learner in the place of its effects.
    """
    if hasattr(cate, "out_of_fold"):
        raise OptionError("effects are those of a fit, which has several kinds", hint="Use fit.out_of_fold.")
    if isinstance(cate, Cate) and contrast is not None and len(cate.contrasts) > 1:
        cate = cate.of(contrast)
    values = cate.values if isinstance(cate, Cate) else as_numbers(cate, "effects")
    if values.ndim == 0:
        raise DataError(f"effects are one number, {values}", hint="Give one effect for each row.")
    if values.ndim != 1:
        which = f": {', '.join(cate.contrasts)}" if isinstance(cate, Cate) else f" of shape {values.shape}"
        raise DataError(f"several effects for each row{which}", hint="Give one: cate.of('b - a'), or a column.")
    if n is not None and len(values) != n:
        raise DataError(f"there are {len(values)} effects and {n} rows", hint="One effect for each row.")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{len(bad)} effects are NaN or infinite: {some_rows(bad)}", hint="Leave these rows out.")
    return np.asarray(values, dtype=np.float64)


def as_numbers(given: Any, what: str) -> Array:
    """Numbers as an array, missing ones NaN; one column (n, 1) as (n,).

    Raises
    ------
    DataError
        Text, or whatever else is no number.
    """
    try:
        if isinstance(given, pd.Series):
            values = given.to_numpy(np.float64, na_value=np.nan)
        else:
            values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers", hint="Give one for each row.") from None
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def read_cross_fitted(cate: Any, n: int | None, cross_fitted: bool | None, contrast: str | None = None) -> Array:
    """(n,) effects that may be judged on the rows they are about.

    Raises
    ------
    OptionError
        Effects that are in sample, or that nobody says are not.
    """
    if hasattr(cate, "out_of_fold"):
        return read_effects(cate)
    told = cate.cross_fitted if isinstance(cate, Cate) else cross_fitted
    if not told:
        why = (
            "are predictions for the rows that the learner was fitted to"
            + (f" ({cate.seen} of {len(cate)})" if cate.seen else "")
            if isinstance(cate, Cate)
            else "are numbers that do not say whether they were cross-fitted"
        )
        raise OptionError(
            f"these effects {why}: judged on their own rows they look better than they are",
            hint="Use fit.out_of_fold; say fit.predict(X, other_people=True) of others with the same covariates, or "
            "cross_fitted=True of numbers that no model of the same rows made.",
        )
    return read_effects(cate, n, contrast)


def alike(tau: Array) -> bool:
    """Whether effects differ by no more than rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.predicted import alike
    >>> alike(np.array([0.1, 0.1 + 1e-15])), alike(np.array([0.1, 0.2]))
    (True, False)
    """
    return bool(np.ptp(tau) <= 1e-12 * max(1.0, np.abs(tau).max()))
