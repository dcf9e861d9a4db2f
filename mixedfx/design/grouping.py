"""Grouping factors: columns -> codes of levels, interactions by their observed combinations only.

An interaction g1:g2:g3 is coded one factor at a time. With c the codes so far and d those of the next factor of m
levels, the key c * m + d orders the combinations as their factors are ordered, and renumbering the observed keys from
0 keeps both the order and the size (at most n), so nothing overflows however many factors there are. The keys of each
step are kept: new data take the same steps, and a key that is not among them is a combination the fit has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import Frame, category_codes, column
from mixedfx.design.labels import level_label
from mixedfx.errors import DataError

Codes = NDArray[np.intp]


def compress(keys: NDArray[np.int64]) -> tuple[Codes, NDArray[np.int64]]:
    """Renumber keys by rank: codes (n,) from 0 in increasing order of the keys, and the sorted distinct keys."""
    if len(keys) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64)
    low, high = int(keys.min()), int(keys.max())
    if high - low <= 4 * len(keys) + 1024:  # a table over the range beats hashing by far
        offset = keys - low if low else keys
        present = np.zeros(high - low + 1, dtype=bool)
        present[offset] = True
        if present.all():
            return offset.astype(np.intp, copy=False), np.arange(low, high + 1)
        rank = np.cumsum(present, dtype=np.intp) - 1
        return rank[offset], np.flatnonzero(present).astype(np.int64) + low
    codes, distinct = pd.factorize(keys, sort=True)
    return codes.astype(np.intp, copy=False), np.asarray(distinct, dtype=np.int64)


def level_codes(values: pd.Series) -> tuple[Codes, tuple[str, ...]]:
    """Codes and labels of the levels of a plain column: sorted, or in the order of its categories.

    Raises
    ------
    DataError
        Where two levels would have the same label.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, seen = compress(category_codes(values).astype(np.int64))
        levels = values.dtype.categories
        levels = levels if len(seen) == len(levels) else levels[seen]
    elif values.dtype.kind in "iu" and values.dtype != np.uint64:
        codes, levels = compress(values.to_numpy(dtype=np.int64))
    else:
        numbers, levels = pd.factorize(values, sort=True)
        codes = numbers.astype(np.intp, copy=False)
    if levels.dtype == "str":  # distinct as they are
        return codes, tuple(levels.tolist())
    if levels.dtype.kind in "iu":
        return codes, tuple(map(str, levels.tolist()))
    labels = tuple(str(v) for v in levels.tolist()) if _is_text(levels) else tuple(map(level_label, levels))
    if len(set(labels)) != len(labels):
        twice = next(v for v in labels if labels.count(v) > 1)
        raise DataError(f"two levels of '{values.name}' are both written '{twice}'", hint="Give them different names.")
    return codes, labels


def _is_text(levels: NDArray[np.int64] | pd.Index) -> bool:
    return isinstance(levels, pd.Index) and levels.inferred_type == "string"


@dataclass(frozen=True)
class Grouping:
    """What a grouping factor learnt from the data of the fit.

    Attributes
    ----------
    columns
        The data columns, in order.
    column_levels
        Levels of each column, as text, in the order of their codes.
    keys
        For each column after the first, the sorted keys observed up to it.
    levels
        The q observed levels, joined with ``:``.
    """

    columns: tuple[str, ...]
    column_levels: tuple[tuple[str, ...], ...]
    keys: tuple[NDArray[np.int64], ...]
    levels: tuple[str, ...]


@dataclass(frozen=True)
class NewCodes:
    """A grouping factor on new data.

    Attributes
    ----------
    columns, known
        The data columns and their levels in the fit, as in `Grouping`.
    codes
        (m,) level in the fit, -1 where it is unseen.
    unseen
        Labels of the unseen levels.
    unseen_codes
        (m,) position in `unseen`, -1 where the level was seen.
    unseen_values
        Column -> values of it that the fit has never seen, alone or combined.
    combinations
        The entries of `unseen` that combine values each of which the fit has seen.
    """

    columns: tuple[str, ...]
    known: tuple[tuple[str, ...], ...]
    codes: Codes
    unseen: tuple[str, ...]
    unseen_codes: Codes
    unseen_values: dict[str, tuple[str, ...]]
    combinations: tuple[str, ...]


