r"""What single estimates do to a meta-analysis: residuals, influence, and the fit without each of them.

Everything about deletion comes from the k fits without one estimate, made in one batch. With beta_(i), tau_(i)^2 and
Sigma_(i) of the fit without estimate i, h_i the leverage, and x_i'beta its mean (Viechtbauer and Cheung 2010, Research
Synthesis Methods 1(2)),

    rstudent  = (y_i - x_i'beta_(i)) / sqrt(s_(i)^2 (v_i + tau_(i)^2) + x_i'Sigma_(i) x_i)
    dffits    = (x_i'beta - x_i'beta_(i)) / sqrt(s_(i)^2 h_i (v_i + tau_(i)^2))
    cook_d    = (beta - beta_(i))'Sigma^{-1} (beta - beta_(i))
    cov_ratio = |Sigma_(i)| / |Sigma|
    dfbetas   = (beta - beta_(i)) / root of the diagonal of s_(i)^2 (X'W X)^{-1} at tau_(i)^2,

where s_(i)^2 is Knapp and Hartung's factor, or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mixedfx.errors import OptionError, check_level
from mixedfx.meta.effect_sizes.transforms import find_back
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate.refits import Refits, refits
from mixedfx.meta.univariate.rma_report import critical_value, limits, transformed
from mixedfx.meta.univariate.rma_state import RmaState
from mixedfx.meta.univariate.weighted import Effects


def subsets(fit: RmaState, use: Array) -> Refits:
    """The fit of (B, k) subsets, 1 for the estimates that a subset has."""
    effects = Effects(fit.effects.y, fit.effects.v, fit.effects.Q, use)
    weights = None if fit.weights is None else fit.weights[None]
    return refits(effects, fit.R, fit.estimator, fit.test, fit.call.tau2, weights)


def without_each(fit: RmaState) -> Refits:
    """The k fits without one estimate."""
    return subsets(fit, 1.0 - np.eye(fit.k))


def standardized(fit: RmaState) -> pd.DataFrame:
    """Table behind `RmaFit.rstandard`: residual, its standard error, and their ratio."""
    _own_weights_only(fit)
    residual = fit.at_tau2.residuals[0]
    variance = (fit.vi + fit.tau2) * (1 - fit.at_tau2.leverage[0])
    se = np.sqrt(np.maximum(variance, 0.0))
    return _divided(fit, residual, se)


def _own_weights_only(fit: RmaState) -> None:
    if fit.weights is not None:
        raise OptionError(
            "these measures are of fits with the weights 1 / (vi + tau2), and weights= were given",
            hint="Ask rstudent() or leave1out(), which keep them, or fit without weights=.",
        )


def studentized(fit: RmaState, deleted: Refits | None = None) -> pd.DataFrame:
    """Table behind `RmaFit.rstudent`: deleted residual, its standard error, and their ratio."""
    found = without_each(fit) if deleted is None else deleted
    X = fit.data.X
    residual = fit.effects.y[0] - np.sum(X * found.beta, axis=1)
    spread = np.einsum("ip,ipq,iq->i", X, found.vcov, X)
    return _divided(fit, residual, np.sqrt(found.s2 * (fit.vi + found.tau2) + spread))


def _divided(fit: RmaState, residual: Array, se: Array) -> pd.DataFrame:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(se > 0, residual / se, np.nan)
    columns = {"residual": residual, "std_error": se, "statistic": ratio}
    return pd.DataFrame(columns, index=pd.Index(fit.slab, name="slab"))


def influence(fit: RmaState) -> pd.DataFrame:
    """Table behind `RmaFit.influence`."""
    from scipy import special

    _own_weights_only(fit)
    found = without_each(fit)
    X, beta, vcov = fit.data.X, fit.beta, fit.covariance
    change = beta - found.beta
    leverage = fit.at_tau2.leverage[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        dffits = np.sum(X * change, axis=1) / np.sqrt(found.s2 * leverage * (fit.vi + found.tau2))
    cook = np.einsum("ip,pq,iq->i", change, np.linalg.inv(vcov), change)
    ratio = np.linalg.det(found.vcov) / np.linalg.det(vcov)
    # all estimates at the tau^2 of the fits without one
    at = Effects(fit.effects.y, fit.effects.v, fit.effects.Q, np.ones((fit.k, fit.k))).at(found.tau2)
    inverse = np.linalg.inv(fit.R)
    own = found.s2[:, None, None] * (inverse @ at.G @ inverse.T)
    dfbetas = change / np.sqrt(np.diagonal(own, axis1=1, axis2=2))
    table = pd.DataFrame(
        {
            "rstudent": studentized(fit, found)["statistic"].to_numpy(),
            "dffits": dffits,
            "cook_d": cook,
            "cov_ratio": ratio,
            "tau2_deleted": found.tau2,
            "QE_deleted": found.QE,
            "hat": leverage,
            "weight": 100 * fit.fit.w[0] / fit.fit.w[0].sum(),
            **{f"dfbetas {name}": dfbetas[:, j] for j, name in enumerate(fit.names)},
        },
        index=pd.Index(fit.slab, name="slab"),
    )
    k, p = fit.k, fit.p
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.abs(dffits) > 3 * np.sqrt(p / (k - p)) if k > p else np.zeros(k, dtype=bool)
    table["influential"] = (
        far | (special.chdtr(p, cook) > 0.5) | (leverage > 3 * p / k) | (np.abs(dfbetas) > 1).any(axis=1)
    )
    return table


def leave1out(fit: RmaState, level: float | None, transf: Any) -> pd.DataFrame:
    """Table behind `RmaFit.leave1out`."""
    return refit_table(fit, without_each(fit), level, find_back(transf), transf is None, fit.slab)


def cumulative(fit: RmaState, order: Array, level: float | None, transf: Any) -> pd.DataFrame:
    """Table behind `RmaFit.cumul`; `order` (k,) are positions of the estimates, first to last."""
    use = np.zeros((fit.k, fit.k))
    for row in range(fit.k):
        use[row, order[: row + 1]] = 1.0
    labels = tuple(fit.slab[i] for i in order)
    table = refit_table(fit, subsets(fit, use), level, find_back(transf), transf is None, labels)
    table.insert(0, "k", np.arange(1, fit.k + 1))
    return table


def refit_table(
    fit: RmaState,
    found: Refits,
    level: float | None,
    back: Callable[[Array], Array],
    plain: bool,
    labels: tuple[str, ...],
) -> pd.DataFrame:
    """Mean of each refit without moderators, or every coefficient, with heterogeneity."""
    from scipy import special

    level = fit.level if level is None else level
    check_level(level)
    df = found.fit.effects.df
    columns: dict[str, Any] = {}
    critical = np.array([critical_value(np.inf if fit.test == "z" or d <= 0 else d, level) for d in df])
    beta, se = found.beta, np.sqrt(np.diagonal(found.vcov, axis1=1, axis2=2))
    if fit.names == ("Intercept",):
        low, high = limits(beta[:, 0], critical * se[:, 0])
        own: dict[str, Any] = {"estimate": beta[:, 0]}
        if plain:
            statistic = beta[:, 0] / se[:, 0]
            normal = 2 * special.ndtr(-np.abs(statistic))
            t = 2 * special.stdtr(np.maximum(df, 1), -np.abs(statistic))
            p_value = np.where((fit.test == "z") | (df <= 0), normal, t)
            own |= {"std_error": se[:, 0], "statistic": statistic, "p_value": p_value}
        own |= {"conf_low": low, "conf_high": high}
        keep = ("std_error", "statistic", "p_value")
        columns |= {str(n): s.to_numpy() for n, s in transformed(pd.DataFrame(own), back, keep).items()}
    else:
        for j, name in enumerate(fit.names):
            columns |= {name: beta[:, j], f"std_error {name}": se[:, j]}
    p_QE = np.where(df > 0, special.chdtrc(np.maximum(df, 1), found.QE), 1.0)
    columns |= {"QE": found.QE, "QE_p_value": p_QE, "tau2": found.tau2, "I2": found.I2, "H2": found.H2}
    return pd.DataFrame(columns, index=pd.Index(labels, name="slab"))
