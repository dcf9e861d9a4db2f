r"""Cluster-robust covariances of the fixed effects: CR0, CR1, CR3 and the bias-reduced CR2.

With M = vcov(beta-hat) under the model, Phi_j the model's covariance of cluster j (its rows X_j, residuals
e_j = y_j - X_j beta-hat) and weights Phi_j^{-1}, the estimator is

    V = M [sum_j G_j'e_j e_j'G_j] M,      G_j = A_j Phi_j^{-1} X_j,

A_j = I for CR0, sqrt(m / (m - 1)) I for CR1 with m clusters, sqrt(m / (m - p)) I for CR1p, and for CR2 the symmetric
matrix that makes V unbiased should the model be right (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018):

    A_j = D_j' B_j^{-1/2} D_j,      B_j = D_j (Phi_j - X_j M X_j') D_j',      Phi_j = D_j'D_j,

with a pseudo-inverse where B_j is singular. CR3 is nearly the jackknife over clusters,

    G_j = (Phi_j - X_j M X_j')^{-1} X_j.

Everything of a cluster that differs from sigma^2 I lies in the span of its Z_j and X_j, so that without weights the
roots are of matrices of that rank, not of the cluster's size. Other clusters of one size are worked on together.

**Degrees of freedom.** c'Vc is a sum of squares of p_j'epsilon with p_j = (I - H)_j'G_j M c and

    p_i'Phi p_j = [i = j] g_i'Phi_i g_i - (X_i'g_i)'M(X_j'g_j),     g_j = G_j M c,

from which `mixedfx.inference.robust_tests` has degrees of freedom and tests of several contrasts; here those of
Satterthwaite, df = (sum_i p_i'Phi p_i)^2 / sum_ij (p_i'Phi p_j)^2, and HTZ.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.design import Design, RandomTerm
from mixedfx.design.grouping import rows_of
from mixedfx.design.precision import Independent, check_within
from mixedfx.design.rows_used import in_order
from mixedfx.errors import DegreesOfFreedomWarning, ModelError, OptionError, check_option
from mixedfx.inference.canonical_contrasts import independent_contrasts
from mixedfx.inference.robust_tests import Pieces, wishart_df
from mixedfx.inference.single_clusters import SingleClusters, single_directions

Vector = NDArray[np.float64]

CovarianceKind = Literal["CR0", "CR1", "CR1p", "CR2", "CR3"]
KINDS: tuple[CovarianceKind, ...] = get_args(CovarianceKind)
NUMBERS = 2_000_000  # of covariances of clusters that are held at a time
NULL = 1e-10  # eigenvalue of B_j, relative to the largest, that the pseudo-inverse leaves out


@dataclass(frozen=True, repr=False)
class RobustCovariance:
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
    model
        (p, p) the covariance under the model, M.
    within
        (m, p, p) G_j'Phi_j G_j of each cluster.
    across
        (m, p, p) X_j'G_j of each cluster.
    single
        What one cluster alone determines.
    """

    kind: str
    cluster: str
    names: tuple[str, ...]
    vcov: Vector
    model: Vector
    within: Vector
    across: Vector
    single: SingleClusters

    @property
    def pieces(self) -> Pieces:
        """What degrees of freedom are made of."""
        return Pieces(self.model, self.within, self.across)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.within)

    @property
    def table(self) -> pd.DataFrame:
        """The covariance with its labels."""
        return pd.DataFrame(self.vcov, index=list(self.names), columns=list(self.names))

    def __repr__(self) -> str:
        size = f"{len(self.names)} coefficients, {self.n_clusters} clusters of {self.cluster}"
        return f"<{self.kind} covariance of {size}>"

    def t_df(self, contrasts: Vector) -> Vector:
        """(s,) Satterthwaite degrees of freedom of the rows of (s, p) contrasts.

        Warns
        -----
        SingleClusterWarning
            Where one cluster alone tells a contrast.
        """
        self.single.warn(contrasts, stacklevel=4)
        return np.array([wishart_df(self.pieces, row[None], "HTZ") for row in contrasts])

    def f_test(self, L: Vector, difference: Vector) -> tuple[float, float, float]:
        """F from Hotelling's T^2, its numerator and denominator df, for L beta = rhs; `difference` is L beta-hat - rhs.

        Warns
        -----
        DegreesOfFreedomWarning
            With too few clusters for so many contrasts; F and its df are then NaN.
        SingleClusterWarning
            Where one cluster alone tells a contrast.
        """
        self.single.warn(L, stacklevel=4)
        t2 = independent_contrasts(L, self.vcov, difference)[1]
        rows = independent_contrasts(L, self.model, difference)[0]
        q = len(rows)
        eta = wishart_df(self.pieces, rows, "HTZ")
        if len(t2) < q or not eta > q - 1:
            warnings.warn(
                f"{self.n_clusters} clusters are too few for a joint test of {q} contrasts with a robust covariance",
                DegreesOfFreedomWarning,
                stacklevel=3,
            )
            return np.nan, float(q), np.nan
        return (eta - q + 1) / (eta * q) * float(np.sum(t2)), float(q), eta - q + 1