def group(frame: Frame, columns: Sequence[str]) -> tuple[Codes, Grouping]:
    """Codes (n,) of a grouping factor and what repeats them on new data.

    Examples
    --------
    >>> import pandas as pd
    >>> from mixedfx.design.grouping import group
    >>> data = pd.DataFrame({"race": ["b", "w", "b"], "gender": ["m", "f", "m"]})
    >>> codes, grouping = group(data, ["race", "gender"])
    >>> codes.tolist(), grouping.levels
    ([0, 1, 0], ('b:m', 'w:f'))
    """
    codes, first = level_codes(column(frame, columns[0]))
    column_levels, keys, labels = [first], [], list(first)
    for name in columns[1:]:
        codes_next, levels_next = level_codes(column(frame, name))
        codes, observed = compress(codes * np.int64(len(levels_next)) + codes_next)
        before, last = np.divmod(observed, max(len(levels_next), 1))
        labels = [f"{labels[b]}:{levels_next[c]}" for b, c in zip(before.tolist(), last.tolist(), strict=True)]
        column_levels.append(levels_next)
        keys.append(observed)
    if len(columns) > 1 and len(set(labels)) != len(labels):
        twice = next(v for v in labels if labels.count(v) > 1)
        raise DataError(
            f"two combinations of {', '.join(columns)} are both written '{twice}'",
            hint="Take the ':' out of the levels of these columns.",
        )
    return codes, Grouping(tuple(columns), tuple(column_levels), tuple(keys), tuple(labels))


def regroup(frame: Frame, grouping: Grouping) -> NewCodes:
    """Code the same grouping factor on new rows; levels are matched by their labels."""
    codes: Codes | None = None
    new: Codes | None = None  # codes of the combinations as they occur in the new data
    labels: list[str] = []
    fresh: list[bool] = []  # whether a combination holds a value that no row of the fit had
    unseen_values: dict[str, tuple[str, ...]] = {}
    for step, (name, known) in enumerate(zip(grouping.columns, grouping.column_levels, strict=True)):
        own, own_levels = level_codes(column(frame, name))
        position = {label: i for i, label in enumerate(known)}
        to_known = np.array([position.get(label, -1) for label in own_levels], dtype=np.intp)
        unknown = [label for label in own_levels if label not in position]
        if unknown:
            unseen_values[name] = tuple(unknown)
        known_codes = to_known[own] if len(own_levels) else own
        if codes is None or new is None:
            codes, new, labels = known_codes, own, list(own_levels)
            fresh = [label not in position for label in own_levels]
            continue
        observed = grouping.keys[step - 1]
        key = codes * np.int64(len(known)) + known_codes
        place = np.searchsorted(observed, key)
        place[place == len(observed)] = 0
        found = (codes >= 0) & (known_codes >= 0) & (observed[place] == key)
        codes = np.where(found, place, -1)
        new, combined = compress(new * np.int64(len(own_levels)) + own)
        before, last = np.divmod(combined, max(len(own_levels), 1))
        pairs = list(zip(before.tolist(), last.tolist(), strict=True))
        labels = [f"{labels[b]}:{own_levels[c]}" for b, c in pairs]
        fresh = [fresh[b] or own_levels[c] not in position for b, c in pairs]
    assert codes is not None
    assert new is not None
    lacking, lacking_levels = compress(new[codes < 0].astype(np.int64))
    unseen_codes = np.full(len(codes), -1, dtype=np.intp)
    unseen_codes[codes < 0] = lacking
    return NewCodes(
        grouping.columns,
        grouping.column_levels,
        codes,
        tuple(labels[i] for i in lacking_levels),
        unseen_codes,
        unseen_values,
        tuple(labels[i] for i in lacking_levels if not fresh[i]),
    )


def rows_of(codes: NDArray[np.intp], n_levels: int = 0) -> list[NDArray[np.intp]]:
    """Rows of each level, in their order; levels beyond the largest code, up to `n_levels`, have none."""
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_levels))[:-1])
