r"""One way of writing a hypothesis: a basis of the row space of L that does not depend on how L was written.

A hypothesis L beta = 0 is its row space. F, and everything else that is a function of L'(L V L')^{-1}L, sees only that;
Fai and Cornelius's df do not: they are made from the df of the single rows of U'L with L V L' = U diag(d) U', and A L
has other eigenvectors than L. Two forms on the row space fix a rotation: rows are first made orthonormal in a metric
that is given by the design, then rotated to the eigenvectors of V. With L V L' = U diag(d) U' for one such L, any other
one is O L with O orthogonal, its eigenvectors are O U, and (O U)'(O L) = U'L: the rows are the same up to sign. Equal
eigenvalues leave a rotation open; at an estimate they come from the symmetry of a balanced layout, in which all rows
that it turns into each other have the same df.

**The metric** decides between conventions, and the one taken is that of lmerTest (Kuznetsova, Brockhoff & Christensen
2017), whose rows for a term are differences from the first level, each of length one: contrasts are measured by their
coefficients under treatment coding, whatever coding the fit has. With X_t the treatment-coded columns and X = X_t M, a
contrast c'beta is c'M^{-1} beta_t. lmerTest's rows depend on the units of numeric variables where a hypothesis spans
several; here coefficients are per standard deviation: columns with the same numeric variables share one unit, the root
of their mean variance, so that rows of one term keep the proportions they have there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.rank import independent_columns
from mixedfx.design.terms import Term
from mixedfx.inference.terms import RANK, fixed_terms, recoded

Vector = NDArray[np.float64]

DEPENDENT = 1e-10  # singular value, of rows of length one, below which a row is a combination of others
SINGULAR = 1e-10  # eigenvalue of the correlation of contrasts below which their covariance is singular


def independent_contrasts(
    L: Vector, vcov: Vector, difference: Vector, metric: Vector | None = None
) -> tuple[Vector, Vector]:
    """Uncorrelated rows that span those of L, and the squared t statistic of each.

    Parameters
    ----------
    L
        (m, p) contrasts; rows may be linearly dependent.
    vcov
        (p, p).
    difference
        (m,) L beta-hat - rhs.
    metric
        (p, p) whose rows are the coefficients in an orthonormal basis; None for coefficients in units of their standard
        errors, which suits every question whose answer does not depend on the metric.

    Returns
    -------
    rows : (rank, p)
        The same for A L with any invertible A, up to signs.
    t2 : (rank,)

    Examples
    --------
    >>> import numpy as np
    >>> from mixedfx.inference.canonical_contrasts import independent_contrasts
    >>> V, L, A = np.diag([1.0, 2.0, 4.0]), np.eye(3)[1:], np.array([[1.0, 3.0], [0.0, 2.0]])
    >>> [np.abs(independent_contrasts(K, V, K @ np.ones(3), np.eye(3))[0]).round(9).tolist() for K in (L, A @ L)]
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    sd = np.sqrt(np.maximum(np.diag(vcov), 0.0))
    measured = L * np.where(sd > 0, sd, 1.0) if metric is None else L @ metric
    length = np.linalg.norm(measured, axis=1)
    length[length == 0] = 1.0
    U, s, _ = np.linalg.svd(measured / length[:, None], full_matrices=False)
    kept = s > max(DEPENDENT, len(L) * 1e-12) * max(float(s.max(initial=0.0)), 1e-300)
    turn = (U[:, kept] / s[kept] / length[:, None]).T
    rows, difference = turn @ L, turn @ difference
    covariance = rows @ vcov @ rows.T
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    size[size == 0] = 1.0
    correlation = np.linalg.eigvalsh(covariance / np.outer(size, size))
    rank = int((correlation > max(SINGULAR, len(rows) * 1e-12)).sum())
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[len(rows) - rank :], vectors[:, len(rows) - rank :]
    return vectors.T @ rows, (vectors.T @ difference) ** 2 / values


def contrast_metric(design: Design) -> Vector:
    """(p, p) matrix that turns contrasts of the coefficients of a fit into their treatment-coded, unit-free form.

    Parameters
    ----------
    design
        What was fitted, p coefficients.

    Examples
    --------
    Of a factor under treatment coding the coefficients themselves are an orthogonal basis, all of one length:

    >>> import mixedfx as mx
    >>> from mixedfx.inference.canonical_contrasts import contrast_metric
    >>> metric = contrast_metric(mx.design("score ~ style", mx.datasets.load("flipped_classroom")))
    >>> bool(metric[1, 1] == metric[2, 2]), float(abs(metric[1, 2]))
    (True, 0.0)
    """
    X, terms = design.X, fixed_terms(design)
    factors = frozenset().union(*(t.factors for t in terms))
    if not any(f in design.spec.contrasts or f not in design.frame.columns for f in factors):
        return np.diag(1.0 / _units(X, terms))
    coded, part = recoded(design, design.spec.fixed.text, dict.fromkeys(factors, "treatment"))
    kept = independent_columns(coded)
    if len(kept) == X.shape[1]:
        coded, place = coded[:, kept], {int(c): j for j, c in enumerate(kept)}
        M = np.linalg.lstsq(coded, X, rcond=None)[0]
        if np.allclose(coded @ M, X, rtol=0.0, atol=RANK * max(1.0, float(np.abs(X).max()))):
            return np.linalg.inv(M) / _units(coded, design.spec.reader.part(part, place))
    return np.diag(1.0 / _units(X, terms))  # a coding of its own, with fewer columns than levels


def _units(X: Vector, terms: tuple[Term, ...]) -> Vector:
    """(p,) unit of each column: root of the mean variance of all columns with the same numeric variables."""
    variance, unit = X.var(axis=0), np.ones(X.shape[1])
    for numbers in {t.numbers for t in terms}:
        columns = [c for t in terms if t.numbers == numbers and t.variables for c in t.coefficients]
        if columns and variance[columns].any():
            unit[columns] = np.sqrt(variance[columns].mean())
    return unit
