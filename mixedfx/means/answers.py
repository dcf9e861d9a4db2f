"""What a fit answers to linear questions L beta: estimates with standard errors and degrees of freedom, or draws.

A fit by REML or ML answers by t, through a `Reference`; a posterior by the quantiles of its draws. Questions that
cannot be estimated are answered NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.errors import OptionError
from mixedfx.inference.degrees_of_freedom import Ddf, find_ddf
from mixedfx.inference.hypotheses import Reference
from mixedfx.results.protocol import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """s linear questions, and what is needed to say whether they can be answered.

    Attributes
    ----------
    functional
        The s rows over beta, random effects zero.
    void
        (s,) questions without meaning in these data, such as a mean over cells without rows.
    """

    functional: Functional
    void: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.functional)

    def combine(self, K: Array | sparse.csr_array) -> Rows:
        """Linear combinations of the questions, (c, s) coefficients."""
        touched = abs(sparse.csr_array(K)) @ self.void.astype(float) > 0
        return Rows(self.functional.combine(K), touched)

    @cached_property
    def answerable(self) -> NDArray[np.bool_]:
        """(s,) whether each can be estimated from these data."""
        return ~self.void & self.functional.estimable


@dataclass(frozen=True, eq=False)
class Answer:
    """Estimates of s questions.

    Attributes
    ----------
    estimate, SE
        (s,) estimates and standard errors, or posterior means and standard deviations; NaN where not estimable.
    df
        (s,) degrees of freedom; empty for a posterior.
    cov
        (s, s) their covariance.
    draws
        (D, s) posterior draws, or None.
    """

    estimate: Array
    SE: Array
    df: Array
    cov: Array
    draws: Array | None = None


@dataclass(frozen=True, eq=False)
class Asker:
    """A fit, and by which degrees of freedom and covariance it answers.

    Attributes
    ----------
    fit
        Any fit.
    ddf
        Degrees of freedom; None for a posterior.
    vcov
        (p, p) covariance to use instead of the fit's, or None.
    """

    fit: Fit
    ddf: Ddf | None
    vcov: Any = field(default=None, repr=False)

    @staticmethod
    def of(fit: Fit, ddf: Ddf | None = None, vcov: Any = None) -> Asker:
        """Settle what the caller left open.

        Raises
        ------
        OptionError
            An unknown `ddf`; `ddf` or `vcov` of a posterior.
        """
        if fit.posterior:
            for name, given in (("ddf", ddf), ("vcov", vcov)):
                if given is not None:
                    raise OptionError(f"{name}= is for fits by REML or ML; a posterior answers from its draws")
            return Asker(fit, None)
        estimated: Any = fit
        if ddf is not None and ddf != estimated.usual_ddf:
            find_ddf(ddf)
        return Asker(fit, ddf or estimated.usual_ddf, vcov)

    @property
    def posterior(self) -> bool:
        """Whether answers are posterior draws."""
        return self.ddf is None

    @cached_property
    def reference(self) -> Reference:
        """Covariance of the fixed effects and the degrees of freedom that go with it."""
        fit: Any = self.fit
        return fit.reference(self.ddf, self.vcov)

    def answer(self, rows: Rows) -> Answer:
        """Answer the questions."""
        known = rows.answerable
        blank = np.where(known, 0.0, np.nan)
        if self.posterior:
            found = self.fit.apply(rows.functional)
            draws = np.asarray(found.draws())
            cov = np.atleast_2d(found.cov) + blank[:, None] + blank
            sd = np.sqrt(np.diag(cov))
            return Answer(found.mean + blank, sd, np.empty(0), cov, draws + blank)
        fit: Any = self.fit
        L = rows.functional.fixed
        estimate = L @ fit.fixef.to_numpy() + rows.functional.offset
        cov = L @ self.reference.vcov @ L.T
        return Answer(
            estimate + blank,
            np.sqrt(np.maximum(np.diag(cov), 0.0)) + blank,
            self.reference.t_df(L) + blank,
            cov + blank[:, None] + blank,
        )

    def f_test(self, rows: Rows) -> tuple[float, float, float]:
        """F statistic, numerator and denominator df of the hypothesis that all answerable questions are 0."""
        known = rows.answerable
        if not known.any():
            return np.nan, 0.0, np.nan
        return self.reference.f_test(rows.functional.fixed[known], self.answer(rows).estimate[known])
