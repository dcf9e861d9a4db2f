"""`mixedfx.pool`: fits of several completed data sets, or their estimates and covariances, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import DataError, OptionError
from mixedfx.inference.hypotheses import Constant
from mixedfx.surveys.pooled_estimates import PooledEstimates
from mixedfx.surveys.pooled_fit import PooledFit

OF_FITS = ("fixef", "reference", "design", "design_for", "apply", "varcorr")


def pool(
    fits: Sequence[Any], covariances: Sequence[Any] | None = None, df: float | Sequence[float] = np.inf
) -> PooledFit | PooledEstimates:  # fmt: skip
    """Pool the same model fitted to several completed data sets by Rubin's rules.

    Parameters
    ----------
    fits
        Fits of `mixedfx.lmer` or `mixedfx.glmer`; or anything with estimates and covariances: fits of statsmodels
        (``params`` and ``cov_params()``), or estimates, each a pandas Series, a mapping of names, or an array.
    covariances
        (p, p) covariance of each estimate, or (p,) standard errors; for estimates.
    df
        Degrees of freedom that complete data would have, one number or (p,); for estimates.

    Returns
    -------
    PooledFit or PooledEstimates
        Of fits of this package a `PooledFit`, which `mixedfx.emmeans` and `mixedfx.effects` take too; of others
        coefficients with ``tidy()`` and ``test()``.

    Raises
    ------
    DataError
        Fewer than two; different coefficients, numbers of rows or groups; covariances that do not fit.
    OptionError
        Covariances beside fits, or missing beside estimates.

    Examples
    --------
    >>> import mixedfx as mx
    >>> found = mx.pool([{"x": 1.0}, {"x": 2.0}, {"x": 3.0}], covariances=[[0.5], [0.5], [0.5]])
    >>> found.tidy()[["term", "estimate", "std_error", "fmi"]].round(3).values.tolist()
    [['x', 2.0, 1.258, 0.896]]
    """
    every = list(fits)
    if len(every) < 2:
        raise DataError("pooling needs at least two fits", hint="One completed data set has no variance between.")
    ours = [all(hasattr(fit, name) for name in OF_FITS) for fit in every]
    if all(ours):
        if covariances is not None:
            raise OptionError("covariances= is for estimates, and these are fits", hint="Leave it out.")
        sets = tuple(str(k + 1) for k in range(len(every)))
        check_alike(every, sets)
        return pooled_fits(every, sets, str(every[0].formula), "imputations")
    if any(ours):
        raise OptionError("some of these are fits of this package and some are not", hint="Pool one kind.")
    pairs = [_read(one, None if covariances is None else covariances[k]) for k, one in enumerate(every)]
    names = pairs[0][0]
    for k, (other, beta, cov) in enumerate(pairs):
        if other != names:
            raise DataError(f"estimate {k + 1} has other coefficients than the first: {', '.join(other)}")
        if cov.shape != (len(beta), len(beta)) or not np.isfinite(cov).all() or not np.isfinite(beta).all():
            raise DataError(f"the covariance of estimate {k + 1} is no finite {len(beta)} x {len(beta)} matrix")
    values = np.broadcast_to(np.asarray(df, dtype=np.float64), (len(names),))
    if not (values > 0).all():
        raise OptionError("df= has to be positive")
    if np.ptp(np.where(np.isinf(values), 0.0, values)) > 0:
        raise OptionError("df= of tests is one number", hint="Pool coefficients with other df by themselves.")
    references = tuple(Constant(cov, float(values[0])) for _, _, cov in pairs)
    sets = tuple(str(k + 1) for k in range(len(every)))
    return PooledEstimates(names, np.array([beta for _, beta, _ in pairs]), sets, references)


def _read(one: Any, covariance: Any) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, estimates and covariance of one data set."""
    if covariance is None:
        if not (hasattr(one, "params") and hasattr(one, "cov_params")):
            raise OptionError("estimates need covariances=", hint="Give one covariance, or its roots, for each.")
        one, covariance = one.params, one.cov_params()
    if isinstance(one, Mapping):
        one = pd.Series(dict(one))
    values = np.asarray(one, dtype=np.float64)
    names = tuple(map(str, one.index)) if isinstance(one, pd.Series) else tuple(f"b{j}" for j in range(len(values)))
    matrix = np.asarray(covariance, dtype=np.float64)
    return names, values, np.diag(matrix**2) if matrix.ndim == 1 else matrix


def check_alike(fits: Sequence[Any], sets: tuple[str, ...]) -> None:
    """Refuse fits of the same model that differ in coefficients, rows or groups (`DataError`)."""
    first = fits[0]
    names = tuple(map(str, first.fixef.index))
    for label, fit in zip(sets, fits, strict=True):
        other = tuple(map(str, fit.fixef.index))
        if other != names:
            odd = sorted(set(other) ^ set(names))
            raise DataError(
                f"data set {label} has other coefficients than {sets[0]}: {', '.join(odd)}",
                hint="A category may be missing in one; give the columns the same categories.",
            )
        if fit.nobs != first.nobs:
            raise DataError(
                f"data set {label} has {fit.nobs} complete rows and {sets[0]} has {first.nobs}",
                hint="Imputations have to complete the same rows.",
            )
        levels = [term.levels for term in fit.design.random]
        if levels != [term.levels for term in first.design.random]:
            raise DataError(f"data set {label} has other groups than {sets[0]}", hint="Groups are not imputed.")


def pooled_fits(fits: Sequence[Any], sets: tuple[str, ...], text: str, what: str) -> PooledFit:
    """A `PooledFit` of fits of this package that are alike."""
    names = tuple(map(str, fits[0].fixef.index))
    estimates = np.array([fit.fixef.to_numpy(dtype=np.float64) for fit in fits])
    return PooledFit(names, estimates, sets, fits=tuple(fits), written=text, what=what)
