"""The first reading of rows that are not held: which are used, which levels there are, and a sample of them.

What a design learns from all rows at once in memory is learnt here a batch at a time:

* which rows have a missing value or a weight of zero, counted by column as `mixedfx.design.select` counts them;
* the levels of columns that are not numbers, and the combinations of the columns of each grouping factor;
* some thousand rows from all over the source, among them one with each level: columns that are made of them have the
  levels that those of all rows have (`mixedfx.design.streamed`).

Distinct values are gathered batch by batch and put together when they have doubled, so that a source that is sorted by
its groups costs no more than one that is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.columns import category_codes
from mixedfx.design.frame import column, missing, plain
from mixedfx.design.labels import is_number
from mixedfx.design.select import refuse_infinite, refuse_missing, refuse_negative
from mixedfx.design.streams import Stream
from mixedfx.errors import DataError

Array = NDArray[np.float64]

SAMPLE = 20_000  # rows kept, or up to twice as many
PER_BATCH = 512  # rows of a batch that are kept at first
MOST_LEVELS = 20_000  # distinct values of a column in a formula's fixed part or left side


@dataclass
class Used:
    """The rows of one batch that a design uses.

    Attributes
    ----------
    frame
        Their plain columns.
    places
        Their positions in the source as it was read.
    weights
        Their weights; None where there are none.
    total, missing, dropped_missing, dropped_zero
        Rows of the batch; column -> rows that lack it; rows dropped.
    """

    frame: pd.DataFrame
    places: NDArray[np.intp]
    weights: Array | None
    total: int
    missing: dict[str, int]
    dropped_missing: int
    dropped_zero: int


def used_rows(
    stream: Stream, columns: Sequence[str], weights: str | None, na: Literal["drop", "raise"]
) -> Iterator[Used]:  # fmt: skip
    """Read the columns once, and leave rows out as `mixedfx.design.select.choose_rows` does.

    Raises
    ------
    DataError
        Missing values where `na` is ``"raise"``; weights that are negative, infinite or no numbers.
    """
    begin = 0
    for frame in stream.frames(columns):
        n = len(frame)
        given = {str(name): values for name, values in frame.items()}
        masks = missing(given)
        if na == "raise":
            refuse_missing(masks, begin)
        keep = np.ones(n, dtype=bool)
        for mask in masks.values():
            keep &= ~mask
        complete, dropped_zero = int(keep.sum()), 0
        w = None if weights is None else _weights(given[weights], keep, begin)
        if w is not None:
            zero = keep & (w == 0.0)
            dropped_zero = int(zero.sum())
            keep &= ~zero
        every = complete == n and not dropped_zero
        places = np.arange(n) if every else np.flatnonzero(keep)
        kept = frame if every else frame.take(places)
        yield Used(
            kept, begin + places, None if w is None else w[places], n,
            {c: int(mask.sum()) for c, mask in masks.items()}, n - complete, dropped_zero,
        )  # fmt: skip
        begin += n


def _weights(values: pd.Series, keep: NDArray[np.bool_], begin: int) -> Array:
    """(n,) weights of a batch, NaN where they are missing."""
    try:
        w = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise DataError(
            f"weights are not numeric: the column '{values.name}' holds {values.dropna().iloc[:3].tolist()!r}"
        ) from None
    refuse_infinite("weights", w, begin)
    refuse_negative(np.where(keep, w, 0.0), begin)
    return w


class Combinations:
    """The distinct rows of a few columns, over all batches."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.known: pd.DataFrame | None = None
        self._waiting: list[pd.DataFrame] = []
        self._rows = 0

    def add(self, frame: pd.DataFrame) -> None:
        """Take in the plain columns of a batch."""
        first = _first_of_each([column(frame, name) for name in self.columns])
        self._waiting.append(frame[list(self.columns)].iloc[first])
        self._rows += len(first)
        if self._rows > max(2**18, 0 if self.known is None else len(self.known)):
            self._merge()

    def _merge(self) -> None:
        parts = [] if self.known is None else [self.known]
        whole = _stacked([*parts, *self._waiting])
        self.known = whole.iloc[_first_of_each([column(whole, name) for name in self.columns])]
        self._waiting, self._rows = [], 0

    def found(self) -> pd.DataFrame:
        """All of them, one a row."""
        if self._waiting:
            self._merge()
        assert self.known is not None
        return self.known.reset_index(drop=True)


