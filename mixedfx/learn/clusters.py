r"""Means of scores and their joint errors, where rows of a cluster are not independent.

A weighted mean t = sum w_i s_i / sum w_i of n rows has the influence values psi_i = w_i (s_i - t) / sum w. Summed
within the G clusters, their outer products are the covariance of several such means,

    V = G / (G - 1)  sum_g (sum_{i in g} psi_i) (sum_{i in g} psi_i)',

rows being clusters of their own where there are none (Liang and Zeger 1986, Biometrika 73:13). The same sums of a
regression X'(s - X b), with (X'X)^-1 on both sides, are its cluster-robust covariance, CR1.

The bootstrap of clusters draws G of them with replacement. Sums over the rows of a draw are then a weighted sum of
cluster sums: the (B, G) matrix of counts times the sums of clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def sums(values: Array, cluster: Codes | None) -> Array:
    """(G, s) sums of (n, s) values within clusters; the values themselves where every row is one."""
    if cluster is None:
        return values
    G = int(cluster.max()) + 1
    return np.column_stack([np.bincount(cluster, column, G).astype(np.float64) for column in values.T])


def means(scores: Array, weights: Array, cluster: Codes | None = None) -> tuple[Array, Array]:
    """Weighted means and their covariance.

    Parameters
    ----------
    scores
        (n, s).
    weights
        (n, s) or (n, 1), at least one positive in each column.
    cluster
        (n,) codes 0 to G - 1; None for independent rows.

    Returns
    -------
    means : (s,)
    covariance : (s, s)

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.clusters import means
    >>> m, V = means(np.array([[1.0], [2.0], [3.0]]), np.ones((3, 1)))
    >>> float(m[0]), round(float(V[0, 0]), 4)  # s^2 / n
    (2.0, 0.3333)
    """
    W = np.broadcast_to(weights, scores.shape)
    total = W.sum(axis=0)
    mean = (W * scores).sum(axis=0) / total
    return mean, outer(W * (scores - mean) / total, cluster)


def outer(influence: Array, cluster: Codes | None) -> Array:
    """(s, s) covariance from (n, s) influence values."""
    own = sums(influence, cluster)
    G = len(own)
    return own.T @ own * (G / (G - 1)) if G > 1 else np.full((own.shape[1],) * 2, np.nan)


def least_squares(
    X: Array, s: Array, cluster: Codes | None = None, weights: Array | None = None
) -> tuple[Array, Array]:
    """Coefficients (p,) of a regression of s on X and their cluster-robust covariance (p, p).

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.learn.clusters import least_squares
    >>> X = np.column_stack([np.ones(4), [0.0, 1, 2, 3]])
    >>> least_squares(X, np.array([1.0, 3, 5, 7]))[0].round(6)
    array([1., 2.])
    """
    w = np.ones(len(s)) if weights is None else weights
    bread = np.linalg.inv((X * w[:, None]).T @ X)
    b = bread @ ((X * w[:, None]).T @ s)
    return b, outer((X * (w * (s - X @ b))[:, None]) @ bread, cluster)


def draws(n_draws: int, n_clusters: int, rng: np.random.Generator) -> Array:
    """(B, G) how often each cluster is in each bootstrap sample."""
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_draws).astype(np.float64)
