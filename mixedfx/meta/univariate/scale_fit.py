"""RmaScaleFit: a location-scale meta-regression, in which moderators explain how much true effects vary."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mixedfx.design.design import Design
from mixedfx.errors import ConvergenceWarning, DataError, ModelError, check_level, check_option, outside
from mixedfx.inference.hypotheses import Constant, f_row
from mixedfx.meta.measure import Array
from mixedfx.meta.univariate import storage
from mixedfx.meta.univariate.call import RmaCall
from mixedfx.meta.univariate.estimates import Estimates, read_estimates
from mixedfx.meta.univariate.heterogeneity import find_estimator
from mixedfx.meta.univariate.location_scale import ScaleEstimate, fit_at, maximise, variances
from mixedfx.meta.univariate.refits import scale_factor
from mixedfx.meta.univariate.rma_report import critical_value, means_table
from mixedfx.meta.univariate.weighted import Effects, Weighted, orthonormal
from mixedfx.results.frames import frame_table
from mixedfx.results.render import SummaryContent, SummaryFacts
from mixedfx.results.summary import rows_text
from mixedfx.results.tables import fixed_table

if TYPE_CHECKING:
    from collections.abc import Callable

Part = Literal["location", "scale"]


@dataclass(frozen=True, eq=False, repr=False)
class RmaScaleFit:
    """A fitted location-scale model, as `mixedfx.rma` returns it where `scale` is given.

    Attributes
    ----------
    data
        Estimates, moderators of their means, sampling variances, labels.
    scale
        The same rows with the moderators of log tau^2.
    estimate
        Coefficients of log tau^2, their covariance and the likelihood.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"yi": [0.5, -0.9, 1.6, 0.3, 0.5, 0.2, 0.4, -0.7], "vi": 0.04,
    ...                      "lab": ["a", "a", "a", "b", "b", "b", "b", "a"]})
    >>> mx.rma("yi ~ 1", data, scale="~ 1").tidy("scale")[["term", "estimate"]].round(3)
            term  estimate
    0  Intercept     -0.58
    """

    data: Estimates
    scale: Estimates
    estimate: ScaleEstimate

    @property
    def call(self) -> RmaCall:
        """The arguments of the fit."""
        return self.data.call

    @property
    def design(self) -> Design:
        """Response, moderators of the means, and rows used."""
        return self.data.design

    @cached_property
    def _basis(self) -> tuple[Array, Array]:
        return orthonormal(self.data.X)

    @cached_property
    def fit(self) -> Weighted:
        """Weighted least squares at the estimated variances."""
        y = (self.data.y - self.data.offset)[None]
        return fit_at(Effects(y, self.data.vi[None], self._basis[0]), self.scale.X, self.estimate.alpha)

    @property
    def alpha(self) -> pd.Series:
        """Coefficients of log tau^2."""
        return pd.Series(self.estimate.alpha, index=list(self.scale.names), name="alpha")

    @property
    def tau2(self) -> pd.Series:
        """Variances of true effects around their means, by study."""
        return pd.Series(variances(self.scale.X, self.estimate.alpha), index=list(self.data.slab), name="tau2")

    @property
    def beta(self) -> Array:
        """(p,) coefficients of the means."""
        return np.linalg.solve(self._basis[1], self.fit.gamma[0])

    @property
    def covariance(self) -> Array:
        """(p, p) their covariance."""
        inverse = np.linalg.inv(self._basis[1])
        return float(scale_factor(self.fit, self.call.test)[0]) * (inverse @ self.fit.G[0] @ inverse.T)

    @property
    def df(self) -> tuple[float, float]:
        """Degrees of freedom of t for means and scale: k less their coefficients, infinite for test="z"."""
        k = len(self.data.y)
        if self.call.test == "z":
            return np.inf, np.inf
        return float(k - self.data.X.shape[1]), float(k - self.scale.X.shape[1])

    def tidy(self, part: Part = "location", level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns: those of the means, or with ``"scale"`` those of log tau^2."""
        check_option("part", part, ("location", "scale"))
        level = self.call.level if level is None else level
        if part == "location":
            return fixed_table(self.data.names, self.beta, self.covariance, self.df[0], level)
        return fixed_table(self.scale.names, self.estimate.alpha, self.estimate.vcov, self.df[1], level)

    @property
    def QS(self) -> float:
        """Wald statistic of the moderators of log tau^2: chi-square, or F where tests refer to t."""
        alpha, vcov = self.estimate.alpha, self.estimate.vcov
        tested = [i for i, name in enumerate(self.scale.names) if name != "Intercept"] or [0]
        L = np.eye(len(alpha))[tested]
        num, den, F, _ = f_row(L, alpha, np.zeros(len(L)), Constant(vcov, self.df[1]))
        return F * num if np.isinf(den) else F

    def glance(self) -> pd.DataFrame:
        """One row: k, log likelihood, AIC, BIC, AICc, QS, method, test."""
        ll, npar = self.estimate.loglik, self.data.X.shape[1] + self.scale.X.shape[1]
        k, p = self.data.X.shape
        n = k - p if self.call.method == "REML" else k
        room = max(n, npar + 2)
        row = {
            "k": k, "logLik": ll, "AIC": -2 * ll + 2 * npar, "BIC": -2 * ll + npar * np.log(n),
            "AICc": -2 * ll + 2 * npar * room / (room - npar - 1), "QS": self.QS, "method": self.call.method,
            "test": self.call.test,
        }  # fmt: skip
        return pd.DataFrame([row])

    def predict(
        self, newdata: Any = None, level: float | None = None, transf: str | Callable[[Array], Array] | None = None
    ) -> pd.DataFrame:
        """Mean true effects with confidence and prediction intervals, and tau2, at values of all moderators."""
        level = self.call.level if level is None else level
        check_level(level)
        if newdata is None:
            X, Z, offset, index = self.data.X, self.scale.X, self.data.offset, pd.Index(self.data.slab)
        else:
            own, spread = self.data.design.spec.replay(newdata), self.scale.design.spec.replay(newdata)
            X, Z, offset, index = own.X, spread.X, own.offset, None
        mean, tau2 = X @ self.beta + offset, variances(Z, self.estimate.alpha)
        variance = np.sum((X @ self.covariance) * X, axis=1)
        table = means_table(mean, variance, critical_value(self.df[0], level), transf, index, tau2)
        return table.assign(tau2=tau2)

    def summary(self) -> SummaryContent:
        """Everything about the fit on one page."""
        formula = f"{' '.join(self.design.formula.text.split())}; log tau2 {self.call.scale}"
        facts = SummaryFacts((("Formula", formula), ("Data", rows_text(self.design.rows))))
        shown: Any = self.glance()[["logLik", "AIC", "BIC", "AICc"]]
        tables = [frame_table(shown, f"Fit ({find_estimator(self.call.method).title})")]
        titles: dict[Part, str] = {"location": "Means", "scale": "Logarithm of tau2"}
        for part, title in titles.items():
            found = self.tidy(part)
            tables.append(frame_table(found if np.isfinite(self.df[0]) else found.drop(columns="df"), title))
        return SummaryContent(f"Location-scale meta-regression of {len(self.data.y)} estimates", (facts, *tables))

    def save(self, path: str | Path) -> Path:
        """Write the fit to one file, which `mixedfx.load` reads back.

        The file is a zip archive of arrays (the data) and JSON (arguments, estimates); it holds no code. It appears
        whole or not at all.

        Parameters
        ----------
        path
            Where to; an existing file is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OptionError
            Functions in `env`, codings other than names and matrices, columns of mixed types.
        DataError
            A file that cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> import pandas as pd
        >>> import mixedfx as mx
        >>> data = pd.DataFrame({"yi": [0.5, -0.9, 1.6, 0.3, 0.5, 0.2, 0.4, -0.7], "vi": 0.04,
        ...                      "lab": ["a", "a", "b", "b", "c", "c", "d", "d"]})
        >>> fit = mx.rma("yi ~ 1", data, scale="~ 1")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = mx.load(fit.save(pathlib.Path(folder) / "analysis.mfx"))
        >>> again
        <RmaScaleFit yi ~ 1, log tau2 ~ 1: 8 estimates>
        """
        return storage.save(self.data, self.call.method, self.call.test, None, path)

    def __repr__(self) -> str:
        text = " ".join(self.design.formula.text.split())
        return f"<RmaScaleFit {text}, log tau2 {self.call.scale}: {len(self.data.y)} estimates>"

    def __str__(self) -> str:
        return self.summary().text()

    def _repr_html_(self) -> str:
        return self.summary().html()


