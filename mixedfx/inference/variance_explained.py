"""Where the variance of the response goes: partition by term, R2, intraclass correlation, design effect.

The variance of a row is split into that of the fixed part, of each random term and of the residual:

* fixed: the sample variance of X beta (Nakagawa & Schielzeth 2013, Methods in Ecology and Evolution 4:133). A term's
  share is cov(X_t beta_t, X beta), which sums to the whole over the terms; it is negative for a term that works
  against the others it is correlated with, and depends on no order.
* random: the mean over the rows of z' Sigma z (Johnson 2014, Methods in Ecology and Evolution 5:944); for a random
  intercept its variance.
* residual: the mean over the rows of sigma^2 / w, sigma^2 without weights; of known sampling variances.

With their sum as denominator, marginal R2 = fixed / sum, conditional R2 = (fixed + random) / sum; the adjusted ICC is
random / (random + residual), the conditional one random / sum. R2 by level compares with the model without the
predictors: 1 - variance with / variance without (Raudenbush & Bryk 2002, ch. 4); it can be negative. The design effect
of a group is 1 + (m - 1) ICC with m = sum n_j^2 / n (Kish 1965, ch. 5): what clustering multiplies the variance of a
mean by. All are plug-in estimates without intervals; of a posterior fit, at its posterior means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design, RandomTerm
from mixedfx.inference.terms import fixed_terms
from mixedfx.pls.basis import term_basis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class VarianceParts:
    """Variance of a row by where it comes from, in squared units of the response.

    Attributes
    ----------
    fixed
        Term of the fixed part -> its share of the variance of X beta.
    random
        Grouping factor -> variance of its effects in a row, terms of one factor summed.
    residual
        Variance of the residual.
    """

    fixed: Mapping[str, float]
    random: Mapping[str, float]
    residual: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.of_fixed + self.of_random + self.residual

    @property
    def of_fixed(self) -> float:
        """Variance of X beta."""
        return float(sum(self.fixed.values()))

    @property
    def of_random(self) -> float:
        """Variance of Z u."""
        return float(sum(self.random.values()))


def variance_parts(design: Design, beta: Array, factors: Sequence[Array], residual: float) -> VarianceParts:
    """Split the variance of a row.

    Parameters
    ----------
    design
        The design of the fit.
    beta
        (p,) fixed effects.
    factors
        For each random term (D, k, k) factors F of the covariance F F' of a level's effects, of which the mean counts.
    residual
        sigma^2; it multiplies the mean of the rows' own variances.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.variance_explained import variance_parts
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> parts = variance_parts(fit.design, fit.fixef.to_numpy(), fit.covariance_factors, fit.sigma**2)
    >>> round(parts.of_fixed, 2), round(parts.random["professor"], 2), round(parts.residual, 2)
    (6.06, 67.15, 79.76)
    """
    linear = design.X @ beta
    centred = linear - linear.mean()
    fixed = {}
    for term in fixed_terms(design):
        columns = list(term.coefficients)
        if term.product:
            part = design.X[:, columns] @ beta[columns]
            fixed[term.text] = float((part - part.mean()) @ centred) / max(len(linear) - 1, 1)
    random: dict[str, float] = {}
    for term, F in zip(design.random, factors, strict=True):
        random[term.label] = random.get(term.label, 0.0) + _mean_variance(term, F)
    return VarianceParts(fixed, random, residual * float(np.mean(design.precision.variances)))


def _mean_variance(term: RandomTerm, F: Array) -> float:
    """Mean of z' Sigma z over the rows and over Sigma = F F'.

    As a square: with z'z / n = R'R it is that of R F, entry by entry. With a covariate far from zero, Sigma's entries
    are large, and z' Sigma z a small difference of them.
    """
    return float(((term_basis(term.z, "triangles") @ F) ** 2).sum()) / len(F)


def r2_table(parts: VarianceParts) -> pd.DataFrame:
    """Marginal and conditional R2 in one row: marginal, conditional."""
    marginal, conditional = parts.of_fixed / parts.total, (parts.of_fixed + parts.of_random) / parts.total
    return pd.DataFrame({"marginal": [marginal], "conditional": [conditional]})


def partition_table(parts: VarianceParts) -> pd.DataFrame:
    """Variance by term, a row each: part (fixed, random, residual), term, variance, share of the total."""
    rows = [("fixed", term, value) for term, value in parts.fixed.items()]
    rows += [("random", group, value) for group, value in parts.random.items()]
    rows.append(("residual", "Residual", parts.residual))
    table = pd.DataFrame(rows, columns=["part", "term", "variance"])
    return table.assign(share=table["variance"] / parts.total)


def r2_by_level_table(parts: VarianceParts, null: VarianceParts) -> pd.DataFrame:
    """Variance of each level that the predictors take away: level, variance, null_variance, r2.

    Parameters
    ----------
    parts, null
        Of the fit, and of the same random part without predictors.
    """
    rows = [("Residual", parts.residual, null.residual)]
    rows += [(group, value, null.random[group]) for group, value in parts.random.items()]
    table = pd.DataFrame(rows, columns=["level", "variance", "null_variance"])
    with np.errstate(divide="ignore", invalid="ignore"):
        return table.assign(r2=1 - table["variance"] / table["null_variance"])


def icc_table(design: Design, parts: VarianceParts) -> pd.DataFrame:
    """Intraclass correlations, a row for each grouping factor and one for all together.

    Returns
    -------
    DataFrame
        group, variance, adjusted, conditional, levels, size (sum n_j^2 / n), design_effect. The last three are NaN in
        the row of all, ``"(all)"``, which there is where the model has several factors.
    """
    unexplained = parts.of_random + parts.residual
    rows = []
    for group, value in parts.random.items():
        term = next(term for term in design.random if term.label == group)
        sizes = np.bincount(term.codes, minlength=term.n_levels).astype(float)
        size = float(sizes @ sizes / sizes.sum())
        adjusted = value / unexplained
        rows.append((group, value, adjusted, value / parts.total, term.n_levels, size, 1 + (size - 1) * adjusted))
    if len(rows) > 1:
        value = parts.of_random
        rows.append(("(all)", value, value / unexplained, value / parts.total, np.nan, np.nan, np.nan))
    columns = ["group", "variance", "adjusted", "conditional", "levels", "size", "design_effect"]
    return pd.DataFrame(rows, columns=columns)
