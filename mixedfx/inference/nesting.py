"""Whether one model is a special case of another, seen from their designs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.structures import is_special_case
from mixedfx.design.design import Design, RandomTerm

Vector = NDArray[np.float64]

SPAN = 1e-7  # part of a column outside a span, relative to what it varies about its mean, that is rounding
ROUNDING = 1e-10  # and relative to its whole size, for one that hardly varies


def in_span(inner: Vector, outer: Vector) -> bool:
    """Whether the columns of `inner` (n, a) are combinations of those of `outer` (n, b)."""
    if inner.shape[1] == 0:
        return True
    if outer.shape[1] == 0:
        return not np.any(inner)
    size = np.linalg.norm(inner, axis=0)
    size[size == 0] = 1.0
    Q = np.linalg.qr(outer)[0]
    scaled = inner / size
    rest = np.linalg.norm(scaled - Q @ (Q.T @ scaled), axis=0)
    varies = np.linalg.norm(scaled - scaled.mean(axis=0), axis=0)
    return bool(np.all(rest < np.maximum(SPAN * varies, ROUNDING)))


def same_span(first: Vector, second: Vector) -> bool:
    """Whether two matrices have the same column space."""
    return first.shape[1] == second.shape[1] and in_span(first, second)


def nested(small: Design, large: Design) -> bool:
    """Whether one model is seen to be a special case of another; by names, where rows are not held."""
    if not (small.held and large.held):
        return _nested_by_name(small, large)
    spread = [np.zeros((len(d.y), 0)) if d.dispersion is None else d.dispersion.columns for d in (small, large)]
    return (
        in_span(small.X, large.X)
        and in_span(*(np.column_stack([np.ones(len(D)), D]) for D in spread))
        and all(any(_term_nested(term, other) for other in large.random) for term in small.random)
    )


def _nested_by_name(small: Design, large: Design) -> bool:
    """Whether all columns of one model have names of the other's, and its random terms structures that hold theirs."""
    return set(small.fixed_names) <= set(large.fixed_names) and all(
        any(_within_by_name(term, other) for other in large.random) for term in small.random
    )


def _within_by_name(small: RandomTerm, large: RandomTerm) -> bool:
    if small.label != large.label or not set(small.columns) <= set(large.columns) or not _same_relation(small, large):
        return False
    if large.correlated or (small.n_columns == large.n_columns == 1):
        return True
    return is_special_case(small.covariance, large.covariance, [large.columns.index(c) for c in small.columns])


def _term_nested(small: RandomTerm, large: RandomTerm) -> bool:
    """Whether every covariance of one term is one of the other's."""
    if not np.array_equal(_canonical(small.codes), _canonical(large.codes)) or not _same_relation(small, large):
        return False
    if large.correlated or (small.n_columns == large.n_columns == 1):
        return in_span(small.z, large.z)
    places = [next((i for i, b in enumerate(large.z.T) if np.array_equal(a, b)), -1) for a in small.z.T]
    found = -1 not in places and len(set(places)) == len(places)
    return found and is_special_case(small.covariance, large.covariance, places)


def _same_relation(small: RandomTerm, large: RandomTerm) -> bool:
    if small.relation is None or large.relation is None:
        return small.relation is large.relation
    at = [large.levels.index(level) for level in small.levels if level in large.levels]
    return len(at) == len(large.levels) and np.array_equal(small.relation, large.relation[np.ix_(at, at)])


def _canonical(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Codes numbered by first appearance, so that equal partitions have equal codes."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