def fit_scale(found: Estimates, call: RmaCall) -> RmaScaleFit:
    """Fit the location-scale model of a call."""
    assert call.scale is not None
    text = call.scale.strip()
    if not text.startswith("~"):
        raise ModelError(f"scale={call.scale!r} is no one-sided formula", hint="Write scale='~ x'.")
    response = found.design.formula.response
    scale = read_estimates(replace(found.call, formula=f"{response} {text}"))
    if not np.array_equal(scale.design.rows.used, found.design.rows.used):
        raise DataError(
            "moderators of means and of scale are not missing in the same rows",
            hint="Drop the rows that lack any of them first: data.dropna(subset=[...]).",
        )
    reml = find_estimator(call.method).likelihood == "REML"
    effects = Effects((found.y - found.offset)[None], found.vi[None], orthonormal(found.X)[0])
    tau2 = float(find_estimator(call.method).estimate(effects, None)[0][0])
    crude = np.log(max(tau2, 0.1 * float(np.mean(found.vi))))
    start = np.linalg.lstsq(scale.X, np.full(len(scale.X), crude), rcond=None)[0]
    # on a basis of the columns, so that their units do not matter
    Q, R = orthonormal(scale.X)
    best = maximise(effects, Q, reml, R @ start)
    inverse = np.linalg.inv(R)
    estimate = ScaleEstimate(inverse @ best.alpha, inverse @ best.vcov @ inverse.T, best.loglik, best.converged)
    if not best.converged:
        warnings.warn(
            "the likelihood of the scale part has no maximum that was found: where true effects do not vary at some "
            "values of the moderators, log tau2 goes to minus infinity",
            ConvergenceWarning,
            outside(),
        )
    return RmaScaleFit(found, scale, estimate)
