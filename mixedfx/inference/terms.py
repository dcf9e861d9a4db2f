r"""Hypotheses about the terms of a formula: contrast matrices of type I, II and III tests, and of single deletions.

Every hypothesis is "X beta lies in a smaller space", so that it does not depend on how factors are coded.

* **Type I** (sequential): the rows of R in X = Q R that belong to the columns of the term: its columns after those
  before it have been taken out.
* **Type II**: the same with X reordered, terms that do not contain the term first, then the term, then those that
  contain it. A term contains another if it has all its variables and differs from it by factors only.
* **Type III** (marginal): the term's coefficients under sum-to-zero coding, in which the average over the levels of
  every other factor, each level counted once, is at zero. With X_s the sum-coded columns and X = X_s M, these are
  M beta, whatever coding X has. Numeric columns, and whole terms, that were dropped as aliased are no part of the
  model. Null vectors of X_s that are left, N, come from cells without data or from numbers that a factor determines. A
  term that N does not touch has M beta all the same; one that it touches is tested as X beta in the span of the other
  terms, which is the same hypothesis where that is defined, unless it is averaged over another factor, or another term
  over it: then there is no average, and an error.
* **Single deletion**: the columns of the formula without the term span X_0; the rows of L span the row space of
  (I - P_0) X.

Cross-products for types I and II are not weighted by V, which is what SAS and lmerTest do: the hypotheses then concern
the design alone, not the estimates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.design import Design
from mixedfx.design.parts import Part
from mixedfx.design.rank import TOLERANCE, independent_columns
from mixedfx.design.terms import Term
from mixedfx.errors import ModelError, check_option

Vector = NDArray[np.float64]

RANK = 1e-9  # size of a residual, relative to its column, that is rounding


def fixed_terms(design: Design) -> tuple[Term, ...]:
    """Terms of the fixed part that have a column in X."""
    return tuple(term for term in design.terms.fixed if term.coefficients)


def contains(term: Term, other: Term) -> bool:
    """Whether `other` has the variables of `term`, and besides them factors only."""
    return term is not other and term.numbers == other.numbers and term.factors < other.factors


def term_contrasts(design: Design, type: str = "III") -> dict[str, Vector]:
    """Contrast matrix (columns of the term, p) of each term but the intercept.

    Parameters
    ----------
    design
        What was fitted.
    type
        ``"I"``, ``"II"`` or ``"III"``.

    Raises
    ------
    OptionError
        For another type.
    ModelError
        For type III of terms that interact, where cells of their factors have no data.

    Examples
    --------
    >>> import mixedfx as mx
    >>> from mixedfx.inference.terms import term_contrasts
    >>> fit = mx.lmer("score ~ style + (1 | professor)", mx.datasets.load("flipped_classroom"))
    >>> term_contrasts(fit.design)["style"].round(2)  # differences of the first styles from the mean of all
    array([[ 0.  , -0.33, -0.33],
           [ 0.  ,  0.67, -0.33]])
    """
    check_option("type", type, ("I", "II", "III"))
    terms = list(fixed_terms(design))
    tested = [t for t in terms if t.variables]
    if not tested:
        return {}
    if type == "III":
        return _marginal(design, tested)
    if type == "I":
        return dict(zip((t.text for t in tested), _sequential(_columns(design), terms, tested), strict=True))
    out = {}
    for term in tested:
        after = [t for t in terms if contains(term, t)]
        order = [*(t for t in terms if t is not term and t not in after), term, *after]
        out[term.text] = _sequential(_columns(design), order, [term])[0]
    return out


def _implied(design: Design) -> bool:
    """Whether thresholds stand for the intercept, which the formula has and the columns have not."""
    return "Intercept" in design.spec.fixed.columns and "Intercept" not in (*design.fixed_names, *design.aliased)


def _columns(design: Design) -> Vector:
    """(n, p) fixed part; less its means where thresholds come before all columns."""
    return design.X - design.X.mean(axis=0) if _implied(design) else design.X


def _sequential(X: Vector, order: list[Term], wanted: list[Term]) -> list[Vector]:
    """For each wanted term, the rows of R that belong to it, X = Q R with the columns in the given order."""
    columns = [c for term in order for c in term.coefficients]
    R = np.linalg.qr(X[:, columns], mode="r")
    out, at = [], 0
    for term in order:
        size = len(term.coefficients)
        if term in wanted:
            L = np.zeros((size, X.shape[1]))
            # unit diagonal, as in Doolittle's factor of X'X
            L[:, columns] = R[at : at + size] / np.diag(R)[at : at + size, None]
            out.append(L)
        at += size
    return out


def _marginal(design: Design, tested: list[Term]) -> dict[str, Vector]:
    factors = frozenset().union(*(t.factors for t in tested))
    if not factors:
        return {t.text: np.eye(design.X.shape[1])[list(t.coefficients)] for t in tested}
    coded, part = recoded(design, design.spec.fixed.text, dict.fromkeys(factors, "sum"))
    coded, names = _without_dropped(design, coded, part)
    M = np.linalg.lstsq(coded, design.X, rcond=None)[0]
    if not np.allclose(coded @ M, design.X, atol=RANK * max(1.0, float(np.abs(design.X).max()))):
        raise ModelError("the sum-coded columns do not span those of the fit, so type III tests are not defined")
    touched = _touched_by_null_vectors(coded) if design.aliased else np.zeros(coded.shape[1], dtype=bool)
    linked = [t for t in tested if touched[names[t.text]].any()]
    for term in linked:
        others = [t for t in tested if contains(term, t) or contains(t, term)]
        if others:
            raise ModelError(
                "type III tests average over all cells of the factors, but the data do not determine all cells of "
                f"{max((term, *others), key=lambda t: len(t.variables)).text}: the columns {', '.join(design.aliased)} "
                "were dropped",
                hint='Use type="II", or leave out the interaction whose cells are empty.',
            )
    M = np.where(np.abs(M) < 1e-10 * np.abs(M).max(), 0.0, M)
    out = {}
    for term in tested:
        L = M[names[term.text]]
        if term in linked:
            L = deletion_contrast(design.X, _spanning(np.delete(coded, names[term.text], axis=1)))
        if len(L):
            out[term.text] = L
    return out


def _without_dropped(design: Design, coded: Vector, part: Part) -> tuple[Vector, dict[str, list[int]]]:
    """Sum-coded columns without what the fit dropped of numbers alone, or as a whole; positions of each term's."""
    terms = design.spec.reader.part(part)
    alone = {c for t in terms if not t.factors for c in t.coefficients if part.columns[c] in design.aliased}
    left = {t.text for t in fixed_terms(design)}
    gone = alone | {c for t in terms if t.text not in left for c in t.coefficients}
    if _implied(design):
        gone = {c for c in gone if part.columns[c] != "Intercept"}
    kept = [j for j in range(coded.shape[1]) if j not in gone]
    place = {c: j for j, c in enumerate(kept)}
    return coded[:, kept], {t.text: [place[c] for c in t.coefficients if c in place] for t in terms}


