"""The covariates of random effects at rows that belong to no group: what an average over the population needs.

The population variance of the random part of a row is the sum over terms of z' Sigma z, and z is read off a row whose
grouping columns hold a level that no data have.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.functional import Functional
from mixedfx.design.rows import functional_for
from mixedfx.errors import UnseenLevelsWarning

Array = NDArray[np.float64]

# A level that no data have: what stands in a grouping column whose effects are integrated out.
ANYBODY = "(population)"


def population_covariates(design: Design, frame: pd.DataFrame) -> tuple[Array, ...]:
    """For each random term the (m, k) covariates of its effects, at rows that may lack grouping columns.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> from mixedfx.design.population import population_covariates
    >>> built = mx.design("math ~ small + (1 + small | sch)", mx.datasets.load("star"))
    >>> population_covariates(built, pd.DataFrame({"small": [0, 1]}))[0].tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    columns = dict.fromkeys(c for part in design.formula.random for c in part.group if c not in frame)
    filled = frame.assign(**dict.fromkeys(columns, ANYBODY))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnseenLevelsWarning)
        return covariates(design, functional_for(design, filled, new_levels="sample"))


def covariates(design: Design, rows: Functional) -> tuple[Array, ...]:
    """For each random term the (m, k) covariates of its effects, whichever level each row belongs to."""
    m = len(rows)
    out = [np.zeros((m, term.n_columns)) for term in design.random]
    for t, (start, stop) in enumerate(zip(design.starts[:-1], design.starts[1:], strict=True)):
        part = sparse.coo_array(rows.random[:, start:stop])
        np.add.at(out[t], (part.coords[0], part.coords[1] % out[t].shape[1]), part.data)
    if rows.new_levels:
        term = np.concatenate([[n.term] * out[n.term].shape[1] for n in rows.new_levels])
        place = np.concatenate([np.arange(out[n.term].shape[1]) for n in rows.new_levels])
        part = sparse.coo_array(rows.new)
        for t in range(len(out)):
            mine = term[part.coords[1]] == t
            np.add.at(out[t], (part.coords[0][mine], place[part.coords[1][mine]]), part.data[mine])
    return tuple(out)


def population_variance(factors: tuple[Array, ...], covariates: tuple[Array, ...]) -> Array:
    """(D, m) population variance of the random part of m rows, from D lower factors (D, k, k) of each term."""
    total: Array = np.zeros((1, 1))
    for z, factor in zip(covariates, factors, strict=True):
        if z.any():
            covariance = factor @ factor.transpose(0, 2, 1)
            square = (z[:, :, None] * z[:, None, :]).reshape(len(z), -1)
            total = total + covariance.reshape(len(factor), -1) @ square.T
    return np.clip(total, 0.0, None)
