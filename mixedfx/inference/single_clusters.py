r"""Contrasts that one cluster alone determines, whose cluster-robust standard error is not one.

With information I_j = X_j'Phi_j^{-1}X_j of each cluster and M = (sum_j I_j)^{-1}, the eigenvalues of R'I_jR, M = R R',
lie between 0 and 1. An eigenvalue of 1 with vector n is a direction in which all information is the cluster's own:
without it X has the null vector R n. The fit then follows that cluster exactly in this direction, G_j'e_j = 0 there,
and the sandwich holds the spread of the other clusters only. For a treatment of one cluster of a few it is about a
third of the true standard error, whatever the correction (MacKinnon & Webb 2018, Econometrics Journal 21:114), and
its degrees of freedom are those of the others.

A contrast c'beta has the share |N'R'c|^2 / |R'c|^2 of its variance in such directions N. With two clusters no
direction has eigenvalue 1, and CR2 is unbiased under the model. Eigenvalues of one cluster sum to the trace of M I_j
and those of all clusters to p, so that at most p clusters have to be looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from mixedfx.errors import SingleClusterWarning

Vector = NDArray[np.float64]

ALL = 1e-7  # distance from 1 of the share of information that one cluster has, below which it has all
SHARE = 0.01  # of the variance of a contrast, from which its standard error is off by half a percent or more


@dataclass(frozen=True)
class SingleClusters:
    """Directions that one cluster alone determines.

    Attributes
    ----------
    kind, cluster
        Of the covariance: ``"CR2"``; what the clusters are.
    names
        The p coefficients.
    labels
        Name of each cluster that has directions of its own.
    directions
        For each of these (p, a) the vectors R n.
    model
        (p, p) the covariance under the model.
    """

    kind: str
    cluster: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    directions: tuple[Vector, ...]
    model: Vector

    def rests_on(self, contrasts: Vector) -> list[tuple[int, ...]]:
        """For each of the clusters, which of (s, p) contrasts rest on it alone."""
        variance = np.einsum("sp,pr,sr->s", contrasts, self.model, contrasts)
        shares = (((contrasts @ N) ** 2).sum(axis=1) for N in self.directions)
        return [tuple(int(s) for s in np.flatnonzero(own > SHARE * variance)) for own in shares]

    def warn(self, contrasts: Vector, stacklevel: int = 3) -> None:
        """Warn of contrasts that rest on one cluster (SingleClusterWarning)."""
        if not self.labels:
            return
        single = self.rests_on(np.eye(len(self.names)))
        for label, rows, coefficients in zip(self.labels, self.rests_on(contrasts), single, strict=True):
            if not rows:
                continue
            size = np.abs(contrasts[list(rows)]) * np.sqrt(np.diag(self.model))
            part = (size > 1e-8 * size.max(axis=1, keepdims=True)).any(axis=0)
            names = [n for j, n in enumerate(self.names) if part[j] and (j in coefficients or not coefficients)]
            listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            warnings.warn(
                f"{self.cluster} {label} alone tells {listed}: the other clusters say nothing about it, so its "
                f"{self.kind} standard error holds their spread only and is far too small, whatever the correction.\n"
                "Use the standard error of the model (without vcov=), and say that all rests on one cluster.",
                SingleClusterWarning,
                stacklevel=stacklevel,
            )


def single_directions(information: Sequence[Vector], model: Vector) -> list[tuple[int, Vector]]:
    """Clusters that alone determine directions, each with these (p, a).

    Parameters
    ----------
    information
        (p, p) X_j'Phi_j^{-1}X_j of each cluster.
    model
        (p, p) the covariance under the model.

    Examples
    --------
    The second of two coefficients is seen in the first of three clusters only:

    >>> import numpy as np
    >>> from mixedfx.inference.single_clusters import single_directions
    >>> parts = [np.array([[2.0, 2.0], [2.0, 2.0]]), np.diag([3.0, 0.0]), np.diag([1.0, 0.0])]
    >>> [(j, bool(abs(N[0, 0]) < 1e-8)) for j, N in single_directions(parts, np.linalg.inv(sum(parts)))]
    [(0, True)]
    """
    root = linalg.cholesky(model, lower=True)
    out = []
    for j, own in enumerate(information):
        if float(np.sum(own * model)) < 1.0 - ALL:
            continue
        values, vectors = np.linalg.eigh(root.T @ own @ root)
        if values[-1] > 1.0 - ALL:
            out.append((j, root @ vectors[:, values > 1.0 - ALL]))
    return out
