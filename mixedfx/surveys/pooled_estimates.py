"""Pooled coefficients: Rubin's rules over estimates and covariances, whoever made them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.errors import check_level
from mixedfx.inference.hypotheses import Reference, hypothesis_table
from mixedfx.results.render import Shown, SummaryContent, SummaryFacts
from mixedfx.results.summary import fixed_block
from mixedfx.results.tables import fixed_table
from mixedfx.surveys.pooled_reference import PooledReference
from mixedfx.surveys.rubin import missing_information

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PooledEstimates(Shown):
    """Coefficients of the same model from m completed data sets.

    Attributes
    ----------
    names
        The p coefficients.
    estimates
        (m, p).
    sets
        What the data sets are called.
    references
        For each data set the covariance of its estimates and their degrees of freedom; of fits, they are asked for when
        they are needed.
    """

    names: tuple[str, ...]
    estimates: Array
    sets: tuple[str, ...]
    references: tuple[Reference, ...] = ()

    @cached_property
    def _pooled(self) -> PooledReference:
        return PooledReference(self.estimates, self.references)

    @property
    def m(self) -> int:
        """Number of data sets."""
        return len(self.sets)

    @property
    def fixef(self) -> pd.Series:
        """(p,) means of the estimates."""
        return pd.Series(self.estimates.mean(axis=0), index=list(self.names), name="fixef")

    @property
    def vcov(self) -> pd.DataFrame:
        """(p, p) total covariance of the means, within and between data sets."""
        return pd.DataFrame(self._pooled.vcov, index=list(self.names), columns=list(self.names))

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """Pooled coefficients in broom's columns, with what the missing values cost.

        Parameters
        ----------
        level
            Confidence level.

        Returns
        -------
        DataFrame
            term, estimate, std_error, statistic, df (Barnard and Rubin's), p_value, conf_low, conf_high; riv, by how
            much of itself the variance within data sets grows; fmi, the fraction of missing information.
        """
        check_level(level)
        return self._table(self._pooled, level)

    def _table(self, used: PooledReference, level: float) -> pd.DataFrame:
        df = used.t_df(np.eye(len(self.names)))
        table = fixed_table(self.names, self.estimates.mean(axis=0), used.vcov, df, level)
        riv = used.moments.increase
        return table.assign(riv=riv, fmi=missing_information(riv, df))

    def test(self, hypothesis: Any, rhs: Any = 0.0, *, joint: bool = True, level: float = 0.95) -> pd.DataFrame:
        """Test a general linear hypothesis L beta = rhs, as `LmerFit.test` has it.

        ``joint=True``: D1 of Li, Raghunathan and Rubin, with Reiter's degrees of freedom where complete data have
        finitely many. False: a t test of each row.
        """
        beta = self.estimates.mean(axis=0)
        return hypothesis_table(hypothesis, rhs, self.names, beta, lambda: self._pooled, joint, level)

    def content(self) -> SummaryContent:
        """Table of coefficients."""
        facts = SummaryFacts((("Data sets", str(self.m)), ("Tests", "Rubin's rules, Barnard and Rubin's df")))
        return SummaryContent("Pooled estimates", (facts, fixed_block(self.tidy())))