def _first_of_each(columns: Sequence[pd.Series]) -> NDArray[np.intp]:
    """Positions of the first row of each combination of values."""
    n = len(columns[0])
    runs = np.arange(n)
    if n and all(values.dtype.kind in "iub" for values in columns):  # in a sorted source few rows differ from the last
        changes = np.ones(n, dtype=bool)
        changes[1:] = np.logical_or.reduce([np.diff(values.to_numpy()) != 0 for values in columns])
        runs = np.flatnonzero(changes)
        columns = [values.iloc[runs] for values in columns]
    if len(columns) == 1:
        return runs[~columns[0].duplicated().to_numpy()]
    key: NDArray[np.int64] | None = None
    for values in columns:
        categories = isinstance(values.dtype, pd.CategoricalDtype)
        codes = category_codes(values) if categories else pd.factorize(values)[0]
        codes = codes.astype(np.int64, copy=False)
        width = int(codes.max(initial=0)) + 1
        key = codes if key is None else pd.factorize(key)[0].astype(np.int64) * width + codes
    assert key is not None
    return runs[~pd.Series(key).duplicated().to_numpy()]


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Plain frames below each other; categories of all of them, in order of appearance."""
    if len(frames) == 1:
        return frames[0]
    names = [c for c in frames[0] if isinstance(frames[0][c].dtype, pd.CategoricalDtype)]
    if names:
        frames = [f.copy(deep=False) for f in frames]
        for name in names:
            categories: dict[Any, None] = {}
            for f in frames:
                categories |= dict.fromkeys(column(f, name).cat.categories)
            dtype = pd.CategoricalDtype(list(categories), ordered=bool(frames[0][name].cat.ordered))
            for f in frames:
                f[name] = column(f, name).astype(dtype)
    return pd.concat(frames, ignore_index=True)


@dataclass
class Learnt:
    """What the first reading found.

    Attributes
    ----------
    total, n
        Rows of the source, and those used.
    missing, dropped_missing, dropped_zero
        As `mixedfx.design.design.RowReport` has them.
    sample, sample_weights
        Rows from all over the source in plain columns, one with each level among them, and their weights.
    groups
        Columns of each grouping factor -> their combinations, a row each.
    categories
        Columns that are categories -> their type, with the categories that some row used has.
    states
        Where a database has read the rows: call of a transform -> what it learnt of them. The sample has all levels of
        expressions such as ``C(year)`` then. None where rows are read in batches.
    """

    total: int = 0
    n: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    dropped_missing: int = 0
    dropped_zero: int = 0
    sample: pd.DataFrame = field(default_factory=pd.DataFrame)
    sample_weights: Array | None = None
    groups: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict)
    categories: dict[str, pd.CategoricalDtype] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] | None = None

    def as_categories(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A batch with its categories those of all rows."""
        changed = {}
        for name, dtype in self.categories.items():
            if name in frame.columns and not _is_category(column(frame, name), dtype):
                changed[name] = _as_category(column(frame, name), dtype)
        return frame.assign(**changed) if changed else frame


def _is_category(values: pd.Series, dtype: pd.CategoricalDtype) -> bool:
    """Whether values have the categories of a type in its order; pandas takes types of another for equal."""
    own = values.dtype
    return isinstance(own, pd.CategoricalDtype) and own == dtype and own.categories.equals(dtype.categories)


