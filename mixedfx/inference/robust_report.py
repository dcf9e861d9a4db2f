"""Coefficients of a fit with a cluster-robust covariance: tests, intervals, and what few clusters cannot say."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import FewClustersWarning, check_level, check_option, outside
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.hypotheses import check_testable, f_probability, read_hypothesis
from mixedfx.inference.robust import RobustCovariance
from mixedfx.inference.robust_tests import (
    DFS,
    JOINT_TESTS,
    Df,
    JointTest,
    critical_ratio,
    edf,
    saddlepoint_weights,
    tail_of_ratio,
    wishart_df,
)
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

        Under ``df="saddlepoint"`` p values are the approximation's own and intervals are what it does not reject; df
        are Satterthwaite's, for comparison.

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
        df = self._df(np.eye(p))
        _warn_few(names, df)
        p_value, half = t_test(statistic, std_error, df, level)
        if self.df == "saddlepoint":
            weights = [saddlepoint_weights(self.covariance.pieces, row) for row in np.eye(p)]
            p_value = np.array([tail_of_ratio(t, w) for t, w in zip(statistic, weights, strict=True)])
            half = std_error * np.array([critical_ratio(1.0 - level, w) for w in weights])
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
        L, labels, values = read_hypothesis(hypothesis, self.covariance.names, rhs)
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
            _warn_too_many(found.n_clusters, q)
            return float(q), np.nan, np.nan
        if test == "naive":
            return float(q), float(found.n_clusters - 1), Q / q
        if test == "EDF":
            F, den = edf(found.pieces, rows, found.vcov, Q)
            return float(q), den, F
        eta = wishart_df(found.pieces, rows, "HTA" if test == "HTA" else "HTZ")
        if not eta > q - 1:
            _warn_too_many(found.n_clusters, q)
            return float(q), np.nan, np.nan
        return float(q), eta - q + 1.0, (eta - q + 1.0) / (eta * q) * Q

    def _df(self, contrasts: Vector) -> Vector:
        if self.df == "naive":
            return np.full(len(contrasts), float(self.covariance.n_clusters - 1))
        return self.covariance.t_df(contrasts)

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


def _warn_too_many(clusters: int, q: int) -> None:
    warnings.warn(
        f"{clusters} clusters are too few for a joint test of {q} contrasts with a robust covariance",
        FewClustersWarning,
        stacklevel=outside(),
    )


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
