r"""The models of `rma_glmm` as data and formulas of `mixedfx.glmer`, and their maxima.

With g = 1 for the treated group and 0 for the other one, theta_i = x_i' beta + u_i, u_i ~ N(0, tau^2), the linear
predictors of the counts of study i (log odds, or log rates with the logarithm of time as an offset) are

* ``"UM.FS"``: alpha_i + g x_i' beta + (g - 1/2) u_i, a parameter alpha_i for every study;
* ``"UM.RS"``: alpha + s_i + g x_i' beta + (g - 1/2) u_i, s_i ~ N(0, sigma^2), independent of u_i or correlated;
* ``"CM.AL"``, ``"CM.EL"`` of rates: events of the treated group among those of both, binomial, theta_i plus the log
  ratio of the groups' sizes (odds ratios: an approximation that is good where events are rare) or of their times;
* one group: theta_i.

(Jackson, Law, Stijnen, Viechtbauer and White 2018, Statistics in Medicine 37(7); Stijnen, Hamza and Ozdemir 2010,
Statistics in Medicine 29(29).) Random effects of g - 1/2 vary both groups alike. The likelihood of equal effects has
tau = 0; the saturated one has an effect of its own for each study.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from mixedfx.errors import FewLevelsWarning, SeparationWarning, SingularFitWarning
from mixedfx.glmm.fit import GlmerFit
from mixedfx.glmm.glmer import glmer
from mixedfx.meta.counts.hypergeometric import Tables, maximum, of_each
from mixedfx.meta.counts.reading import Counts
from mixedfx.meta.measure import Array

MODELS = {"OR": ("UM.FS", "UM.RS", "CM.EL", "CM.AL"), "IRR": ("UM.FS", "UM.RS", "CM.EL"), "PLO": (), "IRLN": ()}


@dataclass(frozen=True, eq=False)
class Found:
    """A model's maximum, and what heterogeneity is tested with.

    Attributes
    ----------
    beta, covariance
        (p,) coefficients and their covariance.
    tau2, se_tau2
        Variance of true effects, and its standard error where second derivatives give one (NaN elsewhere).
    sigma2
        Variance of the studies' own levels under ``"UM.RS"``; NaN elsewhere.
    rho
        Correlation of both there.
    loglik, equal, saturated
        Log likelihoods of the model, of tau = 0, and of an effect of its own for each study.
    n_parameters
        Of the model.
    theta, theta_covariance
        Effects of the saturated model that are finite, and their covariance.
    finite
        (k,) which they are.
    glmer
        The fit of `mixedfx.glmer`; None of the exact conditional likelihood of tables.
    """

    beta: Array
    covariance: Array
    tau2: float
    se_tau2: float
    sigma2: float
    rho: float
    loglik: float
    equal: float
    saturated: float
    n_parameters: int
    theta: Array
    theta_covariance: Array
    finite: Array
    glmer: GlmerFit | None


def fit_model(counts: Counts, model: str, nAGQ: int, correlated: bool) -> Found:
    """Maximum likelihood estimates of one model."""
    if counts.measure == "OR" and model == "CM.EL":
        return _exact(counts)
    return _by_glmer(counts, model, nAGQ, correlated)


def _exact(counts: Counts) -> Found:
    (a, n1), (c, n2) = counts.groups
    tables = Tables(a, n1, n2, a + c)
    best, equal = maximum(tables, counts.X), maximum(tables, counts.X, random=False)
    theta, variance, logs = of_each(tables)
    finite, p = np.isfinite(theta), counts.X.shape[1]
    se_tau2 = float(2 * best.tau * np.sqrt(best.covariance[p, p])) if best.tau > 0 else np.nan
    return Found(
        best.beta, best.covariance[:p, :p], best.tau**2, se_tau2, np.nan, np.nan, best.loglik, equal.loglik,
        float(logs.sum()), p + 1, theta[finite], np.diag(variance[finite]), finite, None,
    )  # fmt: skip


def _by_glmer(counts: Counts, model: str, nAGQ: int, correlated: bool) -> Found:
    frame, names = _frame(counts, model)
    response = "events | trials(size)" if model.startswith("CM") or counts.binomial else "events"
    family = "binomial" if "trials" in response else "poisson"
    means = " + ".join(names)
    start, random = "0", "(1 | study)"
    if model == "UM.FS":
        start, random = "0 + study", "(0 + half | study)"
    elif model == "UM.RS":
        start, random = "1", "(1 + half | study)" if correlated else "diag(1 + half | study)"
    fits: list[GlmerFit] = []
    equal = f"{response} ~ {start} + {means}" + (" + (1 | study)" if model == "UM.RS" else "")
    for formula in (f"{response} ~ {start} + {means} + {random}", equal):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SingularFitWarning)  # tau2 = 0 is an answer here
            warnings.simplefilter("ignore", FewLevelsWarning)
            nodes = nAGQ if "|" in formula.partition("~")[2] else 1
            fits.append(glmer(formula, frame, family=family, nAGQ=nodes, offset="offset"))
    fit = fits[0]
    sds = fit.varcorr[fit.varcorr["grp"].str.startswith("study")]
    rows = zip(sds["var1"], sds["var2"], sds["vcov"], strict=True)
    variances = {str(name): float(v) for name, other, v in rows if pd.isna(other)}
    rho = [float(v) for other, v in zip(sds["var2"], sds["sdcor"], strict=True) if not pd.isna(other)]
    tau2 = variances["half" if model.startswith("UM") else "Intercept"]
    sigma2 = variances["Intercept"] if model == "UM.RS" else np.nan
    saturated, theta, covariance, finite = _saturated(counts, model, frame, response, family, nAGQ)
    return Found(
        np.asarray(fit.fixef[names]), np.asarray(fit.vcov.loc[names, names]), tau2, np.nan, sigma2,
        rho[0] if rho else np.nan, fit.loglik, fits[1].loglik, saturated, fit.n_parameters, theta, covariance, finite,
        fit,
    )  # fmt: skip


def _frame(counts: Counts, model: str) -> tuple[pd.DataFrame, list[str]]:
    """Rows of counts for `glmer`, and the names of the moderators' columns."""
    names = [f"x{j}" for j in range(counts.X.shape[1])]
    study = np.array([f"s{i}" for i in range(counts.k)])
    if model.startswith("UM"):
        both = counts.groups
        group = np.repeat([1.0, 0.0], counts.k)
        events, size = (np.concatenate([pair[i] for pair in both]) for i in (0, 1))
        X, study = np.vstack([counts.X, counts.X]) * group[:, None], np.tile(study, 2)
        offset = np.zeros(len(events)) if counts.binomial else np.log(size)
    else:
        (events, size), group, X = counts.groups[0], np.full(counts.k, 0.5), counts.X
        offset = np.zeros(counts.k) if counts.binomial else np.log(size)
        if counts.two_groups:
            other, other_size = counts.groups[1]
            offset, size = np.log(size / other_size), events + other
    frame = pd.DataFrame({"events": events, "size": size, "offset": offset, "half": group - 0.5, "study": study})
    return frame.assign(**dict(zip(names, X.T, strict=True))), names