def _as_category(values: pd.Series, dtype: pd.CategoricalDtype) -> pd.Series:
    """Values with the categories of a type in its order."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(dtype)
    return values.cat.set_categories(dtype.categories, ordered=bool(dtype.ordered))


class _Levels:
    """Levels of a column, and the rows in which they first appear."""

    def __init__(self, name: str) -> None:
        self.name, self.known = name, set[Any]()

    def new(self, values: pd.Series) -> NDArray[np.intp]:
        """Positions of rows that have a level not met before."""
        first = np.flatnonzero(~values.duplicated().to_numpy())
        fresh = [int(i) for i, v in zip(first, values.iloc[first].tolist(), strict=True) if v not in self.known]
        self.known.update(values.iloc[fresh].tolist())
        if len(self.known) > MOST_LEVELS:
            raise self._too_many()
        return np.array(fresh, dtype=np.intp)

    def _too_many(self) -> DataError:
        """Say what so many levels may be: numbers that a few cells have turned into text, or names of groups."""
        texts = [v for v in self.known if isinstance(v, str)]
        words = [v for v in texts if not is_number(v)]
        if len(words) < len(texts) // 2:
            example = f" ({words[0]!r} is one that is none)" if words else ""
            return DataError(
                f"'{self.name}' is a column of text in which most cells are numbers{example}",
                hint="Repair these cells, or leave them empty, so that the column is read as numbers.",
            )
        return DataError(
            f"'{self.name}' has more than {MOST_LEVELS:,} levels in the fixed part or a left side",
            hint=f"Write (1 | {self.name}) for a random intercept of each level, or cut it into fewer.",
        )


def first_pass(
    stream: Stream, columns: Sequence[str], groups: Sequence[tuple[str, ...]],
    weights: str | None, na: Literal["drop", "raise"], valued: Sequence[str],
) -> Learnt:  # fmt: skip
    """Read the columns once and learn what `Learnt` holds.

    Parameters
    ----------
    stream
        The source.
    columns
        All that is needed of it.
    groups
        Columns of each grouping factor.
    weights
        Column of precision weights.
    na
        ``"drop"`` or ``"raise"``.
    valued
        Columns of the fixed part, left sides, response and offsets: what is no number among them has levels.

    Raises
    ------
    DataError
        As `used_rows`, and where no row is left.
    """
    learnt = Learnt()
    gathered = {group: Combinations(group) for group in dict.fromkeys(groups)}
    levels: dict[str, _Levels] = {}
    categories: dict[str, tuple[dict[Any, None], bool]] = {}
    kept: list[pd.DataFrame] = []
    kept_weights: list[Array] = []
    share = PER_BATCH
    for used in used_rows(stream, columns, weights, na):
        learnt.total += used.total
        learnt.dropped_missing += used.dropped_missing
        learnt.dropped_zero += used.dropped_zero
        for name, count in used.missing.items():
            learnt.missing[name] = learnt.missing.get(name, 0) + count
        for name, values in used.frame.items():
            if isinstance(values.dtype, pd.CategoricalDtype):
                known, ordered = categories.get(str(name), ({}, bool(values.cat.ordered)))
                categories[str(name)] = known | dict.fromkeys(values.cat.categories), ordered
        n = len(used.frame)
        if not n:
            continue
        frame = plain(used.frame).reset_index(drop=True)
        learnt.n += n
        for group in gathered.values():
            group.add(frame)
        rows = [np.unique(np.linspace(0, n - 1, min(share, n)).astype(np.intp))]
        for name in valued:
            if column(frame, name).dtype.kind not in "iufmM":
                rows.append(levels.setdefault(name, _Levels(name)).new(column(frame, name)))
        chosen = np.unique(np.concatenate(rows))
        kept.append(frame.iloc[chosen])
        if used.weights is not None:
            kept_weights.append(used.weights[chosen])
        if sum(map(len, kept)) > 2 * SAMPLE and share > 4:
            kept, kept_weights = _thinned(kept, kept_weights, levels)
            share //= 2
    if not learnt.n:
        raise no_rows(learnt)
    learnt.sample = _stacked(kept)
    learnt.sample_weights = np.concatenate(kept_weights) if kept_weights else None
    learnt.groups = {name: group.found() for name, group in gathered.items()}
    for name, (known, ordered) in categories.items():
        seen = _categories_seen(name, levels, learnt.groups)
        learnt.categories[name] = pd.CategoricalDtype([c for c in known if seen is None or c in seen], ordered)
    learnt.sample = learnt.as_categories(learnt.sample)
    learnt.groups = {name: learnt.as_categories(frame) for name, frame in learnt.groups.items()}
    return learnt


def _categories_seen(
    name: str, levels: Mapping[str, _Levels], groups: Mapping[tuple[str, ...], pd.DataFrame]
) -> set[Any] | None:
    """Categories that some row used has; None where nobody looked."""
    if name in levels:
        return levels[name].known
    for columns, frame in groups.items():
        if name in columns:
            return set(column(frame, name).unique())
    return None


def _thinned(
    kept: list[pd.DataFrame], weights: list[Array], levels: Mapping[str, _Levels]
) -> tuple[list[pd.DataFrame], list[Array]]:
    """Every other row of a sample, and all that are the first of their level."""
    whole = _stacked(kept)
    stay = np.zeros(len(whole), dtype=bool)
    stay[::2] = True
    for name in levels:
        stay |= ~column(whole, name).duplicated().to_numpy()
    return [whole.iloc[np.flatnonzero(stay)]], [np.concatenate(weights)[stay]] if weights else []


def unplaced(n: int) -> NDArray[np.intp]:
    """(n,) positions in the source of rows of a sample, where messages shall have none: -1 each."""
    return np.full(n, -1, dtype=np.intp)


def no_rows(learnt: Learnt) -> DataError:
    """The error of a source of which no row is left, saying why."""
    reasons = [f"{count} lack '{name}'" for name, count in learnt.missing.items()]
    reasons += [f"{learnt.dropped_zero} have a weight of zero"] if learnt.dropped_zero else []
    return DataError(
        "the data have no rows" if not learnt.total else f"no rows are left: of {learnt.total}, " + ", ".join(reasons),
        hint="Leave columns that are always missing out of the formula."
        if reasons and not learnt.dropped_zero
        else None,
    )
