"""Designs of rows drawn again: groups with replacement, copies of groups, some of the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedfx.design.columns import Columns
from mixedfx.design.design import Design, RandomTerm, RowReport
from mixedfx.design.grouping import rows_of
from mixedfx.design.precision import Correlated
from mixedfx.design.rank import independent_columns
from mixedfx.errors import ModelError, OptionError

Codes = NDArray[np.intp]


def nested_in(inner: Codes, outer: Codes) -> bool:
    """Whether every level of `inner` lies within one level of `outer`; both (n,)."""
    width = int(outer.max(initial=0)) + 1
    return len(np.unique(inner * width + outer)) == len(np.unique(inner))


def cluster_of(design: Design, cluster: str | None = None) -> Codes:
    """(n,) the groups that are independent of each other: what a cluster bootstrap draws.

    Parameters
    ----------
    design
        The design of the fit.
    cluster
        Label of a grouping factor, or a column of the design's frame; None: the factor that all others are nested in.

    Raises
    ------
    OptionError
        No such factor; or none was named and the factors are crossed, so that there are no independent groups.
    """
    terms = {term.label: term.codes for term in design.random}
    if cluster is None:
        for codes in terms.values():
            if all(nested_in(other, codes) for other in terms.values()):
                return codes
        if not terms:
            raise OptionError(
                "a model without random terms has no groups to draw", hint="Name a column: cluster='...'."
            )
        raise OptionError(
            "the grouping factors are crossed, so that no groups are independent of each other",
            hint=f"Choose the factor to draw: cluster={next(iter(terms))!r}.",
        )
    if cluster in terms:
        return terms[cluster]
    if cluster in design.frame.columns:
        codes = np.unique(design.frame[cluster].astype(str).to_numpy(), return_inverse=True)[1]
        return codes.reshape(-1).astype(np.intp)
    names = dict.fromkeys([*terms, *map(str, design.frame.columns)])
    raise OptionError(f"cluster={cluster!r} is not known", hint=f"Use one of {', '.join(map(repr, names))}.")


def resample_rows(design: Design, codes: Codes, drawn: Codes) -> Design:
    """The rows of the groups drawn, each draw a group of its own.

    Parameters
    ----------
    design
        n rows.
    codes
        (n,) group of each row.
    drawn
        Groups drawn, any number of them.

    Raises
    ------
    ModelError
        If the columns of X are linearly dependent on the rows drawn.
    """
    own = rows_of(codes)
    return take_copies(design, [own[g] for g in drawn], codes)


def take_copies(design: Design, rows: list[Codes], codes: Codes) -> Design:
    """A design of these rows of one group after the other, each a group of its own: levels nested in it are new.

    Raises
    ------
    ModelError
        If the columns of X are linearly dependent on these rows.
    """
    at = np.concatenate(rows)
    copy = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    return take_rows(design, at, [_copied(term, at, copy, codes) for term in design.random])


def take_rows(design: Design, rows: Codes, keys: list[Codes]) -> Design:
    """A design of the rows given (repeats allowed), with the levels of each term numbered by its key.

    Raises
    ------
    ModelError
        If the columns of X are linearly dependent on these rows.
    """
    X = np.ascontiguousarray(design.X[rows])
    if len(independent_columns(X)) < X.shape[1]:
        raise ModelError("the fixed part cannot be estimated from the rows drawn")
    terms = []
    for term, key in zip(design.random, keys, strict=True):
        _, first, new = np.unique(key, return_index=True, return_inverse=True)
        new = new.reshape(-1).astype(np.intp)
        old = term.codes[rows][first]
        if term.relation is not None and len(np.unique(old)) < len(old):
            raise ModelError(
                f"levels of '{term.label}' are related, and copies of one cannot be drawn as if they were others",
                hint="Use the parametric or the residual bootstrap.",
            )
        relation = None if term.relation is None else term.relation[np.ix_(old, old)]
        levels = tuple(str(level) for level in range(int(new.max()) + 1))
        terms.append(replace(term, levels=levels, codes=new, z=term.z[rows].copy(), relation=relation))
    return replace(
        design, y=design.y[rows], X=X, random=tuple(terms), offset=design.offset[rows],
        weights=None if design.weights is None else design.weights[rows],
        trials=None if design.trials is None else design.trials[rows],
        known_sd=None if design.known_sd is None else design.known_sd[rows],
        known_covariance=None if design.known_covariance is None else Correlated(design.known_covariance).take(rows).V,
        dispersion=None if design.dispersion is None else design.dispersion.take(rows),
        columns=None if design.columns is None else Columns.of(design.frame.iloc[rows].reset_index(drop=True)),
        rows=RowReport(len(rows), np.arange(len(rows))),
    )  # fmt: skip


def _copied(term: RandomTerm, rows: Codes, copy: Codes, codes: Codes) -> Codes:
    """Numbers of the levels of one term on the rows drawn: by copy where the term is nested in what is drawn."""
    old = term.codes[rows]
    return copy * term.n_levels + old if nested_in(term.codes, codes) else old