def cluster_codes(design: Design, cluster: Any) -> tuple[NDArray[np.intp], str]:
    """(n,) cluster of each row, and the clusters' name.

    Parameters
    ----------
    design
        What was fitted.
    cluster
        A grouping factor or a column of the formula, an array with a value for each row used, or None: the grouping
        factor that all others are nested in.

    Raises
    ------
    OptionError
        Where there is no such factor, or none that contains the others.
    ModelError
        Where a random effect is shared by several clusters, so that clusters are not independent.
    """
    labels = {term.label: term.codes for term in design.random}
    if cluster is None:
        holding = [label for label, codes in labels.items() if not _crossing(design, codes)]
        if not holding:
            raise OptionError(
                "no grouping factor contains the others, so the clusters have to be named",
                hint="Give cluster= a column in which every random effect is nested.",
            )
        name = min(holding, key=lambda label: int(labels[label].max()))
        return labels[name], name
    if isinstance(cluster, str):
        if cluster not in labels and cluster not in design.frame.columns:
            known = ", ".join(map(str, dict.fromkeys([*labels, *design.frame.columns])))
            raise OptionError(
                f"there is no column {cluster!r} among those of the formula",
                hint=f"Known: {known}. Of another column give the values: cluster=data[{cluster!r}].",
            )
        codes = labels[cluster] if cluster in labels else pd.factorize(design.frame[cluster])[0].astype(np.intp)
        name = cluster
    else:
        values = np.asarray(in_order(design, cluster, "cluster"))
        if values.shape != (len(design.y),):
            raise OptionError(
                f"cluster= has shape {values.shape}, the fit used {len(design.y)} rows",
                hint="Give one value for each row the fit used (fit.design.rows.used lists them).",
            )
        codes, name = pd.factorize(values)[0].astype(np.intp), "cluster"
    if np.any(codes < 0):
        raise OptionError("cluster= has missing values")
    shared = _crossing(design, codes)
    if shared:
        raise ModelError(
            f"levels of {shared[0]} have rows in several clusters of {name}, so these are not independent",
            hint="Cluster by a factor in which every random effect is nested.",
        )
    return codes, name


def _crossing(design: Design, codes: NDArray[np.intp]) -> list[str]:
    """Grouping factors that are not nested in the clusters."""
    count = int(codes.max()) + 1
    return [term.label for term in design.random if _shared(term, codes, count)]


def _shared(term: RandomTerm, codes: NDArray[np.intp], count: int) -> bool:
    """Whether a level of a term, or levels that are related, have rows in several clusters."""
    pairs = np.unique(term.codes * np.intp(count) + codes)
    if len(pairs) > len(np.unique(term.codes)):
        return True
    if term.relation is None:
        return False
    levels, home = np.divmod(pairs, count)
    A = term.relation[np.ix_(levels, levels)]
    return bool(np.any(A[home[:, None] != home] != 0.0))


def robust_covariance(
    design: Design, factors: Sequence[Vector], sigma: float, beta: Vector, model: Vector, kind: str, cluster: Any
) -> RobustCovariance:
    """Cluster-robust covariance of the fixed effects of one fit.

    Parameters
    ----------
    design, factors, sigma, beta, model
        What was fitted, and its estimates; `model` is the (p, p) covariance under the model.
    kind
        One of `KINDS`.
    cluster
        See `cluster_codes`.

    Raises
    ------
    OptionError
        Clusters between which known errors are correlated.

    Warns
    -----
    SingleClusterWarning
        Where one cluster alone tells a coefficient.
    """
    check_option("kind", kind, KINDS)
    codes, name = cluster_codes(design, cluster)
    check_within(design.precision, codes, name)
    residual = design.y - design.offset - design.X @ beta
    pieces = [rows for rows in rows_of(codes) if len(rows)]
    m, p = len(pieces), len(beta)
    if m < 2:
        raise ModelError("one cluster carries no information on the variation between clusters")
    if kind == "CR1p" and m <= p:
        raise ModelError(
            f"CR1p divides by m - p, and there are {m} clusters for {p} coefficients", hint='Use kind="CR2".'
        )
    scores, within, across, information = np.empty((m, p)), *np.empty((3, m, p, p))
    for some, Phi, X, e in _alike(design, factors, sigma, residual, pieces):
        G = np.linalg.solve(Phi, X)
        Xt = X.transpose(0, 2, 1)
        information[some] = Xt @ G
        if kind == "CR1":
            G = G * np.sqrt(m / (m - 1))
        elif kind == "CR1p":
            G = G * np.sqrt(m / (m - p))
        elif kind == "CR3":
            G = _pseudo_power(Phi - X @ model @ Xt, -1.0) @ X
        elif kind == "CR2":
            D = np.linalg.cholesky(Phi).transpose(0, 2, 1)  # upper: Phi = D'D
            Dt = D.transpose(0, 2, 1)
            G = Dt @ (_pseudo_power(D @ (Phi - X @ model @ Xt) @ Dt, -0.5) @ (D @ G))
        Gt = G.transpose(0, 2, 1)
        scores[some] = (Gt @ e[:, :, None])[:, :, 0]
        within[some], across[some] = Gt @ Phi @ G, Xt @ G
    half = scores @ model
    found = single_directions(list(information), model)
    labels = tuple(cluster_label(design, cluster, name, int(pieces[j][0])) for j, _ in found)
    single = SingleClusters(kind, name, design.fixed_names, labels, tuple(N for _, N in found), model)
    single.warn(np.eye(p), stacklevel=5)
    return RobustCovariance(kind, name, design.fixed_names, half.T @ half, model, within, across, single)


