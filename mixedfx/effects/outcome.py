"""Draws of the expected outcome of cells, and its average over the population of groups.

Off the identity link an average over groups is not the outcome of an average group. With eta = c'beta the fixed part
and v_d(cell) = sum over random terms of z' Sigma_d z the population variance of the random part of a cell, both of
posterior draw d,

    average over the population = E g^-1(eta + sqrt(v) x),  x ~ N(0, 1),

because a sum of normal effects is one scalar normal. The expectation is a sum over nodes x_j with weights w_j, see
`mixedfx.linalg.quadrature`. For the probit link the closed form Phi(eta / sqrt(1 + v)) is the oracle of its test.

The mean of a variable y behind a transformed response f(y) = eta + e is an expectation of the same kind, with the
residual variance added: E f^-1(eta + sqrt(v + sigma^2) x).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.functional import Functional
from mixedfx.design.population import population_covariates, population_variance
from mixedfx.design.transforms import Transformation
from mixedfx.errors import EffectsError
from mixedfx.linalg.quadrature import normal_rule
from mixedfx.results.protocol import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Draws of the expected outcome of cells under one fit.

    Attributes
    ----------
    fit
        A fit that answers from draws.
    linear
        Whether the outcome is the linear predictor itself.
    means
        The transformation of the response whose variable is averaged, of a gaussian response; None for the response.
    """

    fit: Any
    linear: bool
    means: Transformation | None = None

    def draws(self, rows: Functional, variance: Sequence[Array] | None = None) -> Array:
        """(D, m) draws of the expected outcome, or (D, m, K) probabilities of categories; NaN where not estimable.

        Parameters
        ----------
        rows
            The linear predictor of m cells.
        variance
            For each random term (m, k) covariates whose effects are averaged over their population; None for none.
        """
        found, lost = self._draws(rows, variance), ~rows.estimable
        if lost.any():
            found = np.array(found)
            found[:, lost] = np.nan
        return found

    def _draws(self, rows: Functional, variance: Sequence[Array] | None) -> Array:
        if self.linear:
            return self.fit.apply(rows).draws()
        spread = None if variance is None else population_variance(self.fit.covariance_factors, tuple(variance))
        if self.means is not None:
            total = np.ravel(self.fit.draws()[("sigma",)])[:, None] ** 2 + (0.0 if spread is None else spread)
            return self.means.mean(self.fit.apply(rows).draws(), np.sqrt(total))
        if spread is None or not spread.any():
            return np.asarray(self.fit.expected(rows))
        eta, scale = self.fit.apply(rows).draws(), np.sqrt(spread)
        total: Any = 0.0
        for node, weight in zip(*normal_rule(float(scale.max())), strict=True):
            total = total + weight * self.fit.family.mean(eta + scale * node, self._auxiliary)
        return np.asarray(total)

    @cached_property
    def _auxiliary(self) -> Mapping[str, Array]:
        """Draws of what the mean depends on beside the linear predictor."""
        draws = self.fit.draws() if self.fit.family.auxiliary or self._thresholds else None
        if draws is None:
            return {}
        found = {name: np.ravel(draws[(name,)]) for name in self.fit.family.auxiliary}
        if self._thresholds:
            keys = [("threshold", str(k + 1)) for k in range(self._thresholds)]
            found["threshold"] = np.column_stack([np.ravel(draws[key]) for key in keys])
        return found

    @property
    def _thresholds(self) -> int:
        ordered = self.fit.family.outcome == "ordered"
        return len(self.fit.design.categories) - 1 if ordered else 0


def distinct_rows(rows: Functional, spread: Sequence[Array]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row of each distinct outcome, and the outcome of each row, where random effects do not count.

    Without effects of their own, cells of different groups have the same outcome; only the fixed part and the
    covariates of the population variance tell them apart.
    """
    needs = [] if rows.null is None else [rows.null.coordinates]
    table = np.ascontiguousarray(np.column_stack([rows.fixed, rows.offset, *needs, *spread]) + 0.0)
    packed = table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1]))).ravel()
    _, first, which = np.unique(packed, return_index=True, return_inverse=True)
    return first.astype(np.intp), which.ravel().astype(np.intp)


def is_identity(fit: Fit) -> bool:
    """Whether the mean response is the linear predictor."""
    return fit.family.identity


def categories_of(fit: Fit) -> tuple[str, ...] | None:
    """Return the levels of an ordered or nominal response, None for any other."""
    return tuple(map(str, fit.design.categories or ())) if fit.family.categories else None


def integrated(fit: Fit, frame: pd.DataFrame, rows: Functional, groups: str) -> tuple[Array, ...] | None:
    """For each random term the (m, k) covariates whose effects are averaged over their population.

    Parameters
    ----------
    fit
        Any fit.
    frame
        (m, .) cells.
    rows
        Their linear predictor.
    groups
        ``"integrate"``: all terms. ``"fitted"``: those whose grouping column the cells do not have. ``"average"``:
        none.

    Raises
    ------
    EffectsError
        For a nominal response, which has a linear predictor for each category.
    """
    design = fit.design
    if groups == "average" or not design.random or (groups == "fitted" and not rows.averaged):
        return None
    if fit.family.outcome == "nominal":
        raise EffectsError(
            "an average over the population of groups is not available for a nominal response",
            hint='Use groups="average", or newdata that hold the grouping columns.',
        )
    absent = [term.label in rows.averaged for term in design.random]
    found = population_covariates(design, frame)
    return tuple(z if groups == "integrate" or gone else 0 * z for z, gone in zip(found, absent, strict=True))
