r"""aggregate: dependent effects of a study combined into one, with the sampling variance that their covariance gives.

With the block V of a cluster, the combined effect 1'V^{-1} y / 1'V^{-1} 1 has the variance 1 / 1'V^{-1} 1, the smallest
there is; a plain mean has 1'V 1 / k^2. A model with random effects of effects within studies uses the data better.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfx.design.grouping import rows_of
from mixedfx.design.precision import read_covariance
from mixedfx.errors import DataError, OptionError, check_flag, some_rows
from mixedfx.meta.effect_sizes.vcalc import vcalc
from mixedfx.meta.reading import fetched, numbers, values


def aggregate(
    data: Any,
    cluster: Any,
    *,
    yi: Any = "yi",
    vi: Any = "vi",
    V: Any = None,
    rho: float | None = None,
    weighted: bool = True,
) -> pd.DataFrame:
    """Combine the effects of each cluster into one.

    Parameters
    ----------
    data
        Any data frame.
    cluster
        Such as studies: a column or values.
    yi, vi
        Effects and sampling variances: columns or values.
    V
        Covariance of the sampling errors, as `mixedfx.vcalc` makes it.
    rho
        Correlation of the errors of one cluster, in the place of `V`. Neither: errors are independent.
    weighted
        Whether effects are weighted for the smallest variance; else all alike.

    Returns
    -------
    DataFrame
        A row for each cluster, in the order they come: the cluster, means of the other columns of numbers, other
        columns where they are the same in every cluster, yi, vi, and the number of effects ``ki``.

    Raises
    ------
    DataError
        Effects or variances that are missing; a covariance that is none, or connects clusters.
    OptionError
        Both `V` and `rho`.

    Examples
    --------
    >>> import pandas as pd
    >>> import mixedfx as mx
    >>> data = pd.DataFrame({"study": ["a", "a", "b"], "yi": [0.2, 0.4, 0.1], "vi": [0.04, 0.04, 0.05]})
    >>> mx.aggregate(data, "study", rho=0.6)
      study   yi     vi  ki
    0     a  0.3  0.032   2
    1     b  0.1  0.050   1
    """
    check_flag("weighted", weighted)
    if V is not None and rho is not None:
        raise OptionError("V= and rho= are both given", hint="V= holds all correlations.")
    frame, labels = fetched(data, {"cluster": cluster, "yi": yi, "vi": vi}, whole=True)
    y, v = numbers(yi, frame, labels, "yi"), numbers(vi, frame, labels, "vi")
    bad = np.flatnonzero(~np.isfinite(y) | ~(v > 0) | ~np.isfinite(v))
    if len(bad):
        raise DataError(
            f"yi or vi is missing, or vi not positive, in {some_rows(bad)} (counted from 0)",
            hint="Leave these rows out.",
        )
    names = values(cluster, frame, labels, "cluster")
    lacking = np.flatnonzero(pd.isna(names))
    if len(lacking):
        raise DataError(f"cluster is missing in {some_rows(lacking)} (counted from 0)")
    if V is not None:
        covariance = read_covariance(V, len(y), np.arange(len(y)), labels)
    elif rho is not None:
        covariance = vcalc(v, cluster=names, rho=rho)
    else:
        covariance = sparse.csr_array(sparse.diags_array(v))
    codes, levels = pd.factorize(names)
    i, j = sparse.coo_array(covariance).coords
    across = codes[i] != codes[j]
    if across.any():
        rows = np.unique(i[across])
        raise DataError(f"V connects different clusters, in {some_rows(rows)} (counted from 0)")
    found = []
    for rows in rows_of(codes.astype(np.intp)):
        block = covariance[rows][:, rows].toarray()
        one = np.ones(len(rows))
        a = np.linalg.solve(block, one) if weighted else one
        a = a / a.sum()
        found.append((a @ y[rows], a @ block @ a, len(rows)))
    name = cluster if isinstance(cluster, str) else "cluster"
    result = pd.DataFrame({name: levels})
    taken = {name, *(x for x in (yi, vi) if isinstance(x, str)), "yi", "vi", "ki"}
    for column in frame.columns:
        if column in taken:
            continue
        groups: Any = frame[column].groupby(codes)
        if pd.api.types.is_numeric_dtype(frame[column]) and not pd.api.types.is_bool_dtype(frame[column]):
            result[column] = groups.mean().to_numpy()
        elif bool((groups.nunique(dropna=False) == 1).all()):
            result[column] = groups.first().to_numpy()
    combined = np.array(found, dtype=np.float64)
    return result.assign(yi=combined[:, 0], vi=combined[:, 1], ki=combined[:, 2].astype(np.int64))
