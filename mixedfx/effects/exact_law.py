r"""What a fit knows of every linear combination of some functionals, as matrices: no draws, and nothing left to ask.

For a combination w of s functionals an exact fit answers with a mixture over nodes of theta, or with t
(`mixedfx.inference.full_estimate`). Both follow from means and covariances of the s functionals: at node k the mean is
w'm_k and the variance w'V_k w. Nodes give variances of functionals, so covariances come from the variances of sums,
2 cov(a, b) = var(a + b) - var(a) - var(b). The K matrices V_k are smooth functions of few parameters: a singular value
decomposition writes them as combinations of a few, to a relative error of `ERROR`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.functional import Functional
from mixedfx.effects.quantities import Exact
from mixedfx.explorer.content import ExactLaw
from mixedfx.inference.full_estimate import FullEstimate
from mixedfx.inference.hypotheses import Constant
from mixedfx.inference.satterthwaite import Satterthwaite
from mixedfx.results.undetermined import Undetermined
from mixedfx.surveys.answer import SampleEstimate

Array = NDArray[np.float64]

ERROR = 1e-6  # of covariances that are rebuilt from a few matrices
MOST_CELLS = 126  # 8,001 sums of two cells
LARGEST = 1_500_000  # bytes of the matrices, before they become text


def exact_law(quantities: Exact, J: int, s: int) -> ExactLaw | None:
    """The law of J series of s cells, ordered as in a table of effects: cell by cell, series within.

    Returns
    -------
    ExactLaw or None
        None where the fit answers with draws or in a way of its own, or where the matrices would be too large.
    """
    if s > MOST_CELLS:
        return None
    found: Any = quantities.fit.apply(quantities.functional)
    found = found.found if isinstance(found, Undetermined) else found
    rows = [np.arange(j, s * J, J) for j in range(J)]
    if isinstance(found, FullEstimate):
        return _full(found, rows)
    of_sample = isinstance(found, SampleEstimate)  # t throughout, by the degrees of freedom of the sample
    if not found.exact or (found.own_intervals and not of_sample):
        return None
    cov, mean = np.asarray(found.cov), np.asarray(found.mean)
    upper = np.triu_indices(s)
    if of_sample:
        return ExactLaw(
            random=np.zeros((J, s), dtype=bool),
            weights=np.zeros(0),
            means=np.zeros((J, 0, s)),
            loadings=np.zeros((J, 0, 0)),
            basis=np.zeros((J, 0, len(upper[0]))),
            gap=np.zeros((J, s)),
            cov=np.stack([cov[np.ix_(at, at)][upper] for at in rows]),
            derivatives=np.zeros((J, 0, len(upper[0]))),
            nu=float(found.df),
        )
    return ExactLaw(
        random=np.ones((J, s), dtype=bool),
        weights=np.ones(1),
        means=np.stack([mean[at] for at in rows])[:, None, :],
        loadings=np.ones((J, 1, 1)),
        basis=np.stack([cov[np.ix_(at, at)][upper] for at in rows])[:, None, :],
        gap=np.zeros((J, s)),
        cov=np.zeros((J, 0)),
        derivatives=np.zeros((J, 0, 0)),
        nu=np.inf,
    )


def _full(found: FullEstimate, rows: list[NDArray[np.intp]]) -> ExactLaw | None:
    J, s = len(rows), len(rows[0])
    random = np.stack([~found.of_beta[at] for at in rows])
    length = s * (s + 1) // 2
    weights, means, loadings, basis = np.zeros(0), np.zeros((J, 0, s)), np.zeros((J, 0, 0)), np.zeros((J, 0, length))
    gap = np.zeros((J, s))
    if random.any():
        nodes = found.theta()
        weights = np.asarray(nodes.weights, dtype=np.float64)
        moments = [nodes.moments(found.functional.take(at))[0] for at in rows]
        means = np.stack(moments)
        gap = np.stack([found.mean[at] - weights @ m for at, m in zip(rows, moments, strict=True)])
        parts = [_compressed(_covariances(nodes, found.functional.take(at))) for at in rows]
        rank = max(L.shape[1] for L, _ in parts)
        if J * rank * length * 4 > LARGEST:
            return None
        loadings = np.stack([np.pad(L, ((0, 0), (0, rank - L.shape[1]))) for L, _ in parts])
        basis = np.stack([np.pad(B, ((0, rank - len(B)), (0, 0))) for _, B in parts])
    cov, derivatives, nu = np.zeros((J, 0)), np.zeros((J, 0, 0)), np.inf
    if not random.all():
        known = law_of_t(found, rows)
        if known is None:
            return None
        cov, derivatives, nu = known
    return ExactLaw(random, weights, means, loadings, basis, gap, cov, derivatives, nu)


def law_of_t(found: FullEstimate, rows: Sequence[NDArray[np.intp]]) -> tuple[Array, Array, float] | None:
    """Of cells without random effects `cov`, `derivatives` and `nu` of `ExactLaw`, a series for each of `rows`.

    None where degrees of freedom are those of single numbers, which say nothing of their combinations.
    """
    reference: Any = found.reference()
    L = found.functional.fixed
    if isinstance(reference, Satterthwaite):
        nu, D = float(reference.nu), reference.derivatives
    elif isinstance(reference, Constant):
        nu, D = float(reference.df), np.zeros((0, L.shape[1], L.shape[1]))
    else:
        return None
    upper = np.triu_indices(len(rows[0]))
    cov = np.stack([(L[at] @ reference.vcov @ L[at].T)[upper] for at in rows])
    return cov, np.stack([(L[at] @ D @ L[at].T)[:, upper[0], upper[1]] for at in rows]), nu


def _covariances(nodes: Any, functional: Functional) -> Array:
    """(K, s (s + 1) / 2) upper triangles of the covariances of s functionals at the nodes."""
    s = len(functional)
    i, j = np.triu_indices(s)
    at = np.arange(len(i))
    entries = (np.ones(2 * len(i)), (np.concatenate([at, at]), np.concatenate([i, j])))
    # A functional with itself is twice itself, whose variance is four times its own.
    sums = functional.combine(sparse.csr_array(sparse.coo_array(entries, shape=(len(i), s))))
    of_sums = np.asarray(nodes.moments(sums)[1])
    own = of_sums[:, i == j] / 4.0
    return np.where(i == j, of_sums / 4.0, (of_sums - own[:, i] - own[:, j]) / 2.0)


def _compressed(V: Array) -> tuple[Array, Array]:
    """Loadings (K, R) and matrices (R, n) whose product is V (K, n) up to `ERROR`."""
    size = np.sqrt((V**2).mean(axis=0))
    scale = np.where(size > 0, size, 1.0)
    U, values, W = np.linalg.svd(V / scale, full_matrices=False)
    kept = max(1, int(np.sum(values > ERROR * values[0])))
    return U[:, :kept] * values[:kept], W[:kept] * scale
