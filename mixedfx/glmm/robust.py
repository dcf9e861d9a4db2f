r"""Cluster-robust covariances of the fixed effects: sandwiches of the scores of clusters.

The likelihood is a product over clusters that share no random effect, and so is Laplace's approximation of it, and
quadrature. With s_j the derivative of the log likelihood of cluster j in all parameters psi = (gamma, par, phi) at the
estimate and B the inverse of minus the second derivatives of the whole,

    V = B [sum_j s_j s_j'] B,

of which the block of the fixed effects is taken (White 1982, Econometrica 50:1; Liang & Zeger 1986). CR1 is that times
m / (m - 1), CR1p times m / (m - p), m clusters and p coefficients. The scores in the covariance parameters matter: the
coefficients of a generalised linear mixed model are not orthogonal to them. Parameters on the boundary are held there.

The scores are those of `mixedfx.glmm.scores`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.errors import ModelError, check_option
from mixedfx.glmm.scores import cluster_scores
from mixedfx.glmm.solve import NOT_DETERMINED, GlmmSolution, refused
from mixedfx.inference.robust import cluster_codes, cluster_label
from mixedfx.inference.single_clusters import SingleClusters, single_directions
from mixedfx.linalg import triangular
from mixedfx.progress import Asked

Vector = NDArray[np.float64]
ClusterKind = Literal["CR0", "CR1", "CR1p"]
KINDS: tuple[ClusterKind, ...] = get_args(ClusterKind)


@dataclass(frozen=True, repr=False)
class ClusterCovariance:
    """A cluster-robust covariance of the fixed effects; give it as ``vcov=`` wherever a test takes one.

    Attributes
    ----------
    kind
        One of `KINDS`.
    cluster
        Name of the clusters.
    names
        The p coefficients.
    vcov
        (p, p) the covariance.
    n_clusters
        Number of clusters.
    single
        What one cluster alone determines.
    """

    kind: str
    cluster: str
    names: tuple[str, ...]
    vcov: Vector
    n_clusters: int
    single: SingleClusters

    @property
    def table(self) -> pd.DataFrame:
        """The covariance with its labels."""
        return pd.DataFrame(self.vcov, index=list(self.names), columns=list(self.names))

    def __repr__(self) -> str:
        size = f"{len(self.names)} coefficients, {self.n_clusters} clusters of {self.cluster}"
        return f"<{self.kind} covariance of {size}>"


def cluster_covariance(
    design: Design, solution: GlmmSolution, kind: str, cluster: Any, progress: Asked = None
) -> ClusterCovariance:  # fmt: skip
    """Cluster-robust covariance of the fixed effects; see `GlmerFit.vcov_robust`."""
    check_option("kind", kind, KINDS)
    if solution.iterative:
        raise refused("scores of clusters take the leverage of every row, and are found")
    codes, name = cluster_codes(design, cluster)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    m, p = len(first), len(solution.beta)
    if m < 2:
        raise ModelError("one cluster carries no information on the variation between clusters")
    if kind == "CR1p" and m <= p:
        raise ModelError(
            f"CR1p divides by m - p, and there are {m} clusters for {p} coefficients", hint='Use kind="CR1".'
        )
    if solution.covariance is None:
        raise ModelError(f"there is no cluster-robust covariance: {NOT_DETERMINED}")
    scores, information = cluster_scores(design, solution, codes.reshape(-1), progress)
    half = (scores @ solution.covariance)[:, :p]
    factor = {"CR0": 1.0, "CR1": m / (m - 1), "CR1p": m / max(m - p, 1)}[kind]
    R_inverse = np.asarray(triangular.solve(solution.model.problem.R, np.eye(p)))
    beta = half @ R_inverse.T
    model = R_inverse @ np.linalg.inv(information.sum(axis=0)) @ R_inverse.T
    own = [solution.model.problem.R.T @ part @ solution.model.problem.R for part in information]
    found = single_directions(own, model)
    labels = tuple(cluster_label(design, cluster, name, int(first[j])) for j, _ in found)
    single = SingleClusters(kind, name, design.fixed_names, labels, tuple(N for _, N in found), model)
    single.warn(np.eye(p), stacklevel=5)
    return ClusterCovariance(kind, name, design.fixed_names, factor * beta.T @ beta, m, single)
