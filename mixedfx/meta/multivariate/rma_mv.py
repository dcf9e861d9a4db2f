"""rma_mv: meta-analysis of dependent estimates: several levels, structured effects, known covariances of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.errors import DataError, ModelError, OptionError, check_level, check_option
from mixedfx.formula.mixed_formula import MixedFormula
from mixedfx.meta.multivariate.mv_fit import RmaMvFit
from mixedfx.meta.multivariate.mv_state import MvTest
from mixedfx.meta.reading import kept, moderators_refused, numbers
from mixedfx.reml.lmer import lmer

TOLERANCE = 1e-13  # of the criterion: one or two steps more than mixedfx.lmer takes, for six digits of every variance


def rma_mv(
    formula: str | MixedFormula,
    data: Any,
    vi: Any = None,
    V: Any = None,
    method: Literal["REML", "ML"] = "REML",
    test: MvTest = "z",
    *,
    level: float = 0.95,
    na: Literal["drop", "raise"] = "drop",
    contrasts: Mapping[str, Any] | None = None,
    env: Mapping[str, Any] | None = None,
    control: Any = None,
) -> RmaMvFit:
    """Fit a multilevel or multivariate meta-analysis, or meta-regression.

    The model is y = X beta + Z u + e with e ~ N(0, V), V known, and u of any of the random terms and covariance
    structures of `mixedfx.lmer`: the same engine fits it, with sigma fixed at one.

    Parameters
    ----------
    formula
        ``"yi ~ 1 + (1 | district/school)"``: estimates, moderators and random terms. Effects of outcomes within studies
        that are correlated: ``us(0 + outcome | study)``, or ``cs()``, ``homcs()``, ``diag()``, ``id()``, and in order
        ``ar1()``, ``hetar1()`` (metafor's UN, HCS, CS, DIAG, ID, AR, HAR of ``~ outcome | study``); ``C(outcome)``
        where outcomes are numbers. Known correlations between levels: ``(1 | gr(species, cov=A))``.
    data
        Any data frame, such as `mixedfx.escalc` returns.
    vi
        Sampling variances of independent errors: the name of a column or values. Neither `vi` nor `V`: the column
        ``vi``.
    V
        Covariance of the sampling errors, (n, n) dense or sparse, as `mixedfx.vcalc` makes it, or its blocks as a
        list.
    method
        ``"REML"`` or ``"ML"``.
    test
        ``"z"``: normal. ``"t"``: t with k - p degrees of freedom. Few clusters: `RmaMvFit.robust`.
    level
        Confidence level of intervals.
    na
        ``"drop"``: rows that lack a value are left out and counted. ``"raise"``: they are an error.
    contrasts, env
        As in `mixedfx.lmer`.
    control
        Options of the optimiser, as in `mixedfx.lmer`; its tolerance is 1e-13 where None.

    Returns
    -------
    RmaMvFit

    Raises
    ------
    DataError
        Sampling variances that are not positive, by row; a V that does not fit the data or is not positive definite.
    OptionError
        Both `vi` and `V`.
    ModelError
        A grouping factor with one level; moderators that are combinations of others.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> schools = pd.DataFrame({"yi": [-0.2, 0.1, 0.3, 0.6, 0.5, 0.7, 0.0, 0.2, -0.1, 0.1],
    ...                         "vi": [0.04] * 10, "district": list("aabbbccddd"), "school": range(10)})
    >>> fit = mx.rma_mv("yi ~ 1 + (1 | district/school)", schools)
    >>> fit.tidy()[["term", "estimate", "std_error"]].round(3)
            term  estimate  std_error
    0  Intercept     0.214      0.121
    """
    check_option("method", method, ("REML", "ML"))
    check_option("test", test, ("z", "t"))
    check_level(level)
    if vi is not None and V is not None:
        raise OptionError("both vi= and V= are given", hint="The diagonal of V are the variances: leave vi= out.")
    frame = kept(data)  # read once: a query may give its rows in another order the next time
    errors = _variances(vi, frame, na) if V is None else _covariance(V)
    try:
        with moderators_refused():
            model = lmer(
                formula, frame, REML=method == "REML", na=na, contrasts=contrasts, env=env, V=errors, sigma=1.0,
                control={"tolerance": TOLERANCE} if control is None else control,
            )  # fmt: skip
    except np.linalg.LinAlgError:
        raise ModelError(
            "the moderators reproduce the estimates exactly, and nothing is left to differ",
            hint="Leave moderators out; mixedfx.rma fits a single estimate.",
        ) from None
    if len(model.design.y) <= model.design.X.shape[1]:
        raise ModelError(
            f"{len(model.design.y)} estimates and {model.design.X.shape[1]} coefficients say nothing of how true "
            "effects differ",
            hint="Leave moderators out; mixedfx.rma fits a single estimate.",
        )
    alone = [term for term in model.design.random if term.n_levels < 2]
    if alone:
        raise ModelError(
            f"all estimates are of one level of '{alone[0].label}', '{alone[0].levels[0]}': nothing is known of how "
            "levels differ",
            hint=f"Leave (... | {alone[0].label}) out.",
        )
    return RmaMvFit(model, test, level)


def _covariance(V: Any) -> Any:
    """V as the design takes it: a list of blocks along the diagonal is put together."""
    if isinstance(V, str):
        raise OptionError(
            f"V={V!r} names a column, and V is a covariance matrix", hint=f"Write vi={V!r} for a column of variances."
        )
    if isinstance(V, list | tuple) and len(V) and np.ndim(V[0]) == 2:
        return sparse.csr_array(sparse.block_diag(V))
    return V


def _variances(vi: Any, frame: pd.DataFrame, na: str) -> Any:
    """(n,) sampling variances of the rows of the data; NaN where they are missing."""
    if vi is None and "vi" not in frame.columns:
        raise OptionError(
            "the sampling variances are not given, and the data have no column 'vi'",
            hint="Name the column that has them, vi='...', or give V=.",
        )
    values = numbers("vi" if vi is None else vi, frame, frame.index, "vi")
    missing, bad = np.isnan(values), ~(np.isnan(values) | ((values > 0) & np.isfinite(values)))
    if bad.any():
        rows = np.flatnonzero(bad)
        raise DataError(
            f"vi is a sampling variance, and {values[rows[0]]:g} in row{'s' if len(rows) > 1 else ''} "
            f"{', '.join(map(str, rows[:5]))}{', ...' if len(rows) > 5 else ''} (counted from 0)",
            hint="It is positive and finite; correct these rows or leave them out.",
        )
    if missing.all():
        raise DataError("every sampling variance is missing", hint="Name the column that has them: vi='...'.")
    if missing.any() and na == "raise":
        raise DataError(f"vi is missing in {int(missing.sum())} of {len(values)} rows", hint='Leave na="drop".')
    return values