def _touched_by_null_vectors(X: Vector) -> NDArray[np.bool_]:
    """(k,) columns with a part in a null vector of X."""
    size = np.sqrt(np.einsum("np,np->p", X, X))
    scaled = X / np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.svd(np.linalg.qr(scaled, mode="r"))[1:]
    null = vectors[int((values > TOLERANCE * values[0]).sum()) :]
    return (np.abs(null) > 1e-6).any(axis=0) | (size == 0)


def _spanning(X: Vector) -> Vector:
    """Columns of full rank with the same span."""
    return X[:, independent_columns(X)]


def recoded(design: Design, text: str, contrasts: Mapping[str, object]) -> tuple[Vector, Part]:
    """Columns of another right-hand side on the rows of the design."""
    from mixedfx.design.expressions import Scope
    from mixedfx.design.parts import build_part

    scope = Scope.of(design.spec.env, contrasts)
    return build_part(text, design.frame, scope, design.rows.used)


def droppable(design: Design) -> tuple[Term, ...]:
    """Terms of the fixed part that no other term needs: all but the intercept and those whose variables recur."""
    terms = fixed_terms(design)
    return tuple(t for t in terms if t.variables and not any(t.variables < o.variables for o in terms if o is not t))


def without_term(design: Design, term: Term) -> tuple[Vector, tuple[str, ...]]:
    """Columns of full rank, and their names, of the fixed part without one term."""
    rest = [t for t in design.terms.fixed if t != term]
    implied = _implied(design)
    intercept = implied or any(not t.product for t in rest)
    text = " + ".join(["1" if intercept else "0", *(t.written for t in rest if t.product)])
    if text == "0":
        return np.zeros((len(design.y), 0)), ()
    used = {v for t in rest for v in t.variables}
    X, part = recoded(design, text, {k: v for k, v in design.spec.contrasts.items() if k in used})
    kept = [c for c in independent_columns(X) if not (implied and part.columns[int(c)] == "Intercept")]
    return np.ascontiguousarray(X[:, kept]), tuple(part.columns[int(c)] for c in kept)


def contrast_of_deletion(design: Design, term: Term) -> Vector:
    """(m, p) L with L beta = 0 where the fixed part has the span of its columns without one term."""
    rest = without_term(design, term)[0]
    return deletion_contrast(_columns(design), rest - rest.mean(axis=0) if _implied(design) else rest)


def deletion_contrast(X: Vector, X0: Vector) -> Vector:
    """(m, p) L with L beta = 0 where X beta lies in the span of X0; m may be zero."""
    size = np.sqrt(np.einsum("np,np->p", X, X))
    scaled = X / size
    if X0.shape[1]:
        Q = np.linalg.qr(X0)[0]
        scaled = scaled - Q @ (Q.T @ scaled)
    values, vectors = np.linalg.svd(np.linalg.qr(scaled, mode="r"))[1:]
    return vectors[values > 1e-7] * size
