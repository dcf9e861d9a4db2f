"""Rows of the linear predictor as functionals of (beta, u): for the data of the fit, or for new data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from mixedfx.design.design import Design
from mixedfx.design.frame import nearest
from mixedfx.design.functional import Functional, NewLevel
from mixedfx.design.grouping import NewCodes
from mixedfx.design.labels import quoted
from mixedfx.design.spec import Replay, ReplayedTerm
from mixedfx.errors import DataError, UnseenLevelError, UnseenLevelsWarning

Array = NDArray[np.float64]


def functional_for(
    design: Design, newdata: Any = None, new_levels: Literal["error", "population", "sample"] = "error"
) -> Functional:
    """Write X beta + Z u + offset as functionals, for the rows of the fit or for new ones.

    Parameters
    ----------
    design
        The design of the fit.
    newdata
        Any frame with the columns of the fixed part and of the left sides; None means the rows of the fit. Where it
        lacks a grouping column, the effects of that term are set to their population mean of zero and its label is
        listed in `Functional.averaged`. An ``offset=`` that was given as an array is known for the rows of the fit
        only; offsets written in the formula, or given by the name of a column, are evaluated anew.
    new_levels
        What to do with levels that the fit has not seen. ``"error"`` refuses; ``"population"`` sets their effects to
        zero; ``"sample"`` gives each (term, level) columns of its own in `Functional.new`, so that rows of one level
        share one draw and different levels are independent. Either of the last two marks the row in
        `Functional.unseen`.

    Returns
    -------
    Functional
        m rows. Those that need columns dropped from the fixed part say so in `Functional.estimable`.

    Raises
    ------
    UnseenLevelError
        Levels that the fit has not seen, under ``"error"``; such levels in the fixed part, always.
    DataError
        New data that lack a column or a value.

    Warns
    -----
    UnseenLevelsWarning
        Under ``"sample"``, listing the levels.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.build import build_design
    >>> from mixedfx.design.rows import functional_for
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0, 1, 2, 0, 1, 2], "g": list("aabbcc")})
    >>> built = build_design("y ~ x + (1 | g)", data, sigma_free=False)
    >>> rows = functional_for(built, pd.DataFrame({"x": [5, 5], "g": ["b", "z"]}), new_levels="population")
    >>> rows.fixed.tolist(), rows.random.toarray().tolist(), rows.unseen.tolist()
    ([[1.0, 5.0], [1.0, 5.0]], [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [0.0, 1.0])
    """
    if new_levels not in ("error", "population", "sample"):
        raise DataError(f"new_levels='{new_levels}' is not known", hint="Use 'error', 'population' or 'sample'.")
    if newdata is None:
        blocks = [(t.codes, t.z) for t in design.random]
        n = len(design.y)
        random = _sparse(blocks, design.starts[:-1], n, design.n_random)
        return Functional(design.X, random, sparse.csr_array((n, 0)), (), design.offset, np.zeros(n))

    replay = design.spec.replay(newdata)
    m = len(replay.X)
    found = [t.new for t in replay.terms if t.new is not None]
    if any(new.unseen for new in found):
        if new_levels == "error":
            raise _unseen_error(found)
        if new_levels == "sample":
            _refuse_related(design, replay)
            _warn_unseen(found)
    unseen = np.zeros(m)
    for new in found:
        unseen[new.codes < 0] = 1.0
    known = [(t.new.codes, t.z) if t.new is not None and t.z is not None else None for t in replay.terms]
    random = _sparse(known, design.starts[:-1], m, design.n_random)
    columns, levels = sparse.csr_array((m, 0)), ()
    if new_levels == "sample":
        columns, levels = _new_columns(replay.terms, m)
    averaged = tuple(dict.fromkeys(t.label for t, r in zip(design.random, replay.terms, strict=True) if r.absent))
    return Functional(replay.X, random, columns, levels, replay.offset, unseen, averaged, replay.null)


def _refuse_related(design: Design, replay: Replay) -> None:
    """Refuse to draw effects of levels whose correlations with those of the fit are not known."""
    for term, new in zip(design.random, replay.terms, strict=True):
        if term.relation is not None and new.new is not None and new.new.unseen:
            raise UnseenLevelError(
                f"nothing is known of how the levels {quoted(new.new.unseen)} are related to those of '{term.label}'",
                hint='Use new_levels="population".',
            )


def _sparse(
    blocks: Sequence[tuple[NDArray[np.intp], Array] | None], starts: NDArray[np.intp], m: int, q: int
) -> sparse.csr_array:
    """(m, q) matrix from the codes (m,) and covariates (m, k) of each term; code -1 and None leave no entry."""
    values, places = [], []
    for block, start in zip(blocks, starts, strict=True):
        if block is None:
            continue
        codes, z = block
        k = z.shape[1]
        values.append(np.where(codes[:, None] < 0, 0.0, z) if (codes < 0).any() else z)
        places.append(start + codes[:, None] * k + np.arange(k))
    if not values:
        return sparse.csr_array((m, q))
    data = np.concatenate(values, axis=1)
    index = np.concatenate(places, axis=1)
    dtype = np.int32 if max(q, data.size) < np.iinfo(np.int32).max else np.int64
    filled = data != 0
    if filled.all():
        ends = np.arange(0, data.size + 1, data.shape[1], dtype=dtype)
        return sparse.csr_array((data.ravel(), index.astype(dtype).ravel(), ends), shape=(m, q))
    ends = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(dtype)
    return sparse.csr_array((data[filled], index[filled].astype(dtype), ends), shape=(m, q))


def _new_columns(terms: Sequence[ReplayedTerm], m: int) -> tuple[sparse.csr_array, tuple[NewLevel, ...]]:
    """Columns for the unseen levels: a block of k for each (term, level)."""
    blocks, starts, levels, at = [], [], [], 0
    for t, term in enumerate(terms):
        if term.new is None or term.z is None or not term.new.unseen:
            continue
        blocks.append((term.new.unseen_codes, term.z))
        starts.append(at)
        levels += [NewLevel(t, level) for level in term.new.unseen]
        at += len(term.new.unseen) * term.z.shape[1]
    return _sparse(blocks, np.array(starts, dtype=np.intp), m, at), tuple(levels)


def _unseen_error(found: Sequence[NewCodes]) -> UnseenLevelError:
    values, combinations = _findings(found)
    lines = [f"new level{'' if len(v) == 1 else 's'} of '{c}': {_listed(c, v, found)}" for c, v in values.items()]
    lines += [f"new combination{'' if len(v) == 1 else 's'} of '{c}': {quoted(v)}" for c, v in combinations.items()]
    return UnseenLevelError(
        "the new data have levels of grouping factors that the fit has not seen:\n  " + "\n  ".join(lines),
        hint="Correct the spelling, or pass new_levels='population' (their effects are zero) or new_levels='sample' "
        "(their effects are drawn from the population).",
    )


def _warn_unseen(found: Sequence[NewCodes]) -> None:
    values, combinations = _findings(found)
    for column, levels in values.items():
        warnings.warn(
            f"'{column}' has levels that the fit has not seen: {_listed(column, levels, found)}. Their "
            "effects are drawn from the population; if one is a typing error, correct it.",
            UnseenLevelsWarning,
            stacklevel=4,
        )
    for grouping, levels in combinations.items():
        warnings.warn(
            f"combinations of '{grouping}' without data in the fit: {quoted(levels)}. Each part is known; the effects "
            "of the combinations themselves are drawn from the population.",
            UnseenLevelsWarning,
            stacklevel=4,
        )


def _listed(column: str, levels: Sequence[str], found: Sequence[NewCodes]) -> str:
    """List new levels of a column; where one is close to a known level, say so."""
    known = next(new.known[new.columns.index(column)] for new in found if column in new.columns)
    hint = nearest(levels[0], known) if len(levels) == 1 else None
    return quoted(levels) + (f" ({hint[0].lower()}{hint[1:]})" if hint else "")


def _findings(found: Sequence[NewCodes]) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Values never seen, by column, and new combinations of values each of which was seen, by grouping factor."""
    values: dict[str, tuple[str, ...]] = {}
    combinations: dict[str, tuple[str, ...]] = {}
    for new in found:
        values |= new.unseen_values
        if new.combinations:
            combinations[":".join(new.columns)] = new.combinations
    return values, combinations
