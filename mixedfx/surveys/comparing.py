"""Tests of nested models over several completed data sets: D1, D2 and D3 of `mixedfx.surveys.rubin`."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import OptionError, check_option
from mixedfx.inference.hypotheses import f_probability
from mixedfx.surveys.pooled_reference import PooledReference
from mixedfx.surveys.rubin import d1, d2, d3

Array = NDArray[np.float64]
Method = Literal["D1", "D2", "D2 wald", "D3"]
METHODS: tuple[Method, ...] = ("D1", "D2", "D2 wald", "D3")


class Compared(Protocol):
    """A pooled fit, as comparisons read it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The p coefficients."""
        ...

    @property
    def estimates(self) -> Array:
        """(m, p)."""
        ...

    @property
    def sets(self) -> tuple[str, ...]:
        """What the data sets are called."""
        ...

    @property
    def fits(self) -> tuple[Any, ...]:
        """The m fits."""
        ...

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        ...

    @property
    def nobs(self) -> int:
        """Rows of each data set."""
        ...

    @property
    def sigma(self) -> float:
        """Root of the mean residual variance."""
        ...

    @property
    def covariance_factors(self) -> tuple[Array, ...]:
        """For each random term (1, k, k) a factor of the mean covariance."""
        ...

    def reference(self, ddf: Any = None, vcov: Any = None) -> PooledReference:
        """Covariance and degrees of freedom."""
        ...


def compare(larger: Compared, smaller: Compared, method: Method) -> pd.DataFrame:
    """Table behind `PooledFit.compare`."""
    check_option("method", method, METHODS)
    _check_pair(larger, smaller)
    if method in ("D1", "D2 wald"):
        F, num, den, riv = _by_coefficients(larger, smaller, method)
    else:
        F, num, den, riv = _by_likelihoods(larger, smaller, method)
    row = (larger.formula, method, F, num, den, f_probability(max(F, 0.0), num, den), riv)
    return pd.DataFrame([row], columns=["model", "method", "f_value", "num_df", "den_df", "p_value", "riv"])


def _check_pair(larger: Compared, smaller: Compared) -> None:
    if larger.sets != smaller.sets or larger.nobs != smaller.nobs:
        raise OptionError("the two models were fitted to other data sets", hint="Fit both to the same ones.")
    for big, small in zip(larger.fits, smaller.fits, strict=True):
        if not np.array_equal(big.design.y, small.design.y):
            raise OptionError("the responses of the two models differ", hint="Fit both to the same responses.")
    if smaller.fits[0].n_parameters >= larger.fits[0].n_parameters:
        raise OptionError("the second model is not the smaller one", hint="Call it of the larger model.")


def _by_coefficients(larger: Compared, smaller: Compared, method: Method) -> tuple[float, float, float, float]:
    """By the estimates of the coefficients that the smaller model lacks."""
    more = [name for name in larger.names if name not in smaller.names]
    if not more or set(smaller.names) - set(larger.names):
        raise OptionError(
            f"method={method!r} tests coefficients, and the models do not differ by some that are left out",
            hint='method="D3" compares likelihoods.',
        )
    L = np.eye(len(larger.names))[[larger.names.index(name) for name in more]]
    used = larger.reference("normal" if method == "D2 wald" else None)
    if method == "D1":
        F, num, den = used.f_test(L, L @ larger.estimates.mean(axis=0))
        return F, num, den, d1(used.of(L), L @ larger.estimates.mean(axis=0))[3]
    beta = larger.estimates @ L.T
    inner = [L @ one.vcov @ L.T for one in used.references]
    return d2(np.array([b @ np.linalg.solve(V, b) for b, V in zip(beta, inner, strict=True)]), len(more))


def _by_likelihoods(larger: Compared, smaller: Compared, method: Method) -> tuple[float, float, float, float]:
    """By -2 log likelihoods, of each data set and (D3) at the means of the estimates."""
    if not all(hasattr(one, "compared_with") for one in larger.fits):
        raise OptionError(
            f"method={method!r} compares likelihoods, and pseudo likelihoods of weighted samples do not compare",
            hint='Use method="D1", or fit.test(...) of coefficients.',
        )
    for fit in (larger, smaller):
        if any(getattr(one, "REML", False) for one in fit.fits):
            raise OptionError(
                f"method={method!r} compares likelihoods, and these fits are by REML",
                hint='Fit with REML=False, or use method="D1".',
            )
    k = larger.fits[0].n_parameters - smaller.fits[0].n_parameters
    own = _criteria(smaller) - _criteria(larger)
    if method == "D2":
        return d2(own, k)
    return d3(own, _at_means(smaller) - _at_means(larger), k)


def _criteria(fit: Compared) -> Array:
    return np.array([one.criterion for one in fit.fits])


def _at_means(fit: Compared) -> Array:
    """(m,) -2 log likelihoods of each data set at the means of coefficients, covariances and residual variance."""
    first: Any = fit.fits[0]
    if not hasattr(first, "deviance_at"):
        raise OptionError("D3 is for linear mixed models", hint='Use method="D2".')
    covariances = [np.asarray(F[0] @ F[0].T) for F in fit.covariance_factors]
    beta = fit.estimates.mean(axis=0)
    return np.array([one.deviance_at(beta, covariances, fit.sigma) for one in fit.fits])