def cluster_label(design: Design, cluster: Any, name: str, row: int) -> str:
    """Name of the cluster of one row."""
    for term in design.random:
        if term.label == name:
            return term.levels[term.codes[row]]
    return str(design.frame[name].iloc[row] if isinstance(cluster, str) else np.asarray(cluster)[row])


Cluster = tuple[list[int], Vector, Vector, Vector]


def _alike(
    design: Design, factors: Sequence[Vector], sigma: float, residual: Vector, pieces: Sequence[NDArray[np.intp]]
) -> Iterator[Cluster]:
    """Clusters with as many rows, many at a time: which, (b, s, s) Phi_j, (b, s, p) X_j, (b, s) e_j.

    Large ones whose rows are alike come one by one, in a basis of the span of Z_j and X_j.
    """
    precision = design.precision
    alike = isinstance(precision, Independent) and precision.weights is None
    by_size: dict[int, list[int]] = {}
    for j, rows in enumerate(pieces):
        by_size.setdefault(len(rows), []).append(j)
    for size, members in by_size.items():
        step = max(1, NUMBERS // size**2)
        for begin in range(0, len(members), step):
            some = members[begin : begin + step]
            if alike and size > design.X.shape[1]:
                left = []
                for j in some:
                    reduced = _reduced(design, factors, sigma, residual, pieces[j])
                    if reduced is None:
                        left.append(j)
                    else:
                        yield [j], *reduced
                some = left
            if some:
                rows = np.stack([pieces[j] for j in some])
                yield some, _covariances(design, factors, sigma, rows), design.X[rows], residual[rows]


def _covariances(design: Design, factors: Sequence[Vector], sigma: float, rows: NDArray[np.intp]) -> Vector:
    """(b, s, s) the model's covariances of clusters with rows (b, s)."""
    precision = design.precision
    if isinstance(precision, Independent):
        weights = precision.weights
        Phi = np.eye(rows.shape[1]) * (1.0 if weights is None else 1.0 / weights[rows][:, :, None])
        Phi = np.broadcast_to(Phi, (*rows.shape, rows.shape[1])).copy()
    else:
        Phi = np.stack([precision.covariance(one) for one in rows])
    for term, T in zip(design.random, factors, strict=True):
        effect, codes = term.z[rows] @ T, term.codes[rows]
        of_pair = codes[:, :, None] == codes[:, None, :]
        if term.relation is not None:
            of_pair = term.relation[codes[:, :, None], codes[:, None, :]]
        Phi += of_pair * (effect @ effect.transpose(0, 2, 1))
    return sigma**2 * Phi


def _reduced(
    design: Design, factors: Sequence[Vector], sigma: float, residual: Vector, rows: NDArray[np.intp]
) -> tuple[Vector, Vector, Vector] | None:
    """Phi_j, X_j and e_j of one cluster in a basis of the span of Z_j and X_j; None where that spans every row."""
    X, e = design.X[rows], residual[rows]
    width = X.shape[1] + sum(len(np.unique(term.codes[rows])) * term.n_columns for term in design.random)
    if width >= len(rows):
        return None
    parts = []
    for term, T in zip(design.random, factors, strict=True):
        effect = term.z[rows] @ T
        levels, codes = np.unique(term.codes[rows], return_inverse=True)
        Z = np.zeros((len(rows), len(levels), term.n_columns))
        Z[np.arange(len(rows)), codes] = effect
        if term.relation is not None:
            root = np.linalg.cholesky(term.relation[np.ix_(levels, levels)])
            Z = np.einsum("nik,ij->njk", Z, root)
        parts.append(Z.reshape(len(rows), -1))
    C = np.hstack([*parts, np.zeros((len(rows), 0))])
    basis = np.linalg.qr(np.hstack([C, X]))[0]
    C, X, e = basis.T @ C, basis.T @ X, basis.T @ e
    return (sigma**2 * (C @ C.T + np.eye(len(e))))[None], X[None], e[None]


def _pseudo_power(B: Vector, power: float) -> Vector:
    """(b, s, s) powers of symmetric matrices that may be singular, on their range."""
    values, vectors = np.linalg.eigh((B + B.transpose(0, 2, 1)) / 2.0)
    good = values > NULL * values[:, -1:]
    powers = np.where(good, np.where(good, values, 1.0) ** power, 0.0)
    return (vectors * powers[:, None, :]) @ vectors.transpose(0, 2, 1)


def covariance_words(vcov: Any) -> str:
    """What a covariance given by the user is called."""
    return f"{vcov.kind}, clusters {vcov.cluster}" if hasattr(vcov, "cluster") else "as given"