def _saturated(
    counts: Counts, model: str, frame: pd.DataFrame, response: str, family: str, nAGQ: int
) -> tuple[float, Array, Array, Array]:
    """Log likelihood with an effect for each study, the effects that are finite, their covariance, and which."""
    if model == "UM.RS":
        return _saturated_with_levels(counts, frame, response, family, nAGQ)
    events, size = frame["events"].to_numpy(), frame["size"].to_numpy()
    if family == "binomial":
        rest = size - events
        logs = special.gammaln(size + 1) - special.gammaln(events + 1) - special.gammaln(rest + 1)
        logs = (
            logs + special.xlogy(events, events / np.maximum(size, 1)) + special.xlogy(rest, rest / np.maximum(size, 1))
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            linear, variance = np.log(events) - np.log(rest), 1 / events + 1 / rest
    else:
        logs = special.xlogy(events, events) - events - special.gammaln(events + 1)
        with np.errstate(divide="ignore"):
            linear, variance = np.log(events), 1 / events
    with np.errstate(invalid="ignore"):
        theta = linear - frame["offset"].to_numpy()
        if model == "UM.FS":
            theta, variance = theta[: counts.k] - theta[counts.k :], variance[: counts.k] + variance[counts.k :]
    finite = np.isfinite(theta) & np.isfinite(variance)
    return float(logs.sum()), theta[finite], np.diag(variance[finite]), finite


def _saturated_with_levels(
    counts: Counts, frame: pd.DataFrame, response: str, family: str, nAGQ: int
) -> tuple[float, Array, Array, Array]:  # fmt: skip
    """The same where levels of studies are random: columns of all studies, those of empty cells without an estimate."""
    own = [f"d{i}" for i in range(counts.k)]
    treated = frame["half"].to_numpy() > 0
    columns = {name: ((frame["study"] == f"s{i}") & treated).astype(float) for i, name in enumerate(own)}
    with warnings.catch_warnings():
        for kind in (SingularFitWarning, FewLevelsWarning, SeparationWarning):
            warnings.simplefilter(
                "ignore", kind
            )  # effects of groups without events are infinite, the likelihood is not
        fit = glmer(
            f"{response} ~ 1 + {' + '.join(own)} + (1 | study)", frame.assign(**columns), family=family, nAGQ=nAGQ,
            offset="offset",
        )  # fmt: skip
    (events, size), _ = counts.groups
    finite = (events > 0) & ((events < size) | (not counts.binomial))
    chosen = [name for name, good in zip(own, finite, strict=True) if good]
    return fit.loglik, np.asarray(fit.fixef[chosen]), np.asarray(fit.vcov.loc[chosen, chosen]), finite


def weighted_residuals(found: Found, X: Array) -> tuple[float, int]:
    """Wald's chi square that the saturated effects follow the moderators, and its degrees of freedom."""
    Z = X[found.finite]
    if len(Z) <= X.shape[1] or np.linalg.matrix_rank(Z) < X.shape[1]:
        return 0.0, 0
    W: Any = np.linalg.inv(found.theta_covariance)
    beta = np.linalg.solve(Z.T @ W @ Z, Z.T @ W @ found.theta)
    r = found.theta - Z @ beta
    return float(r @ W @ r), len(Z) - X.shape[1]
