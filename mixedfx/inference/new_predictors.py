"""Linear predictors of new rows for simulations: draws of the groups of the fit, and of groups that it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.labels import quoted
from mixedfx.design.rows import functional_for
from mixedfx.errors import DataError, UnseenLevelsWarning
from mixedfx.inference.normal_estimate import new_level_root
from mixedfx.linalg.shape import shape_of

Array = NDArray[np.float64]


def new_rows(design: Design, frame: pd.DataFrame) -> Functional:
    """New rows as functionals, levels that the fit has not seen as columns of their own.

    Raises
    ------
    DataError
        Rows without a grouping column, whose responses nobody can simulate; rows that the fit does not determine.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLevelsWarning)  # they are drawn as any others are
        rows = functional_for(design, frame, "sample")
    if rows.averaged:
        raise DataError(
            f"the new data say nothing of the groups {quoted(rows.averaged)}, which new responses vary over",
            hint="Give them a column of groups; names that the fit has not seen are new groups.",
        )
    return rows


def new_predictors(
    design: Design, frame: pd.DataFrame, beta: Array, u: Array, factors: Sequence[Array], sigma: float,
    rng: np.random.Generator,
) -> Any:  # fmt: skip
    """(draws, m) X beta + offset + Z u of m new rows, with effects of unseen levels drawn from their population.

    Parameters
    ----------
    design
        The design of the fit.
    frame
        The new rows.
    beta, u
        Coefficients, and (draws, q) effects of the groups of the fit.
    factors, sigma
        Effects of a level are N(0, sigma^2 T T').
    rng
        Draws the effects of unseen levels.
    """
    rows = new_rows(design, frame)
    mean = rows.fixed @ beta + rows.offset
    eta = mean + (rows.random @ u.T).T
    if rows.new_levels:
        root = sparse.csr_array(rows.new @ new_level_root(rows.new_levels, factors, sigma))
        eta = eta + (root @ rng.standard_normal((shape_of(root)[1], len(u)))).T
    eta[:, ~rows.estimable] = np.nan
    return eta
