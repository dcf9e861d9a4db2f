"""Sources whose rows a database sums up: what is asked of it, what comes back, and what a design makes of that.

Two questions are asked (`mixedfx.design.sql_queries`), and what they answer takes the place of both readings of rows in
batches: levels, counts and a sample in that of `mixedfx.design.first_pass`, and sums within cells in that of the rows,
from which the products of a design follow (`mixedfx.pls.cell_products`), taken in by the accumulator of all rows.

What a database is not asked is left to batches, and why is said: a formula with functions that it does not have or
that learn from the data, levels of types that come back as something else, values that are not finite (whose rows
batches name), and cells of few rows each, where nothing would be gained: a row costs half of what it costs in batches,
but a cell as much as fifteen rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedfx.design.databases import Database
from mixedfx.design.expressions import Scope
from mixedfx.design.first_pass import MOST_LEVELS, SAMPLE, Learnt, no_rows
from mixedfx.design.frame import column, plain
from mixedfx.design.group_codes import GroupCodes, other_rows
from mixedfx.design.parts import Part
from mixedfx.design.spec import DesignSpec
from mixedfx.design.sql_expressions import NotInSQL
from mixedfx.design.sql_learning import states_of
from mixedfx.design.sql_queries import cells_query, facts_query, learning_query, values
from mixedfx.design.sql_terms import Monomial, Needed, coded, needed
from mixedfx.design.streams import Stream
from mixedfx.errors import DataError, MixedfxError
from mixedfx.formula.mixed_formula import MixedFormula

Array = NDArray[np.float64]
Pushdown = bool | Literal["auto"]

MOST_SUMS = 400  # sums in one query: of 27 values
MOST_BYTES = 2**30  # that what comes back may take
WORTH = 30.0  # rows a cell must have on average for a database beside us to be faster than batches (measured)
SPLIT = 1024  # cells below which they are cut into parts
MOST_PARTS = 64


@dataclass(frozen=True)
class Cells:
    """Some cells: rows that share the levels of all factors, and what they add up to.

    Attributes
    ----------
    sums
        (q, m, m) sums of w d d', d = (1, v_1 - c_1, ..., v_K - c_K, y - c_y), m = K + 2.
    fixed
        (q, m, p) the columns of X as combinations of the entries of d: x = fixed' d.
    left
        For each random term (q, m, k) the same of its left side.
    levels
        For each random term (q,) its levels.
    """

    sums: Array
    fixed: Array
    left: tuple[Array, ...]
    levels: tuple[NDArray[np.intp], ...]


@dataclass(frozen=True, eq=False)
class Aggregates:
    """What came back of all rows.

    Attributes
    ----------
    database
        The name of the database.
    learnt
        What the first reading of batches would have found.
    frame
        (q) a row of each cell: its keys, and of other columns one row's value.
    counts
        (q,) its rows.
    sums
        (q, m, m) its sums of products about the centres, as `Cells` has them.
    centres
        (m - 1,) the centres of the monomials and the response.
    monomials
        The monomials, the constant first.
    lowest, highest, values, offset, square, log_weights
        As `mixedfx.design.streamed.RowFacts` has them, and the sum of the logarithms of the weights.
    """

    database: str
    learnt: Learnt
    frame: pd.DataFrame
    counts: NDArray[np.int64]
    sums: Array
    centres: Array
    monomials: tuple[Monomial, ...]
    lowest: float
    highest: float
    values: frozenset[float]
    offset: bool
    square: float
    log_weights: float

    @property
    def words(self) -> str:
        """What was done, in words."""
        return f"summed up by {self.database}: {len(self.counts):,} groups of rows came back"

    def sizes(self, codes: Mapping[tuple[str, ...], GroupCodes], spec: DesignSpec) -> list[NDArray[np.int64]]:
        """For each random term the rows (q,) of its levels."""
        out = []
        for random in spec.random:
            grouping = random.grouping
            level = codes[grouping.columns].of(self.frame)
            out.append(np.bincount(level, self.counts, len(grouping.levels)).astype(np.int64))
        return out

    def cells(
        self, spec: DesignSpec, codes: Mapping[tuple[str, ...], GroupCodes], size: int
    ) -> Iterator[Cells]:  # fmt: skip
        """Some cells at a time, with the coding of all columns in them and their levels."""
        scope = Scope.of(spec.env, spec.contrasts)
        for begin in range(0, len(self.counts), size):
            some = slice(begin, begin + size)
            frame = self.frame.iloc[some].reset_index(drop=True)
            made = {part.text: self._coded(part, frame, scope) for part in (spec.fixed, *(r.part for r in spec.random))}
            levels = {columns: ask.of(frame) for columns, ask in codes.items()}
            yield Cells(
                self.sums[some],
                made[spec.fixed.text],
                tuple(made[random.part.text] for random in spec.random),
                tuple(levels[random.grouping.columns] for random in spec.random),
            )

    def _coded(self, part: Part, frame: pd.DataFrame, scope: Scope) -> Array:
        """(q, m, k) the columns of a part in each cell, as combinations of 1 and the centred values."""
        coding, monomials = coded(part, frame, scope)
        out = np.zeros((len(frame), len(self.centres) + 1, coding.shape[1]))
        for j, monomial in enumerate(monomials):
            place = self.monomials.index(monomial)
            out[:, place, j] = coding[:, j]
            if place:
                out[:, 0, j] = coding[:, j] * self.centres[place - 1]
        return out


def aggregates(
    formula: MixedFormula, stream: Stream, columns: Sequence[str], weights: str | None, offset: str | None,
    na: Literal["drop", "raise"], env: Mapping[str, Any], asked: Pushdown,
) -> Aggregates | str:  # fmt: skip
    """Have a source sum up its rows; or why it does not.

    Parameters
    ----------
    formula, columns, weights, offset, na, env
        The formula, ``.`` expanded, the columns that it needs, and the arguments of a fit.
    stream
        The source.
    asked
        True, or ``"auto"``, where it has to be worth it.

    Raises
    ------
    DataError
        Where no row is left, or other rows come the second time.
    """
    stream.refuse_repeated(columns)
    database = f"{stream.what} has no database to sum it up" if stream.database is None else stream.database()
    if isinstance(database, str):
        return database
    try:
        return _aggregates(formula, stream, database, columns, weights, offset, na, env, asked)
    except NotInSQL as reason:
        return str(reason)
    except MixedfxError:
        raise
    except Exception as error:  # whatever a driver raises: rows of the same source may come all the same
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"{database.name} could not sum up the rows ({(lines or [type(error).__name__])[0]:.200})"


def _aggregates(
    formula: MixedFormula, stream: Stream, database: Database, columns: Sequence[str], weights: str | None,
    offset: str | None, na: Literal["drop", "raise"], env: Mapping[str, Any], asked: Pushdown,
) -> Aggregates:  # fmt: skip
    needs, states = needed(formula, columns, stream.types, env, weights, offset), {}
    if needs.learners:
        answer = database.ask(learning_query(needs, database.dialect)).to_pylist()[0]
        states = states_of(needs.learners, answer)
        needs = needed(formula, columns, stream.types, env, weights, offset, states)
    own = list(values(needs))
    n_sums = (len(own) + 1) * (len(own) + 2) // 2
    if n_sums > MOST_SUMS:
        raise NotInSQL(f"{len(own)} products of numbers would be {n_sums:,} sums in each group of rows")
    facts = database.ask(facts_query(needs, database.dialect)).to_pandas()
    learnt, used = _counts(facts, needs, na)
    _check(used, needs, own, learnt.n)
    cells = float(used["cells"])
    if cells * 8.0 * (n_sums + len(columns)) > MOST_BYTES:
        raise NotInSQL(f"the rows fall into some {cells:,.0f} groups, whose sums are too many to come back")
    if asked == "auto" and not database.remote and cells * WORTH > learnt.n:
        raise NotInSQL(f"the rows fall into some {cells:,.0f} groups, of fewer than {WORTH:.0f} rows on average")
    centres = np.array([float(used[f"mean_{name}"]) for name in own])
    ends = float(used["least_u"]), float(used["most_u"])
    parts = int(np.clip(SPLIT // max(cells, 1.0), 1, MOST_PARTS))
    table = database.ask(cells_query(needs, database.dialect, centres.tolist(), ends, parts))
    counts = table.column("n").to_numpy().astype(np.int64)
    sums = _sums(table, len(own) + 1)
    if counts.sum() != learnt.n or (weights is None and _moved(sums, float(centres[-1]), learnt.n)):
        raise other_rows()
    renamed = table.select([f"r{i}" for i in range(len(columns))]).rename_columns(list(columns))
    frame = plain(_as_pandas(stream, renamed, columns))
    learnt.categories = {
        str(name): one.dtype for name, one in frame.items() if isinstance(one.dtype, pd.CategoricalDtype)
    }
    learnt.groups = {term.group: _distinct(frame, term.group) for term in formula.random}
    learnt.sample = frame.iloc[_chosen(frame, needs)].reset_index(drop=True)
    if weights is not None:
        learnt.sample_weights = learnt.sample[weights].to_numpy(dtype=np.float64)
    learnt.states = states
    between = int(table.column("between_ends").to_numpy().sum())
    return Aggregates(
        database.name, learnt, frame, counts, sums, centres, ((), *needs.monomials),
        float(used["least_y"]), float(used["most_y"]), frozenset(ends if not between else (*ends, np.nan)),
        bool(used["least_o"] != 0.0 or used["most_o"] != 0.0), float(used["square"]),
        0.0 if weights is None else float(used["log_weights"]),
    )  # fmt: skip


def _moved(sums: Array, centre: float, n: int) -> bool:
    """Whether the response of n rows has another mean than its `centre`, which is the mean of the reading before.

    Rounding leaves a share of n times the centre: 1e-16 of sums that are compensated, more of others.
    """
    total, square = float(sums[:, 0, -1].sum()), float(sums[:, -1, -1].sum())
    return abs(total) > 1e-7 * np.sqrt(n * max(square, 0.0)) + 1e-10 * n * abs(centre)


def _as_pandas(stream: Stream, table: Any, columns: Sequence[str]) -> pd.DataFrame:
    import narwhals as nw

    return stream.as_pandas(nw.from_native(table, eager_only=True), columns)


def _counts(facts: pd.DataFrame, needs: Needed, na: Literal["drop", "raise"]) -> tuple[Learnt, dict[str, Any]]:
    """Which rows are used, and the row of the answer that tells of them."""
    flags = facts[[f"m{i}" for i in range(len(needs.columns))]].to_numpy(dtype=bool)
    n, zero = facts["n"].to_numpy(dtype=np.int64), facts["z"].to_numpy(dtype=bool)
    if needs.weights is not None and np.isinf(facts["most_w"].to_numpy(dtype=np.float64)).any():
        raise NotInSQL("a weight is infinite")
    complete = ~flags.any(axis=1)
    lacking = {name: int(n[flags[:, i]].sum()) for i, name in enumerate(needs.columns)}
    learnt = Learnt(total=int(n.sum()), n=int(n[complete & ~zero].sum()))
    learnt.missing = {name: count for name, count in lacking.items() if count}
    learnt.dropped_missing, learnt.dropped_zero = int(n[~complete].sum()), int(n[complete & zero].sum())
    if na == "raise" and learnt.missing:
        raise NotInSQL("values are missing")
    if not learnt.n:
        raise no_rows(learnt)
    used: dict[str, Any] = facts.iloc[int(np.flatnonzero(complete & ~zero)[0])].to_dict()
    if needs.weights is not None and used["least_w"] < 0.0:
        raise NotInSQL("a weight is negative")
    return learnt, used


def _check(used: Mapping[str, Any], needs: Needed, own: Sequence[str], n: int) -> None:
    """Leave to batches what they refuse in words that name the rows."""
    names = dict(zip(own, [*(":".join(product) for product in needs.monomials), "the response"], strict=True))
    for name in own:
        if used[f"finite_{name}"] != n:
            raise NotInSQL(f"'{names[name]}' is not finite in some rows")


def _distinct(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    return frame.loc[:, list(columns)].drop_duplicates().reset_index(drop=True)


def _sums(table: Any, m: int) -> Array:
    """(q, m, m) from the columns of the answer."""
    out = np.empty((table.num_rows, m, m))
    for i in range(m):
        for j in range(i, m):
            out[:, i, j] = table.column(f"s_{i}_{j}").to_numpy()
            out[:, j, i] = out[:, i, j]
    return out


def _chosen(frame: pd.DataFrame, needs: Needed) -> NDArray[np.intp]:
    """Cells from all over, one with each level among them.

    Raises
    ------
    NotInSQL
        For levels that are too many, which batches refuse in words.
    """
    q = len(frame)
    chosen = [np.unique(np.linspace(0, q - 1, min(q, SAMPLE)).astype(np.intp))]
    for name in needs.valued:
        first = np.flatnonzero(~column(frame, name).duplicated().to_numpy())
        if len(first) > MOST_LEVELS:
            raise NotInSQL(f"'{name}' has more than {MOST_LEVELS:,} levels")
        chosen.append(first)
    return np.unique(np.concatenate(chosen))


def refused(stream: Stream, reason: str) -> DataError:
    """The error of ``control={"pushdown": True}`` where rows cannot be summed up."""
    return DataError(
        f"{stream.what} cannot be summed up by a database: {reason}",
        hint='Leave "pushdown" out of control=: the rows are then read in batches.',
    )
