"""Coefficients of a fit with a cluster-robust covariance: tests, intervals, and what few clusters cannot say."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import FewClustersWarning, OptionError, check_level, check_option, outside
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.hypotheses import check_testable, contrast_matrix, f_probability
from mixedfx.inference.robust import RobustCovariance
from mixedfx.inference.robust_tests import DFS, JOINT_TESTS, Df, JointTest, edf, saddlepoint_p, wishart_df
from mixedfx.results.frames import frame_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts
from mixedfx.results.tables import TIDY_COLUMNS, t_test

Vector = NDArray[np.float64]

FEW = 4.0  # degrees of freedom below which a t or F approximation is not to be trusted (Tipton 2015)


@dataclass(frozen=True, eq=False, repr=False)
class Robust(Shown):
    """Estimates of a fit beside their cluster-robust covariance.

    Attributes
    ----------
    covariance
        The covariance, which can be given as ``vcov=`` wherever a test takes one.
    beta
        (p,) coefficients.
    df
        ``"satterthwaite"``, ``"saddlepoint"`` or ``"naive"``.
    level
        Confidence level.
    """

    covariance: RobustCovariance
    beta: Vector
    df: Df
    level: float = 0.95

    @property
    def vcov(self) -> pd.DataFrame:
        """The covariance with its labels."""
        return self.covariance.table

    def tidy(self, level: float | None = None) -> pd.DataFrame:
        """Coefficients in broom's columns.

        Under ``df="saddlepoint"`` p values are the approximation's own, df are those of the t distribution that has
        them, and intervals are of that.

        Warns
        -----
        FewClustersWarning
            For coefficients with fewer than four degrees of freedom.
        """
        level = self.level if level is None else level
        check_level(level)
        names, p = self.covariance.names, len(self.beta)
        std_error = np.sqrt(np.diag(self.covariance.vcov))
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = self.beta / std_error
        df = self._df(np.eye(p), statistic)
        _warn_few(names, df)
        p_value, half = t_test(statistic, std_error, df, level)
        values = (list(names), self.beta, std_error, statistic, df, p_value, self.beta - half, self.beta + half)
        return pd.DataFrame(dict(zip(TIDY_COLUMNS, values, strict=True)))

    def test(self, hypothesis: Any, rhs: Any = 0.0, test: JointTest = "HTZ") -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs as a whole.

        Parameters
        ----------
        hypothesis
            Names of coefficients, a dict of names and weights, a list of these, or an (m, p) array.
        rhs
            What the contrasts are under the hypothesis.
        test
            ``"HTZ"``, ``"HTA"``: Hotelling's T^2 with degrees of freedom from the data. ``"EDF"``: F from the degrees
            of freedom of the estimated covariance's eigenvectors. ``"naive"``: F with the number of clusters less one.

        Returns
        -------
        DataFrame
            hypothesis, test, num_df, den_df, f_value, p_value; NaN where the clusters are too few.
        """
        check_option("test", test, JOINT_TESTS)
        L, labels = contrast_matrix(hypothesis, self.covariance.names)
        values = np.asarray(rhs, dtype=np.float64)
        if values.ndim > 1 or values.size not in (1, len(L)):
            raise OptionError(f"rhs= has {values.size} values for {len(L)} contrasts")
        values = np.broadcast_to(values, (len(L),)).astype(np.float64)
        check_testable(L, values)
        text = "; ".join(f"{label} = {value:.4g}" for label, value in zip(labels, values, strict=True))
        num, den, F = self._joint(L, L @ self.beta - values, test)
        if np.isfinite(den) or test == "EDF":
            _warn_few([text], np.array([den]))
        p = f_probability(F, num, den) if np.isfinite(F) and den > 0 else np.nan
        row = {"hypothesis": text, "test": test, "num_df": num, "den_df": den, "f_value": F, "p_value": p}
        return pd.DataFrame([row])

    def _joint(self, L: Vector, difference: Vector, test: JointTest) -> tuple[float, float, float]:
        """Numerator and denominator df, and F."""
        found = self.covariance
        found.single.warn(L, stacklevel=4)
        t2 = independent_contrasts(L, found.vcov, difference)[1]
        rows = independent_contrasts(L, found.model, difference)[0]
        q, Q = len(rows), float(np.sum(t2))
        if len(t2) < q:
            return float(q), np.nan, np.nan
        if test == "naive":
            return float(q), float(found.n_clusters - 1), Q / q
        if test == "EDF":
            F, den = edf(found.pieces, rows, found.vcov, Q)
            return float(q), den, F
        eta = wishart_df(found.pieces, rows, "HTA" if test == "HTA" else "HTZ")
        if not eta > q - 1:
            return float(q), np.nan, np.nan
        return float(q), eta - q + 1.0, (eta - q + 1.0) / (eta * q) * Q

    def _df(self, contrasts: Vector, statistic: Vector) -> Vector:
        if self.df == "naive":
            return np.full(len(contrasts), float(self.covariance.n_clusters - 1))
        if self.df == "satterthwaite":
            return self.covariance.t_df(contrasts)
        self.covariance.single.warn(contrasts, stacklevel=4)
        return np.array([
            _df_of(t, saddlepoint_p(self.covariance.pieces, c, t)) for c, t in zip(contrasts, statistic, strict=True)
        ])  # fmt: skip

    def content(self) -> SummaryContent:
        """The table, with what it is made of."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = self.tidy()
        found = self.covariance
        words = {
            "satterthwaite": "Satterthwaite's degrees of freedom",
            "saddlepoint": "saddlepoint approximation",
            "naive": f"t with {found.n_clusters - 1} degrees of freedom, too many where few clusters decide",
        }
        facts = [
            ("Covariance", f"{found.kind}, {found.n_clusters} clusters of {found.cluster}"),
            ("Tests and intervals", words[self.df]),
        ]
        facts += [("Caveat", str(w.message)) for w in caught]
        return SummaryContent("Cluster-robust tests", (frame_table(table, "Coefficients"), SummaryFacts(tuple(facts))))


def _df_of(t: float, p: float) -> float:
    """Degrees of freedom of the t distribution with this two-sided p value at t; infinite where none is that small."""
    from scipy import optimize, special

    if not (np.isfinite(t) and np.isfinite(p)) or t == 0.0:
        return np.nan

    def excess(log_df: float) -> float:
        return 2.0 * float(special.stdtr(np.exp(log_df), -abs(t))) - p

    low, high = np.log(1e-2), np.log(1e7)
    if excess(high) >= 0.0:
        return np.inf
    if not excess(low) > 0.0:
        return np.nan
    root: Any = optimize.brentq(excess, low, high)
    return float(np.exp(root))


def _warn_few(names: Any, df: Vector) -> None:
    few = [f"{name} ({value:.1f})" for name, value in zip(names, df, strict=True) if value < FEW]
    if few:
        warnings.warn(
            f"fewer than four degrees of freedom: {', '.join(few[:5])}{', ...' if len(few) > 5 else ''}. Clusters that "
            "say something of these are so few, or so unequal, that their p values and intervals cannot be trusted",
            FewClustersWarning,
            stacklevel=outside(),
        )


def robust_tests(
    covariance: RobustCovariance, beta: Vector, df: Literal["satterthwaite", "saddlepoint", "naive"], level: float
) -> Robust:
    """Estimates beside a robust covariance, options checked."""
    check_option("df", df, DFS)
    check_level(level)
    return Robust(covariance, beta, df, level)
